"""Outputs of one model in many places and many times: equal, close, or off, and which one is said to be off."""

from __future__ import annotations

import math

import pytest
from edgesweep.stats.agreement import Place, agreements, apart_between_trials, between_trials, difference
from edgesweep_proto.execution import OutputSummary
from edgesweep_proto.trial import Tolerance

TIGHT = Tolerance()
BY_RATIO = Tolerance(0.0, 0.0, 20.0)


def output(
    *values: float, name: str = "y", kind: str = "float32", nans: int = 0, size: float | None = None, **more
) -> OutputSummary:
    largest = max((abs(value) for value in values), default=None) if size is None else size
    fields = {"shape": (len(values),), "sha256": f"{kind}{values}{nans}", **more}
    return OutputSummary(name, kind, values=tuple(map(float, values)), max_absolute=largest, nans=nans, **fields)


def place(name: str, *outputs: OutputSummary, error: float | None = 1e-6, limit: float = 1e-4) -> Place:
    return Place(name, outputs, error, limit)


def test_equal_digests_are_equal_bit_for_bit_whatever_the_values_kept() -> None:
    found = difference(output(1, 2, sha256="a"), output(1, 2, sha256="a"))
    assert (found.largest, found.relative, found.same_bits) == (0.0, 0.0, True)


def test_the_difference_is_over_the_largest_value_of_the_other() -> None:
    found = difference(output(1, 2.5), output(1, 2, size=50))
    assert (found.largest, found.relative, found.same_bits) == (0.5, 0.01, False)


def test_what_differs_may_not_be_among_the_values_kept() -> None:
    found = difference(output(1, 2, sha256="a"), output(1, 2, sha256="b"))
    assert (found.largest, found.relative, found.same_bits) == (0.0, 0.0, False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (output(1, 2), output(1, 2, 3)),
        (output(1, 2), output(1, 2, kind="float64")),
        (output(1, 2, nans=1), output(1, 2)),
        (output(1, 2, kind="int64"), output(1, 3, kind="int64")),
        # Too far out for the values kept, and exact all the same.
        (output(1, 2, kind="int64", sha256="a"), output(1, 2, kind="int64", sha256="b")),
        (output(kind="str", sha256="a"), output(kind="str", sha256="b")),
        (output(1.0), output(0.0)),
        (output(1.7e308, -1.0), output(-1.7e308, -1.0)),
    ],
)
def test_shapes_types_nan_and_whole_numbers_are_exact(one: OutputSummary, other: OutputSummary) -> None:
    found = difference(one, other)
    assert math.isinf(found.relative)
    assert not found.same_bits


def test_all_are_held_against_the_one_that_is_nearest_to_the_reference() -> None:
    near = place("near", output(1, 2), error=1e-7)
    far = place("far", output(1, 2.1), error=0.1)
    middle = place("middle", output(1, 2.0001), error=1e-4)
    found = dict(zip(("far", "near", "middle"), agreements([far, near, middle]), strict=True))
    assert found["near"].against is None
    assert found["near"].agrees
    assert (found["far"].against, found["middle"].against) == ("near", "near")
    assert found["far"].relative == pytest.approx(0.05)
    assert not found["far"].agrees
    assert found["middle"].agrees


def test_without_a_reference_the_odd_one_out_is_off_and_not_the_others() -> None:
    cells = [place(name, output(1, value), error=None) for name, value in (("odd", 3.0), ("a", 2.0), ("b", 2.0001))]
    odd, *others = agreements(cells)
    assert not odd.agrees
    assert odd.against in {"a", "b"}
    assert all(agreement.agrees for agreement in others)


def test_an_error_that_is_no_number_makes_nobody_the_nearest() -> None:
    cells = [place("a", output(1), error=math.nan), place("b", output(1.00001), error=1e-5)]
    assert [agreement.against for agreement in agreements(cells)] == ["b", None]


def test_the_looser_limit_of_the_two_counts() -> None:
    full, half = place("full", output(1, 2), error=0), place("half", output(1, 2.01), limit=1e-2)
    assert agreements([full, half])[1].limit == 1e-2
    assert agreements([full, half])[1].agrees
    strict = place("strict", output(1, 2.01))
    assert not agreements([full, strict])[1].agrees


def test_the_output_that_is_furthest_off_is_named_and_all_have_to_agree() -> None:
    one = place("one", output(1, name="y"), output(1, name="z"), error=0)
    other = place("other", output(1.00001, name="y"), output(1.5, name="z"))
    found = agreements([one, other])[1]
    assert (found.output, found.relative, found.agrees, found.same_bits) == ("z", 0.5, False, False)


def test_a_cell_alone_agrees_with_itself() -> None:
    (found,) = agreements([place("alone", output(1))])
    assert (found.against, found.agrees, found.same_bits) == (None, True, True)


def test_close_to_the_limit_it_is_design_eights() -> None:
    for share, agrees in ((0.99e-4, True), (1.01e-4, False)):
        cells = [place("a", output(1, 8), error=0), place("b", output(1 + share * 8, 8))]
        assert agreements(cells)[1].agrees is agrees


def test_trials_that_are_the_same_bit_for_bit_say_nothing() -> None:
    assert between_trials([[output(1)], [output(1)], [output(1)]]) == {}
    assert between_trials([]) == between_trials([[output(1)]]) == {}


def test_of_trials_that_differ_the_largest_difference_is_told_by_output() -> None:
    trials = [
        [output(1.0), output(5, name="z")],
        [output(1.25), output(5, name="z")],
        [output(1.125), output(5, name="z")],
    ]
    found = between_trials(trials)
    assert set(found) == {"y"}
    assert found["y"].largest == 0.25


def test_trials_too_far_apart_for_the_tolerance_name_the_output() -> None:
    assert apart_between_trials([[output(1.0)], [output(1.00001)]], TIGHT) == ""
    assert apart_between_trials([[output(1.0)], [output(1.0)], [output(1.1)]], TIGHT) == "y"
    assert apart_between_trials([[output(1.0, nans=1)], [output(1.0)]], TIGHT) == "y"
    assert apart_between_trials([[output(1.0)], [output(1.05)]], BY_RATIO) == ""
    assert apart_between_trials([[output(1.0)], [output(1.2)]], BY_RATIO) == "y"
    assert apart_between_trials([[output(0.0)], [output(1.2)]], BY_RATIO) == "y"
