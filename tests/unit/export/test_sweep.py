from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportService
from edgesweep_proto.codec import from_json, to_json
from edgesweep_proto.trial import Stage, Tolerance


def find(sweep: dict[str, ExportResult], name: str) -> ExportResult:
    model, _, rest = name.partition(" ")
    exporter, opset, axes = rest.split()
    return sweep[f"{model}/{exporter}-opset{opset}-{axes}-fp32"]


def model_bytes(root: Path, result: ExportResult) -> bytes:
    return ExportService(root).path_of(result.manifest.model.sha256).read_bytes()


def test_every_job_has_exactly_one_result(sweep, sweep_jobs):
    assert len(sweep) == len(sweep_jobs)


@pytest.mark.parametrize(
    "name",
    [
        "linear dynamo 18 batch",
        "linear dynamo 20 batch",
        "linear torchscript 17 batch",
        "conv dynamo 18 batch",
        "conv torchscript 17 batch",
        "fourier dynamo 18 batch",
    ],
)
def test_honest_export_passes_with_its_dimension_proven(sweep, name):
    result = find(sweep, name)
    assert (result.cause, result.message, result.stage) == ("", "", Stage.CHECK)
    assert result.produced.opset == result.variant.opset
    assert result.produced.dynamic == {"x": ("batch",)}
    assert result.numerics.max_absolute_error < 1e-4
    assert {"example", "batch1", "batch3"} <= set(result.sizes_tried)
    assert result.payloads["example"].inputs[0].name == "x"


def test_static_export_claims_no_dimension(sweep):
    result = find(sweep, "linear dynamo 18 static")
    assert result.passed
    assert result.produced.dynamic == {}


def test_opset_that_was_not_honoured_is_named_and_filled_in(sweep):
    result = find(sweep, "conv dynamo 13 static")
    assert (result.cause, result.stage) == ("opset_not_honoured", Stage.CHECK)
    assert "18" in result.message
    assert result.produced.opset == 18
    assert result.produced.digest == find(sweep, "conv dynamo 18 static").produced.digest


@pytest.mark.parametrize(
    ("name", "causes"),
    [
        # What each exporter did to each trap when it was measured; a pass would be a lie for all of them.
        ("reshape dynamo 18 full", {"dynamic_dim_static"}),
        ("reshape torchscript 17 full", {"dynamic_dim_refused", "wrong_output"}),
        ("loop dynamo 18 full", {"dynamic_dim_static"}),
        ("loop torchscript 17 full", {"wrong_output"}),
        ("branch dynamo 18 full", {"export_data_dependent"}),
        ("branch torchscript 17 full", {"wrong_output"}),
        ("branch torchscript 17 static", {"wrong_output"}),
        ("fourier torchscript 17 batch", {"export_unsupported_op"}),
        ("linear torchscript 24 batch", {"export_unsupported_opset"}),
        ("linear torchscript 17 nowhere", {"no_such_dimension"}),
        ("conv torchscript 7 batch", {"opset_not_registered"}),
        ("refusing torchscript 17 static", {"export_error"}),
    ],
)
def test_what_did_not_happen_never_passes(sweep, name, causes):
    result = find(sweep, name)
    assert result.cause in causes, result.message
    assert result.message
    assert "\n" not in result.message
    assert not result.payloads


def test_messages_name_what_the_user_can_act_on(sweep):
    assert "'batch'" in find(sweep, "reshape dynamo 18 full").message
    assert "'seq'" in find(sweep, "loop dynamo 18 full").message
    assert "aten::fft_rfft" in find(sweep, "fourier torchscript 17 batch").message
    assert "lab_models.py" in find(sweep, "branch dynamo 18 full").message
    assert "Erf" in find(sweep, "conv torchscript 7 batch").message
    assert "multiples of four" in find(sweep, "refusing torchscript 17 static").message


def test_what_the_plan_allows_is_what_the_proof_allows(sweep):
    assert find(sweep, "branch torchscript 17 static").tolerance == Tolerance()
    allowed = find(sweep, "branch torchscript 16 static")
    assert allowed.passed, allowed.message
    assert allowed.tolerance == Tolerance(10.0, 0.0)
    assert max(size.max_absolute_error for size in allowed.proof) > 0.1


def test_wrong_output_keeps_the_tracer_s_warning_as_evidence(sweep):
    assert "the tracer warned" in find(sweep, "branch torchscript 17 full").detail


@pytest.mark.parametrize("name", ["linear_of_one dynamo 18 batch", "linear_of_one torchscript 17 batch"])
def test_an_example_of_size_one_is_traced_at_two_and_recorded(sweep, name):
    result = find(sweep, name)
    assert result.passed, result.message
    assert result.produced.dynamic == {"x": ("batch",)}
    assert "traced at batch2" in result.detail
    assert result.payloads["example"].inputs[0].shape == (1, 4)
    assert result.payloads["example"].items == 1


@pytest.mark.parametrize("name", ["nested dynamo 18 batch", "nested torchscript 17 batch"])
def test_nested_arguments_are_named_by_their_path(sweep, name):
    result = find(sweep, name)
    assert result.passed, result.message
    assert result.produced.dynamic == {"x": ("batch",), "past.key": ("batch",)}
    assert [tensor.name for tensor in result.payloads["example"].inputs] == ["x", "past.key"]


def test_sizes_that_torch_itself_refuses_prove_nothing(sweep):
    result = find(sweep, "undeclared torchscript 17 batch")
    assert result.cause == "dynamic_dim_refused"
    assert "declare its range" in result.message
    assert "multiples of four" in result.detail


def test_a_shape_that_cells_ask_for_is_proven_and_packed(sweep, export_root):
    result = find(sweep, "linear dynamo 18 batch")
    payload = result.payloads["batch7"]
    assert payload.sizes == (("batch", 7),)
    assert payload.items == 7
    assert "batch7" in result.sizes_tried
    service = ExportService(export_root)
    model = service.path_of(result.manifest.model.sha256).read_bytes()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    load = {
        tensor.name: np.load(service.path_of(tensor.blob.sha256), allow_pickle=False)
        for tensor in (*payload.inputs, *payload.references)
    }
    (output,) = session.run([payload.references[0].name], {"x": load["x"]})
    assert load["x"].shape == (7, 4)
    np.testing.assert_allclose(output, load[payload.references[0].name], rtol=1e-3, atol=1e-4)


def test_no_host_path_and_no_source_line_reaches_a_board(sweep, export_root):
    for result in sweep.values():
        if result.manifest is None:
            continue
        data = model_bytes(export_root, result)
        for secret in (b"secret_place", b"lab_models", b"site-packages", b"self.layer", b"stack_trace"):
            assert secret not in data, result.variant.slug


def test_what_the_exporter_wrote_is_kept_on_the_host(sweep, export_root):
    result = find(sweep, "conv dynamo 18 batch")
    original = onnx.load(export_root / "originals" / f"{result.manifest.model.sha256}.onnx", load_external_data=False)
    assert any(node.metadata_props for node in original.graph.node)


def test_large_weights_are_blobs_of_their_own_that_variants_share(sweep, export_root):
    dynamo, script = find(sweep, "wide dynamo 18 static"), find(sweep, "wide torchscript 17 static")
    assert dynamo.passed
    assert script.passed
    assert dynamo.manifest.external
    model = onnx.load_from_string(model_bytes(export_root, dynamo))
    locations = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    assert locations == {f"{blob.sha256}.bin" for blob in dynamo.manifest.external}
    assert not find(sweep, "linear dynamo 18 static").manifest.external


def test_results_survive_json(sweep):
    for result in sweep.values():
        assert from_json(ExportResult, json.loads(json.dumps(to_json(result), allow_nan=False))) == result


def test_a_second_service_exports_nothing(sweep, sweep_jobs, export_root, export_all):
    again = export_all(export_root, sweep_jobs)
    assert [name for name, result in again.items() if not result.cached] == []
    assert {name: replace(result, cached=False) for name, result in again.items()} == sweep


def test_another_process_gives_the_same_digests(sweep, lab, make_job, export_all, tmp_path):
    jobs = [make_job(lab("loop"), "torchscript", 17, "full"), make_job(lab("conv"), "dynamo", 18, "batch")]
    for name, result in export_all(tmp_path, jobs, slots=1).items():
        assert not result.cached
        assert result.manifest == sweep[name].manifest
        assert result.produced == sweep[name].produced
