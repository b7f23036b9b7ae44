"""What counts as a right answer, and what is told about a wrong one."""

from __future__ import annotations

import json
import sys

import pytest

np = pytest.importorskip("numpy")

from edgesweep_worker.compare import (  # noqa: E402 - numpy must be there first
    CHUNK,
    Sample,
    compare_outputs,
    load_references,
    nan_tags,
    sqnr_db,
)
from edgesweep_worker.failure import TrialFailed  # noqa: E402
from edgesweep_worker.job import NamedFile, Tolerance  # noqa: E402


def one(output, reference, **tolerance):
    return compare_outputs({"y": np.asarray(output)}, {"y": np.asarray(reference)}, Tolerance(**tolerance))


def f32(*values):
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (100.1, ""),  # 1e-4 + 1e-3 * 100 = 0.1001
        (100.11, "wrong_output"),
        (99.9, ""),
        (99.89, "wrong_output"),
    ],
)
def test_the_tolerance_is_absolute_plus_relative_to_the_reference(output, cause):
    assert one(np.array([output]), np.array([100.0])).cause == cause


def test_errors_are_the_largest_over_all_elements():
    found = one(f32(1, 2.5, 8), f32(1, 2, 4), absolute=10)
    assert found.cause == ""
    assert found.max_absolute_error == 4
    assert found.max_relative_error == 1
    assert found.outputs_compared == 1


def test_the_first_offender_is_named_with_its_index():
    output = np.zeros((2, 3), dtype=np.float32)
    output[1, 0] = output[1, 2] = 7
    found = one(output, np.zeros((2, 3), dtype=np.float32))
    assert found.first_offender == "y[1,0]: 7 instead of 0"


def test_an_offender_beyond_the_first_chunk_has_the_right_index():
    reference = np.zeros((3, CHUNK), dtype=np.float32)
    output = reference.copy()
    output[2, 5] = 1
    assert one(output, reference).first_offender.startswith("y[2,5]: 1 ")


def test_a_scalar_has_no_index():
    assert one(np.float32(2).reshape(()), np.float32(1).reshape(())).first_offender == "y[]: 2 instead of 1"


@pytest.mark.parametrize(
    ("output", "reference", "cause"),
    [
        (f32(np.nan), f32(1), "nan_output"),
        (f32(1), f32(np.nan), "wrong_output"),
        (f32(np.nan), f32(np.nan), ""),
        (f32(np.inf), f32(np.inf), ""),
        (f32(-np.inf), f32(np.inf), "wrong_output"),
        (f32(np.inf), f32(1), "wrong_output"),
        (f32(1), f32(np.inf), "wrong_output"),
        (f32(np.inf), f32(np.nan), "wrong_output"),
    ],
)
def test_nan_and_infinity_must_stand_in_the_same_places(output, reference, cause):
    found = one(output, reference, absolute=1e30)
    assert found.cause == cause
    json.dumps(found.numerics(), allow_nan=False)


def test_an_infinite_error_is_the_largest_double_since_json_has_no_infinity():
    assert one(f32(np.inf), f32(1)).numerics()["max_absolute_error"] == sys.float_info.max


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_and_booleans_are_exact_whatever_the_tolerance(dtype):
    same, other = np.array([0, 1], dtype=dtype), np.array([1, 1], dtype=dtype)
    assert one(same, same, absolute=9).cause == ""
    found = one(other, same, absolute=9)
    assert found.cause == "wrong_output"
    assert found.first_offender.startswith("y[0]: ")


def test_large_integers_are_not_compared_as_floats():
    assert one(np.array([2**53 + 1]), np.array([2**53])).cause == "wrong_output"


def test_strings_are_exact():
    assert one(np.array(["a", "b"], dtype=object), np.array(["a", "b"])).cause == ""
    found = one(np.array(["a", "c"], dtype=object), np.array(["a", "b"]))
    assert found.first_offender == "y[1]: c instead of b"
    assert found.numerics() is None


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (np.zeros((1, 2), dtype=np.float32), "shape [1, 2] instead of [2]"),
        (np.zeros(2, dtype=np.int64), "type int64 instead of float32"),
        ([1.0, 2.0], None),
    ],
)
def test_other_shapes_and_kinds_are_wrong_and_have_no_figures(output, words):
    found = compare_outputs({"y": output}, {"y": f32(0, 0)}, Tolerance())
    assert found.cause == "wrong_output"
    assert found.numerics() is None
    if words:
        assert words in found.first_offender


def test_a_missing_output_is_wrong_and_an_extra_one_is_not_compared():
    found = compare_outputs({"z": f32(1)}, {"y": f32(1)}, Tolerance())
    assert "no such tensor output" in found.first_offender
    found = compare_outputs({"y": f32(1), "z": f32(1)}, {"y": f32(1)}, Tolerance())
    assert (found.cause, found.outputs_compared) == ("", 1)


def test_half_precision_is_compared_with_the_single_precision_reference():
    assert one(np.array([1.001], dtype=np.float16), f32(1), absolute=1e-2, relative=1e-2).cause == ""


def test_quantised_outputs_are_judged_by_their_noise():
    rng = np.random.default_rng(7)
    reference = rng.standard_normal(4096).astype(np.float32)
    noise = rng.standard_normal(4096).astype(np.float32)
    assert one(reference + 0.05 * noise, reference, sqnr_db=20.0).cause == ""  # about 26 dB
    found = one(reference + 0.2 * noise, reference, sqnr_db=20.0)  # about 14 dB
    assert found.cause == "wrong_output"
    assert "SQNR 1" in found.first_offender
    assert one(np.full(4, 1e-6), np.zeros(4), sqnr_db=20.0).cause == ""
    assert one(np.full(4, 1.0), np.zeros(4), sqnr_db=20.0).cause == "wrong_output"


def test_sqnr_is_ten_times_the_logarithm_of_the_energies():
    assert sqnr_db(1.0, 100.0) == pytest.approx(20.0)
    assert sqnr_db(0.0, 1.0) == float("inf")


def test_empty_outputs_agree():
    assert one(np.zeros((0, 3), dtype=np.float32), np.zeros((0, 3), dtype=np.float32)).cause == ""


def test_outputs_with_nan_are_named():
    outputs = {"a": f32(np.nan, np.nan), "b": f32(np.nan, 1), "c": np.array([1]), "d": f32(), "e": [float("nan")]}
    assert nan_tags(outputs) == ["all_nan:a", "some_nan:b"]
    late = np.zeros((2, CHUNK), dtype=np.float32)
    late[1, 7] = np.nan
    assert nan_tags({"late": late, "complex": np.array([1 + 1j * np.nan])}) == ["some_nan:late", "all_nan:complex"]
    assert nan_tags({"scalar": np.float32(1), "zero": np.array(np.nan)}) == ["all_nan:zero"]


def test_references_are_mapped_and_empty_ones_are_read(tmp_path):
    np.save(str(tmp_path / "a.npy"), f32(1, 2))
    np.save(str(tmp_path / "b.npy"), f32())
    loaded = load_references([NamedFile(name, str(tmp_path / (name + ".npy"))) for name in "ab"])
    assert isinstance(loaded["a"], np.memmap)
    assert loaded["b"].shape == (0,)
    (tmp_path / "c.npy").write_bytes(b"junk")
    with pytest.raises(TrialFailed) as caught:
        load_references([NamedFile("c", str(tmp_path / "c.npy"))])
    assert caught.value.cause == "wrong_output"


# References of which there is a sample only


def sampled(reference, *positions):
    flat = np.asarray(positions, dtype=np.int64)
    return Sample(reference.shape, flat, reference.reshape(-1)[flat])


def test_of_a_sample_only_its_elements_are_compared():
    reference = np.arange(12, dtype=np.float32).reshape(3, 4)
    output = reference.copy()
    output[0, 1] = output[2, 3] = 99
    assert compare_outputs({"y": output}, {"y": sampled(reference, 0, 5)}, Tolerance()).cause == ""
    found = compare_outputs({"y": output}, {"y": sampled(reference, 0, 5, 11)}, Tolerance())
    assert (found.cause, found.first_offender) == ("wrong_output", "y[2,3]: 99 instead of 11")
    assert found.max_absolute_error == 88


def test_a_sample_tells_the_shape_and_the_type_of_the_whole():
    reference = np.zeros((3, 4), dtype=np.float32)
    sample = sampled(reference, 1, 2)
    assert "shape [12]" in compare_outputs({"y": reference.reshape(-1)}, {"y": sample}, Tolerance()).first_offender
    assert "type int64" in compare_outputs({"y": reference.astype(int)}, {"y": sample}, Tolerance()).first_offender


def test_a_sample_larger_than_a_chunk_is_compared_to_its_end():
    reference = np.zeros(CHUNK * 2 + 10, dtype=np.float32)
    output = reference.copy()
    output[-1] = 5
    positions = [*range(CHUNK + 5), reference.size - 1]
    found = compare_outputs({"y": output}, {"y": sampled(reference, *positions)}, Tolerance())
    assert found.first_offender == f"y[{reference.size - 1}]: 5 instead of 0"


def test_a_sample_is_told_from_a_whole_reference_by_its_file(tmp_path):
    held = np.array([(1, 2.5), (7, -1.0)], [("position", "<i8"), ("value", np.float32)])
    np.save(str(tmp_path / "s.npy"), held, allow_pickle=False)
    loaded = load_references([NamedFile("y", str(tmp_path / "s.npy"), (2, 4))])["y"]
    assert loaded.shape == (2, 4)
    output = np.zeros((2, 4), dtype=np.float32)
    output[0, 1], output[1, 3] = 2.5, -1
    assert compare_outputs({"y": output}, {"y": loaded}, Tolerance()).cause == ""


def test_a_trial_compares_with_a_sample(workshop, bench):
    model = bench.affine()
    for wrong, verdict in ((0, ("pass", "placement", "")), (1, ("failed", "verify", "wrong_output"))):
        held = np.array([(0, model.y[0, 0]), (4, model.y[1, 1] + wrong)], [("position", "<i8"), ("value", np.float32)])
        job = bench.job(model.path, {"x": model.x}, {"y": held})
        job["references"][0]["shape"] = [2, 3]
        assert workshop.run(job).verdict == verdict
