from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.cache import ExportCache
from edgesweep.export.onnx_files.source import take_file
from edgesweep.export.proof.nursery import NURSERY
from edgesweep.export.result import ExportResult
from edgesweep.export.workers.pipeline import Bench
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant
from edgesweep_proto.trial import Tolerance
from onnx import TensorProto, helper, numpy_helper

BATCH4 = Shape((("batch", 4),))


def save(path: Path, op: str = "Mul", *, external: bool = False, dtype: int = TensorProto.FLOAT) -> Path:
    weight = numpy_helper.from_array(np.array([1.5, -2.0], dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"], doc_string="kept as it is")],
        "g",
        [helper.make_tensor_value_info("x", dtype, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=external, location="weights.data", size_threshold=0)
    return path


class Host:
    def __init__(self, root: Path) -> None:
        self.blobs = Blobs(root / "blobs")
        (root / "scratch").mkdir(parents=True)
        self.bench = Bench(self.blobs, root / "originals", root / "scratch", 60.0)
        self.cache = ExportCache(root / "cache", self.blobs)

    def take(self, path: Path, *shapes: Shape, **fields) -> ExportResult:
        source = ModelSource(SourceKind.ONNX, str(path), "ready", **fields)
        variant = Variant("ready", "none", 17, "asis")
        return take_file(source, variant, shapes or (Shape(),), self.bench, self.cache)

    def load(self, tensor) -> np.ndarray:
        return np.load(self.blobs.path_of(tensor.blob.sha256), allow_pickle=False)


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(tmp_path / "root")


def test_a_ready_file_is_taken_byte_for_byte(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    result = host.take(path, Shape(), BATCH4)
    assert result.passed, result.message
    assert host.blobs.path_of(result.manifest.model.sha256).read_bytes() == path.read_bytes()
    assert (result.produced.opset, result.produced.ir_version, result.produced.nodes) == (17, 8, 1)
    payload = result.payloads["batch4"]
    assert payload.items == 4
    np.testing.assert_allclose(
        host.load(payload.references[0]), host.load(payload.inputs[0]) * np.array([1.5, -2.0], np.float32)
    )
    assert "onnxruntime" in payload.reference_note
    assert result.payloads["example"].inputs[0].shape == (1, 2)
    again = host.take(path, Shape(), BATCH4)
    assert again.cached
    assert again.payloads == result.payloads


def test_external_data_is_renamed_to_its_digest(host, tmp_path):
    result = host.take(save(tmp_path / "m.onnx", external=True))
    assert result.passed, result.message
    (blob,) = result.manifest.external
    assert host.blobs.path_of(blob.sha256).read_bytes() == (tmp_path / "weights.data").read_bytes()
    model = onnx.load(host.blobs.path_of(result.manifest.model.sha256), load_external_data=False)
    entries = {entry.key: entry.value for entry in model.graph.initializer[0].external_data}
    assert entries["location"] == f"{blob.sha256}.bin"


def test_data_that_is_missing_or_elsewhere_is_refused(host, tmp_path):
    path = save(tmp_path / "m.onnx", external=True)
    (tmp_path / "weights.data").rename(tmp_path / "elsewhere.data")
    assert host.take(path).cause == "external_data_missing"
    inner = tmp_path / "inner"
    inner.mkdir()
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../elsewhere.data"
    (inner / "m.onnx").write_bytes(model.SerializeToString())
    result = host.take(inner / "m.onnx")
    assert (result.cause, result.manifest) == ("invalid_model_file", None)
    assert "outside its own folder" in result.message


def test_a_cut_off_file_is_no_model(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    assert host.take(path).cause == "invalid_model_file"
    path.write_bytes(b"hello")
    assert host.take(path).cause == "invalid_model_file"
    assert host.take(tmp_path / "nowhere.onnx").cause == "invalid_model_file"


def test_the_user_s_references_are_the_judge(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    folder = tmp_path / "given"
    folder.mkdir()
    np.save(folder / "x.npy", np.ones((3, 2), np.float32))
    np.save(folder / "y.npy", np.array([[1.5, -2.0]] * 3, np.float32))
    result = host.take(path, references=str(folder))
    assert result.passed, result.message
    assert result.payloads["example"].inputs[0].shape == (3, 2)
    assert result.payloads["example"].reference_note == ""
    assert result.numerics.max_absolute_error == 0
    np.save(folder / "y.npy", np.zeros((3, 2), np.float32))
    assert host.take(path, references=str(folder)).cause == "wrong_output"
    # Unless the plan lets them lie that far off.
    loose = Tolerance(absolute=2.0)
    result = host.take(path, references=str(folder), tolerances={"fp32": loose})
    assert (result.passed, result.tolerance) == (True, loose)


def test_what_the_checker_refuses_keeps_its_facts(host, tmp_path):
    result = host.take(save(tmp_path / "m.onnx", "Gelu"))
    assert result.cause == "opset_not_registered"
    assert result.produced.opset == 17


def test_inputs_that_cannot_be_made_up_are_asked_for(host, tmp_path):
    result = host.take(save(tmp_path / "m.onnx", "Add", dtype=TensorProto.STRING))
    assert not result.passed


def prove_by_what_ends(patch: pytest.MonkeyPatch, tmp_path: Path, signal_name: str) -> None:
    """Put a program in the place of Python that is killed before it has proven anything."""
    script = tmp_path / f"python-{signal_name}"
    script.write_text(f"#!/bin/sh\nkill -{signal_name} $$\n", encoding="utf-8")
    script.chmod(0o755)
    patch.setattr("edgesweep.export.proof.nursery.sys.executable", str(script))
    # The one that is up would prove it all the same.
    NURSERY.close()


@pytest.mark.parametrize("how", ["too slow", "killed"])
def test_a_pass_that_the_host_could_not_prove_is_not_kept(host, tmp_path, monkeypatch, how):
    path = save(tmp_path / "m.onnx")
    patient = host.bench
    with monkeypatch.context() as patch:
        if how == "killed":
            prove_by_what_ends(patch, tmp_path, "KILL")
        else:
            host.bench = replace(patient, proof_timeout_s=1e-3)
        unproven = host.take(path)
    assert unproven.passed
    assert unproven.payloads["example"].references == ()
    assert "nothing to compare with" in unproven.payloads["example"].reference_note
    host.bench = patient
    proven = host.take(path)
    assert (proven.passed, proven.cached) == (True, False)
    assert proven.payloads["example"].references
    assert host.take(path).cached


def test_a_proof_that_was_stopped_from_outside_says_nothing_about_the_file(host, tmp_path, monkeypatch):
    path = save(tmp_path / "m.onnx")
    with monkeypatch.context() as patch:
        prove_by_what_ends(patch, tmp_path, "TERM")
        stopped = host.take(path)
    assert (stopped.cause, "SIGTERM" in stopped.message) == ("export_host_trouble", True)
    again = host.take(path)
    assert (again.passed, again.cached) == (True, False)


def test_of_references_too_large_for_a_board_a_sample_is_sent_with_its_places(host, tmp_path, monkeypatch):
    path = save(tmp_path / "m.onnx")
    (whole,) = host.take(path, Shape((("batch", 50),))).payloads["batch50"].references
    monkeypatch.setattr("edgesweep.export.proof.payloads.REFERENCES_MAX_BYTES", 8)
    monkeypatch.setattr("edgesweep.export.proof.payloads.SAMPLED_ELEMENTS", 10)
    fresh = Host(tmp_path / "fresh")
    payload = fresh.take(path, Shape((("batch", 50),))).payloads["batch50"]
    (sampled,) = payload.references
    assert payload.sampled == 10
    assert (
        (sampled.name, sampled.dtype, sampled.shape)
        == ("y", "float32", (50, 2))
        == (whole.name, whole.dtype, whole.shape)
    )
    held, values = fresh.load(sampled), host.load(whole).reshape(-1)
    assert len(set(held["position"].tolist())) == 10
    assert (np.diff(held["position"]) > 0).all()
    assert (held["value"] == values[held["position"]]).all()
    # Drawn alike each time: the artifact's payload is the same blob tomorrow.
    again = Host(tmp_path / "again").take(path, Shape((("batch", 50),)))
    assert again.payloads["batch50"] == payload


def test_a_small_output_beside_a_large_one_is_sent_whole(host, tmp_path, monkeypatch):
    monkeypatch.setattr("edgesweep.export.proof.payloads.REFERENCES_MAX_BYTES", 8)
    payload = host.take(save(tmp_path / "m.onnx")).payloads["example"]
    (reference,) = payload.references
    assert host.load(reference).dtype == np.float32
    assert payload.sampled == host.load(reference).size
    assert host.take(tmp_path / "m.onnx").cached


def test_a_host_without_onnx_takes_the_file_by_its_header(host, tmp_path, monkeypatch):
    path = save(tmp_path / "m.onnx")
    full = host.take(path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    bare = Host(tmp_path / "bare").take(path)
    assert bare.passed, bare.message
    assert bare.manifest == full.manifest
    assert bare.payloads == full.payloads
    assert (bare.produced.opset, bare.produced.nodes, bare.produced.graph_hash) == (17, 1, "")


def give(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_given_inputs_are_the_example_and_others_are_drawn_like_them(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    x = np.array([[5.0, 5.5], [6.0, 7.0], [5.25, 6.5]], np.float32)
    given = give(tmp_path / "in.npz", x=x)
    result = host.take(path, Shape(), BATCH4, inputs=given)
    assert result.passed, result.message
    np.testing.assert_array_equal(host.load(result.payloads["example"].inputs[0]), x)
    np.testing.assert_allclose(
        host.load(result.payloads["example"].references[0]), x * np.array([1.5, -2.0], np.float32)
    )
    drawn = host.load(result.payloads["batch4"].inputs[0])
    assert drawn.shape == (4, 2)
    assert 5.0 <= drawn.min() <= drawn.max() <= 7.0


def test_other_given_inputs_are_another_result(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    given = give(tmp_path / "in.npz", x=np.ones((1, 2), np.float32))
    first = host.take(path, inputs=given)
    assert host.take(path, inputs=given).cached
    give(tmp_path / "in.npz", x=np.zeros((1, 2), np.float32))
    second = host.take(path, inputs=given)
    assert not second.cached
    assert second.payloads["example"].inputs != first.payloads["example"].inputs
    assert not host.take(path, seed=1).cached
    assert host.take(path, seed=1).payloads["example"].inputs != host.take(path, seed=2).payloads["example"].inputs


def test_given_inputs_that_do_not_fit_are_the_plan_s_fault(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    result = host.take(path, inputs=give(tmp_path / "in.npz", x=np.ones((1, 3), np.float32)))
    assert result.cause == "inputs_unusable"
    assert "[1, 3], and the model takes [batch, 2]" in result.message
    assert host.take(path, inputs=str(tmp_path / "gone.npz")).cause == "inputs_unusable"


def test_references_may_come_as_one_file(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    given = give(tmp_path / "in.npz", x=np.ones((1, 2), np.float32))
    right = give(tmp_path / "out.npz", y=np.array([[1.5, -2.0]], np.float32))
    result = host.take(path, inputs=given, references=right)
    assert result.passed, result.message
    assert result.payloads["example"].reference_note == ""
    give(tmp_path / "out.npz", y=np.zeros((1, 2), np.float32))
    assert host.take(path, inputs=given, references=right).cause == "wrong_output"
    named = give(tmp_path / "named.npz", z=np.zeros((1, 2), np.float32))
    result = host.take(path, inputs=given, references=named)
    assert (result.cause, "no output of that name" in result.message) == ("inputs_unusable", True)


def test_denormal_numbers_are_counted_in_what_was_given_and_are_none_in_what_was_not(host, tmp_path):
    path = save(tmp_path / "m.onnx")
    tiny = give(tmp_path / "in.npz", x=np.array([[1e-40, 1.0], [0.0, -1e-41]], np.float32))
    assert host.take(path, inputs=tiny).payloads["example"].denormals == 2
    assert host.take(path, BATCH4).payloads["batch4"].denormals == 0


def test_what_the_proof_cannot_hold_is_packed_as_it_is_given(host, tmp_path):
    """Text, a sequence's items, and bits of a type that numpy lacks, which it writes as bytes without a name."""
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.STRING, None)
    infos = [
        helper.make_tensor_value_info("t", TensorProto.STRING, [1]),
        helper.make_tensor_value_info("b", TensorProto.BFLOAT16, [2]),
    ]
    outputs = [
        helper.make_tensor_sequence_value_info("u", TensorProto.STRING, None),
        helper.make_tensor_value_info("c", TensorProto.BFLOAT16, [2]),
    ]
    nodes = [helper.make_node("SequenceInsert", ["s", "t"], ["u"]), helper.make_node("Identity", ["b"], ["c"])]
    graph = helper.make_graph(nodes, "g", [sequence, *infos], outputs)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    bits = np.array([0x3F80, 0xC049], np.uint16)
    given, expected = tmp_path / "given.npz", tmp_path / "expected.npz"
    np.savez(given, **{"s[0]": np.array(["a"]), "t": np.array(["bc"]), "b": bits.view("V2")})
    np.savez(expected, **{"u[0]": np.array(["a"]), "u[1]": np.array(["bc"]), "c": bits.view("V2")})
    result = host.take(path, inputs=str(given), references=str(expected))
    assert result.passed, result.message
    payload = result.payloads["example"]
    assert {tensor.name: tensor.dtype for tensor in payload.inputs} == {"s[0]": "<U1", "t": "object", "b": "bfloat16"}
    assert [tensor.name for tensor in payload.references] == ["u[0]", "u[1]", "c"]
    np.testing.assert_array_equal(host.load(payload.inputs[2]), bits)
    np.testing.assert_array_equal(host.load(payload.references[1]), np.array(["bc"]))
    assert payload.reference_note == ""
    alone = host.take(path, inputs=str(given)).payloads["example"]
    assert alone.references == ()
    assert "give all outputs" in alone.reference_note
    missing = host.take(path)
    assert missing.cause == "inputs_unusable"
    assert "input 't' is of text, which cannot be made up" in missing.message


def test_an_answer_that_the_user_calls_right_counts_for_more_than_the_checker(host, tmp_path):
    """Shape inference stumbles over its own definition of this operator at opset 13."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 1, 1, 2]) for name in "xy"]
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"])
    path = tmp_path / "m.onnx"
    graph = helper.make_graph([node], "g", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    x = np.array([1, 2, 3, 6], np.float32).reshape(2, 1, 1, 2)
    given, right, wrong = (str(tmp_path / f"{name}.npz") for name in ("given", "right", "wrong"))
    np.savez(given, x=x)
    np.savez(right, y=(x - x.mean()) / x.std())
    np.savez(wrong, y=x)
    assert host.take(path, inputs=given).cause == "invalid_graph"
    assert host.take(path, inputs=given, references=wrong).cause == "invalid_graph"
    result = host.take(path, inputs=given, references=right)
    assert result.passed, result.message
    assert result.payloads["example"].references
