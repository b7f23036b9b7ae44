"""The choice of variants against an oracle that tries every subset."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from edgesweep.report.compat.cover import SAME_COST, Option, smallest_cover
from hypothesis import given
from hypothesis import strategies as st

TARGETS = [("m", place) for place in "abcdef"]


def option(key: str, places: str, order: int = 0, reduced: bool = False, **ratios: float) -> Option:
    covers = frozenset(("m", place) for place in places)
    return Option(key, covers, {("m", place): ratio for place, ratio in ratios.items()}, reduced, (order, key))


@st.composite
def options(draw: st.DrawFn) -> list[Option]:
    count = draw(st.integers(0, 7))
    made = []
    for place in range(count):
        covers = draw(st.frozensets(st.sampled_from(TARGETS)))
        known = draw(st.frozensets(st.sampled_from(sorted(covers)))) if covers else frozenset()
        ratios = {target: draw(st.sampled_from([1.0, 1.01, 1.05, 2.0])) for target in sorted(known)}
        made.append(Option(str(place), covers, ratios, draw(st.booleans()), (draw(st.integers(0, 2)), str(place))))
    return made


def ratios(members) -> dict[tuple[str, str], float]:
    best: dict[tuple[str, str], float] = {}
    for member in members:
        for target, ratio in member.ratios.items():
            best[target] = min(ratio, best.get(target, math.inf))
    return best


def cost(members) -> float | None:
    known = list(ratios(members).values())
    return math.prod(known) ** (1 / len(known)) if known else None


def oracle(given_options: list[Option]) -> tuple[Option, ...]:
    """Every subset that covers what can be covered, ranked by the rules one after the other."""
    coverable = frozenset().union(*(one.covers for one in given_options))
    covering = [
        members
        for size in range(len(given_options) + 1)
        for members in itertools.combinations(sorted(given_options, key=lambda one: one.order), size)
        if frozenset().union(*(one.covers for one in members)) == coverable
    ]
    covering = [members for members in covering if len(members) == len(covering[0])]
    fewest = min(sum(one.reduced for one in members) for members in covering)
    covering = [members for members in covering if sum(one.reduced for one in members) == fewest]
    complete = [members for members in covering if coverable and set(ratios(members)) == coverable]
    if complete:
        limit = min(map(cost, complete)) * (1 + SAME_COST)
        covering = [members for members in complete if cost(members) <= limit]
    return min(covering, key=lambda members: [one.order for one in members])


@given(options())
def test_it_is_the_set_that_trying_every_subset_finds(given_options):
    chosen = smallest_cover(given_options, TARGETS)
    expected = oracle(given_options)
    assert [one.key for one in chosen.options] == [one.key for one in expected]
    assert chosen.cost == (None if cost(expected) is None else pytest.approx(cost(expected)))
    assert chosen.known == len(ratios(expected))
    covered = frozenset().union(*(one.covers for one in given_options))
    assert chosen.covered == tuple(target for target in TARGETS if target in covered)
    assert chosen.uncovered == tuple(target for target in TARGETS if target not in covered)


def test_one_that_runs_everywhere_goes_before_two_that_are_faster():
    slow = option("slow", "abc", a=1.5, b=1.5, c=6.0)
    fast = (option("x", "ab", a=1.0, b=1.0), option("y", "c", c=1.0))
    chosen = smallest_cover([*fast, slow], TARGETS[:3])
    assert [one.key for one in chosen.options] == ["slow"]
    assert chosen.cost == pytest.approx((1.5 * 1.5 * 6.0) ** (1 / 3))
    assert chosen.worst == (("m", "c"), 6.0)


def test_a_gain_within_the_noise_does_not_beat_the_simpler():
    near = [option("simple", "a", order=0, a=1.015), option("odd", "a", order=1, a=1.0)]
    assert smallest_cover(near, TARGETS[:1]).options[0].key == "simple"
    far = [option("simple", "a", order=0, a=1.1), option("odd", "a", order=1, a=1.0)]
    assert smallest_cover(far, TARGETS[:1]).options[0].key == "odd"


def test_a_faster_one_of_reduced_precision_does_not_go_before_full_precision():
    both = [option("int8", "ab", reduced=True, a=1.0, b=1.0), option("fp32", "ab", a=3.0, b=3.0)]
    assert smallest_cover(both, TARGETS[:2]).options[0].key == "fp32"


def test_a_single_number_does_not_speak_for_the_targets_without_one():
    both = [option("simple", "ab", order=0), option("odd", "ab", order=1, a=1.0)]
    assert smallest_cover(both, TARGETS[:2]).options[0].key == "simple"
    whole = [option("simple", "ab", order=0, a=1.0), option("odd", "ab", order=1, a=1.2, b=1.2)]
    chosen = smallest_cover(whole, TARGETS[:2])
    assert (chosen.options[0].key, chosen.known, len(chosen.covered)) == ("odd", 2, 2)


def test_nothing_covers_nothing():
    chosen = smallest_cover([], TARGETS[:2])
    assert (chosen.options, chosen.uncovered, chosen.cost, chosen.worst) == ((), tuple(TARGETS[:2]), None, None)


@pytest.mark.parametrize(
    ("options", "targets", "share", "exact"), [(60, 40, 0.8, True), (200, 1200, 0.97, True), (200, 300, 0.5, False)]
)
def test_a_large_lab_gets_an_answer_that_covers_it(options, targets, share, exact):
    dice = random.Random(7)
    places = [("m", str(place)) for place in range(targets)]
    many = [
        Option(str(key), frozenset(place for place in places if dice.random() < share), order=(key,))
        for key in range(options)
    ]
    chosen = smallest_cover(many, places)
    assert frozenset().union(*(one.covers for one in chosen.options)) == set(places) - set(chosen.uncovered)
    assert chosen.uncovered == ()
    assert chosen.exact is exact


def test_where_widest_first_goes_wrong_the_fewest_are_found():
    many = [option("wide", "abcd"), option("left", "abe"), option("right", "cdf")]
    chosen = smallest_cover(many, TARGETS)
    assert ([one.key for one in chosen.options], chosen.exact) == (["left", "right"], True)
