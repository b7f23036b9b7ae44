"""What is kept of outputs, and a model that does not give the same answer twice."""

from __future__ import annotations

import hashlib
import sys

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgesweep_worker import outputs as kept  # noqa: E402 - numpy must be there first
from edgesweep_worker.job import Tolerance  # noqa: E402

helper = onnx.helper
TIGHT, LOOSE = Tolerance(), Tolerance(absolute=10.0, relative=0.0)


def one(value, name="y"):
    (summary,) = kept.summarise({name: value})
    return summary.as_json()


def test_a_summary_tells_type_shape_digest_values_and_size():
    value = np.array([[1.5, -2.25], [0.1, 0]], dtype=np.float32)
    found = one(value)
    assert found["sha256"] == hashlib.sha256(value.tobytes()).hexdigest()
    assert (found["type"], found["shape"], found["nans"]) == ("float32", [2, 2], 0)
    assert found["max_absolute"] == 2.25
    assert [np.float32(number) for number in found["values"]] == value.reshape(-1).tolist()


def test_the_digest_is_of_little_endian_bytes_in_c_order_whatever_the_array_is():
    value = np.arange(6, dtype=np.int32).reshape(2, 3)
    digest = one(value)["sha256"]
    assert one(np.asfortranarray(value))["sha256"] == digest
    assert one(value.astype(">i4"))["sha256"] == digest
    assert one(value + 1)["sha256"] != digest


def test_values_are_few_and_stand_at_the_same_places_on_every_device():
    value = np.arange(10_000, dtype=np.float64)
    found = one(value)["values"]
    assert found == [float(index * 10_000 // 256) for index in range(256)]


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([5], [5]),
        ([5000], [100]),
        ([10, 5000], [10, 90]),
        ([5000, 10, 60], [45, 10, 45]),
        ([0, 3], [0, 3]),
        ([1] * 200, [0] * 100 + [1] * 100),
        ([], []),
    ],
)
def test_small_outputs_leave_their_share_to_larger_ones(sizes, counts):
    assert kept.shares(sizes, 100) == counts


def test_beyond_the_limit_the_digest_is_of_every_kth_element(monkeypatch):
    monkeypatch.setattr(kept, "HASHED_BYTES", 400)
    value = np.arange(250, dtype=np.float32)  # 1000 bytes: every third element stays within 400
    assert one(value)["sha256"] == hashlib.sha256(value[::3].tobytes()).hexdigest()
    assert one(value[:100])["sha256"] == hashlib.sha256(value[:100].tobytes()).hexdigest()


def test_nan_is_counted_and_infinity_has_a_stand_in():
    found = one(np.array([np.nan, np.inf, -np.inf, -3], dtype=np.float32))
    assert found["nans"] == 1
    assert found["max_absolute"] == 3
    assert found["values"][0] == 0
    assert found["values"][1] == -found["values"][2] > sys.float_info.max / 2
    assert one(np.array([np.nan]))["max_absolute"] is None
    assert one(np.empty((0, 3)))["max_absolute"] is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array(["a", "bc"], dtype=object), "str"),
        ([np.ones(2), np.zeros(3)], "sequence"),
        ([{1: 0.25}], "sequence"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_tensor_of_numbers_has_a_digest_and_no_values(value, kind):
    found = one(value)
    assert (found["type"], found["values"], found["max_absolute"]) == (kind, [], None)
    assert len(found["sha256"]) == 64


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array(["a", "bc"], dtype=object), np.array(["ab", "c"], dtype=object)),
        ([np.ones(2)], [np.zeros(2)]),
        ([{1: 0.25}], [{1: 0.5}]),
    ],
)
def test_other_contents_have_another_digest(first, second):
    assert one(first)["sha256"] != one(second)["sha256"]


def test_the_lowest_whole_number_has_its_size():
    assert one(np.array([-128, 127], dtype=np.int8))["max_absolute"] == 128
    assert one(np.array([True, False]))["values"] == [1, 0]


# The same inputs again


def answer(*values):
    return {"y": np.array(values, dtype=np.float32)}


def repeats(first, *later, tolerance=TIGHT):
    found = kept.Repeats(kept.summarise(first), tolerance)
    for value in later:
        found.take(value)
    return found


def test_the_same_answer_bit_for_bit_is_a_difference_of_zero():
    found = repeats(answer(1, 2), answer(1, 2), answer(1, 2))
    assert found.first[0].run_difference == 0
    assert (found.tags, found.offender()) == ([], "")


def test_nobody_looked_again_is_not_known():
    assert repeats(answer(1)).first[0].run_difference is None


def test_a_difference_within_the_tolerance_is_told_and_no_finding():
    found = repeats(answer(1, 2), answer(1, 2.00001), answer(1, 2))
    assert found.first[0].run_difference == pytest.approx(1e-5, rel=0.1)
    assert found.tags == ["nondeterministic:y"]
    assert found.offender() == ""


def test_a_difference_beyond_it_is_a_finding_unless_a_reference_vouches_for_the_output():
    found = repeats(answer(1, 2), answer(1, 2.5))
    assert found.offender() == "y: up to 0.5 apart"
    assert found.offender(vouched=["y"]) == ""
    assert repeats(answer(1, 2), answer(1, 2.5), tolerance=LOOSE).offender() == ""


def test_a_difference_among_elements_that_were_not_kept_is_seen_between_later_answers():
    first = np.zeros(5000, dtype=np.float32)
    second, third = first.copy(), first.copy()
    second[1] = 1  # not among the 256 kept
    found = repeats({"y": first}, {"y": second})
    assert found.tags == ["nondeterministic:y"]
    assert found.first[0].run_difference is None
    third[1] = 3
    found.take({"y": third})
    assert found.first[0].run_difference == 2
    assert found.offender() == "y: up to 2 apart"


def test_nan_in_one_answer_only_is_a_finding():
    assert repeats(answer(1), answer(np.nan)).offender() == "y: NaN instead of a number"


def test_another_shape_is_a_finding():
    assert "shape" in repeats(answer(1), answer(1, 2)).offender()


def test_an_item_that_is_there_in_some_runs_only_is_a_finding():
    both = {"y[0]": np.zeros(2), "y[1]": np.zeros(2)}
    assert repeats(both, {"y[0]": np.zeros(2)}).offender() == "y[1]: it is there in some runs only"


# In a real worker


def noisy(bench, scale):
    """y = x + noise without a seed: drawn anew in every run."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["n"], scale=scale),
        helper.make_node("Add", ["x", "n"], ["y"]),
    ]
    return bench.save("noisy", nodes, {"x": [2, 4]}, {"y": [2, 4]})


X = np.ones((2, 4), dtype=np.float32)


def test_a_trial_tells_its_outputs_in_short(workshop, bench):
    ended = workshop.run(bench.good_job())
    (told,) = ended.facts["outputs"]
    assert ended.verdict == ("pass", "placement", "")
    assert (told["name"], told["type"], told["shape"], told["nans"]) == ("y", "float32", [2, 3], 0)
    assert told["run_difference"] == 0
    assert len(told["values"]) == 6
    assert ended.tags == []


@pytest.mark.parametrize("io_mode", ["bound", "host"])
def test_a_model_that_draws_numbers_is_found_without_a_reference(workshop, bench, io_mode):
    ended = workshop.run(bench.job(noisy(bench, 1.0), {"x": X}, protocol={"io_mode": io_mode}))
    assert ended.verdict == ("failed", "measure", "nondeterministic_output")
    assert "runs with the same inputs differ, y: up to" in ended.end["message"]
    assert ended.facts["outputs"][0]["run_difference"] > 0.01
    assert ended.tags == ["nondeterministic:y"]


def test_noise_below_the_tolerance_is_a_tag(workshop, bench):
    ended = workshop.run(bench.job(noisy(bench, 1e-6), {"x": X}))
    assert ended.verdict == ("pass", "placement", "")
    assert ended.tags == ["nondeterministic:y"]
    assert 0 < ended.facts["outputs"][0]["run_difference"] < 1e-4


def test_a_wrong_answer_that_is_another_one_each_time_is_said_to_be_that(workshop, bench):
    ended = workshop.run(bench.job(noisy(bench, 1.0), {"x": X}, {"y": X}))
    assert ended.verdict == ("failed", "verify", "nondeterministic_output")
    assert "two runs with the same inputs differ, y: up to" in ended.end["message"]
    assert "held against the reference, y[0,0]:" in ended.end["message"]


def test_a_wrong_answer_that_stays_is_wrong_and_tells_its_outputs_too(workshop, bench):
    model = bench.affine()
    ended = workshop.run(bench.job(model.path, {"x": model.x}, {"y": model.y + 1}))
    assert ended.verdict == ("failed", "verify", "wrong_output")
    assert ended.facts["outputs"][0]["run_difference"] == 0


def test_the_items_of_a_sequence_are_told_one_by_one(workshop, bench):
    sequence = helper.make_tensor_sequence_value_info("s", onnx.TensorProto.FLOAT, None)
    node = helper.make_node("SplitToSequence", ["x"], ["s"], axis=0, keepdims=1)
    path = bench.save("split", [node], {"x": [2, 4]}, {}, opset=13)
    model = onnx.load(str(path))
    model.graph.output.append(sequence)
    onnx.save(model, str(path))
    told = workshop.run(bench.job(path, {"x": X})).facts["outputs"]
    assert [(item["name"], item["shape"], item["run_difference"]) for item in told] == [
        ("s[0]", [1, 4], 0),
        ("s[1]", [1, 4], 0),
    ]
