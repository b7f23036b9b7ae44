from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgesweep.export.artifacts import saving
from edgesweep.export.calibration import DRAWS, calibration_feeds
from edgesweep.export.failures.conversion import blame_step, conversion_failure
from edgesweep.export.failures.failure import Failure
from edgesweep.export.precisions import precision_named
from edgesweep.export.proof.allowed import tolerance_for, widened
from edgesweep.export.proof.tolerance import compare
from edgesweep.export.registry import FP32, PRECISIONS
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob
from edgesweep.export.workers.making import Kind as StepKind
from edgesweep.export.workers.making import Shelf, Step, StepFailedError
from edgesweep.models.load import load_model
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant
from edgesweep_proto.trial import Stage
from onnx import TensorProto, helper, numpy_helper

FACTORIES = Path(__file__).with_name("conversion_models.py")
INT8 = ("int8-dynamic", "int8-static")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Callable[[str], ModelSource]:
    file = tmp_path_factory.mktemp("factories") / FACTORIES.name
    file.write_text(FACTORIES.read_text(encoding="utf-8"), encoding="utf-8")
    return lambda name: ModelSource(SourceKind.FACTORY, f"{file}:{name}", name)


@pytest.fixture(scope="module")
def jobs(source) -> list[ExportJob]:
    def job(model: str, precision: str, *, exporter: str = "torchscript", opset: int = 17, axes: str = "static"):
        return ExportJob(source(model), Variant(model, exporter, opset, axes, precision), (Shape(),))

    wanted = [job("perceptron", precision, axes="batch") for precision in PRECISIONS]
    wanted += [job("perceptron", precision, exporter="dynamo", opset=18) for precision in PRECISIONS]
    wanted += [job("convolution", precision) for precision in PRECISIONS]
    wanted += [job("outlier", precision) for precision in INT8]
    wanted += [job("perceptron", precision, opset=9) for precision in (FP32, *INT8)]
    wanted += [job("branch", precision) for precision in PRECISIONS]
    wanted += [job("elementwise", precision) for precision in INT8]
    return [*wanted, job("overflow", "fp16"), job("whole", "fp16")]


@pytest.fixture(scope="module")
def results(export_all, tmp_path_factory, jobs) -> dict[str, ExportResult]:
    return export_all(tmp_path_factory.mktemp("exports"), jobs, slots=1)


@pytest.mark.parametrize(
    "variant",
    [
        "perceptron/torchscript-opset17-batch",
        "perceptron/dynamo-opset18-static",
        "convolution/torchscript-opset17-static",
    ],
)
@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != FP32])
def test_a_converted_artifact_is_proven_against_torch_and_is_of_its_precision(results, variant, precision):
    fp32, converted = results[f"{variant}-{FP32}"], results[f"{variant}-{precision}"]
    assert converted.passed, converted.message
    assert converted.produced.opset == fp32.produced.opset
    assert converted.tolerance == tolerance_for(precision)
    assert converted.numerics.max_absolute_error > fp32.numerics.max_absolute_error
    types = set(converted.produced.types) - set(fp32.produced.types)
    assert types & ({"float16"} if precision == "fp16" else {"int8", "uint8"})
    assert converted.produced.domains == ("ai.onnx",)


def test_inputs_and_outputs_stay_those_of_the_model(results):
    for precision in PRECISIONS:
        result = results[f"perceptron/torchscript-opset17-batch-{precision}"]
        payload = result.payloads["example"]
        assert {tensor.dtype for tensor in (*payload.inputs, *payload.references)} == {"float32"}
        assert payload == results[f"perceptron/torchscript-opset17-batch-{FP32}"].payloads["example"]
        assert result.produced.dynamic == {"x": ("batch",)}


def test_a_quantized_artifact_says_which_operators_and_shapes_it_declares(results):
    produced = results["perceptron/torchscript-opset17-batch-int8-dynamic"].produced
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= set(produced.operators)
    assert produced.declared == {"x": ("batch", "16")}


@pytest.mark.parametrize("precision", INT8)
def test_numbers_that_eight_bits_cannot_hold_are_the_conversions_fault(results, precision):
    result = results[f"outlier/torchscript-opset17-static-{precision}"]
    assert (result.stage, result.cause) == (Stage.CHECK, "precision_lost")
    assert "'lost'" in result.message
    assert "dB" in result.message
    assert "fp32 file is right" in result.message
    assert result.numerics.first_offender == "lost"
    assert result.proof[0].offender == "lost"
    assert not result.proof[0].agreed
    assert not result.payloads


def test_an_overflow_of_half_precision_is_the_conversions_fault(results):
    result = results["overflow/torchscript-opset17-static-fp16"]
    assert result.cause == "precision_lost"
    assert "infinite" in result.message


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_branch_that_was_traced_away_is_never_laid_to_a_conversion(results, precision):
    result = results[f"branch/torchscript-opset17-static-{precision}"]
    assert result.cause == "wrong_output"
    assert result.variant.precision == precision
    assert not result.payloads


@pytest.mark.parametrize("precision", INT8)
def test_a_model_with_nothing_to_quantize_is_no_quantized_model(results, precision):
    result = results[f"elementwise/torchscript-opset17-static-{precision}"]
    assert (result.stage, result.cause) == (Stage.EXPORT, "precision_unsupported")
    assert "nothing changed" in result.message


def test_a_model_without_floats_has_no_half_precision(results):
    result = results["whole/torchscript-opset17-static-fp16"]
    assert result.cause == "precision_unsupported"


@pytest.mark.parametrize("precision", INT8)
def test_an_opset_too_old_for_int8_is_named_instead_of_changed(results, precision):
    assert results["perceptron/torchscript-opset9-static-fp32"].passed
    result = results[f"perceptron/torchscript-opset9-static-{precision}"]
    assert result.cause == "precision_unsupported"
    assert "opset 11" in result.message


def test_equal_requests_give_equal_bytes(results, export_all, tmp_path, jobs):
    again = [job for job in jobs if job.variant.name.startswith("perceptron/torchscript-opset17")]
    repeated = export_all(tmp_path, reversed(again), slots=1)
    assert len(repeated) == len(PRECISIONS)
    for name, result in repeated.items():
        assert result.produced.digest == results[name].produced.digest


def test_calibration_inputs_are_seeded_and_differ_from_draw_to_draw(source):
    model = load_model(source("perceptron"))
    sizes = ({}, {"batch": 1}, {"batch": 8})
    first, second = calibration_feeds(model, sizes), calibration_feeds(model, sizes)
    assert len(first) == DRAWS + 1
    assert [feed["x"].shape[0] for feed in first[:4]] == [4, 8, 1, 4]
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[1]["x"], first[4]["x"])
    assert not np.array_equal(first[0]["x"], first[3]["x"])


def test_the_tools_leave_no_trace_on_the_module_path(results, tmp_path):
    """A factory's `import models` must not find a module of onnxruntime's."""
    script = (
        "import sys; before = list(sys.path)\n"
        "from pathlib import Path\n"
        "import onnx\n"
        "from onnx import TensorProto, helper\n"
        "value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])\n"
        "graph = helper.make_graph([helper.make_node('Relu', ['x'], ['h']), helper.make_node('Exp', ['h'], ['y'])],"
        " 'g', [value('x')], [value('y')])\n"
        "folder = Path(sys.argv[1])\n"
        "onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), folder / 'in.onnx')\n"
        "from edgesweep.export.precisions import precision_named\n"
        "precision_named('fp16').convert(folder / 'in.onnx', folder / 'out.onnx', ())\n"
        "assert (folder / 'out.onnx').exists() and sys.path == before\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_weights_beyond_one_message_are_read_from_and_written_to_files_beside_the_model(
    tmp_path, monkeypatch, precision
):
    """The bound is a gigabyte; here it is nothing, and the same way is taken."""
    monkeypatch.setattr(saving, "EXTERNAL_ABOVE_BYTES", 0)
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    source, target = tmp_path / "source" / "model.onnx", tmp_path / "target" / "model.onnx"
    for path in (source, target):
        path.parent.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    values = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
    precision_named(precision).convert(source, target, [{"x": values}])
    assert sorted(path.name for path in target.parent.iterdir()) == ["model.onnx", "model.onnx.data"]
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": values})
    assert compare(got, np.maximum(values @ weight, 0), tolerance_for("int8-static")).agrees
    assert sorted(path.name for path in source.parent.iterdir()) == ["model.onnx", "weights.bin"]


def test_trouble_of_the_host_in_a_converter_says_nothing_of_the_model():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert conversion_failure(full, "precision_unsupported", "fp16").cause == "export_host_trouble"
    assert conversion_failure(MemoryError(), "precision_unsupported", "fp16").cause == "export_oom"
    refused = conversion_failure(ValueError("no such kernel\nand pages more"), "precision_unsupported", "fp16")
    assert (refused.cause, refused.message) == (
        "precision_unsupported",
        "fp16 refuses the model: ValueError: no such kernel",
    )
    assert "Traceback" in refused.detail or "ValueError" in refused.detail


@pytest.mark.parametrize(
    ("found", "precision", "optimiser"),
    [
        ("wrong_output", "precision_lost", "wrong_output"),
        ("nan_output", "precision_lost", "nan_output"),
        ("invalid_graph", "precision_unsupported", "optimiser_failed"),
        ("opset_not_honoured", "precision_unsupported", "optimiser_failed"),
        ("dynamic_dim_refused", "precision_unsupported", "optimiser_failed"),
        ("unprovable_here", "unprovable_here", "unprovable_here"),
        ("export_host_trouble", "export_host_trouble", "export_host_trouble"),
    ],
)
def test_a_step_is_blamed_for_what_its_own_file_does_wrong(found, precision, optimiser):
    failure = Failure(Stage.CHECK, found, "the words")
    assert blame_step(failure, "tool", precision=True).cause == precision
    assert blame_step(failure, "tool", precision=False).cause == optimiser


def test_slack_lowers_an_sqnr_by_its_decibels():
    int8 = tolerance_for("int8-static")
    assert widened(int8, 10).sqnr_db == pytest.approx(0)
    assert widened(int8, 1) == int8
    assert widened(tolerance_for("fp32"), 10) == replace(tolerance_for("fp32"), absolute=1e-3, relative=1e-2)


def test_a_file_is_made_once_for_all_that_begin_from_it(tmp_path):
    shelf, written = Shelf(), []

    def write(path: Path) -> tuple[str, ...]:
        path.write_bytes(b"model")
        written.append(path)
        return ("warned",)

    shelf.open("a", tmp_path)
    first = shelf.make((), write)
    shelf.open("a", tmp_path)
    assert shelf.make((), write) is first
    assert first.warnings == ("warned",)
    shelf.make((Step(StepKind.PRECISION, "fp16"),), write)
    assert len(written) == 2
    shelf.open("b", tmp_path)
    assert not first.path.exists()
    shelf.make((), write)
    assert len(written) == 3
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("cause", "times"), [("export_error", 1), ("export_host_trouble", 2)])
def test_a_refusal_is_remembered_unless_it_may_end_otherwise(tmp_path, cause, times):
    shelf, tried = Shelf(), []

    def write(path: Path) -> tuple[str, ...]:
        tried.append(path)
        raise StepFailedError(Failure(Stage.EXPORT, cause, "no"))

    shelf.open("a", tmp_path)
    for _ in range(2):
        with pytest.raises(StepFailedError):
            shelf.make((), write)
    assert len(tried) == times
