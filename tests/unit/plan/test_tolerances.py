"""What outputs are held to on a device: precision, what the providers compute in, and the plan, the last word winning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep.export.registry import PRECISIONS
from edgesweep.plan.cell import Cell, Variant
from edgesweep.plan.load import LoadedPlan
from edgesweep.plan.sources import sources_of
from edgesweep.plan.tolerances import Agreed, VerifyRules, computed_in, tolerance_for
from edgesweep.plan.verify import Allowance, VerifySection
from edgesweep_proto.trial import Tolerance

Read = Callable[[str], LoadedPlan]

FP32 = Tolerance(1e-4, 1e-3)
FP16 = Tolerance(1e-2, 1e-2)
INT8 = Tolerance(0.0, 0.0, 20.0)


@pytest.mark.parametrize(
    ("precision", "wanted", "across"),
    [("fp32", FP32, 1e-4), ("fp16", FP16, 1e-2), ("int8-dynamic", INT8, 1e-1), ("int8-static", INT8, 1e-1)],
)
def test_by_itself_the_precision_decides(precision: str, wanted: Tolerance, across: float) -> None:
    assert tolerance_for(precision, ("cpu",), {}) == Agreed(wanted, "precision", "", across)


@pytest.mark.parametrize(
    ("provider", "options", "bits"),
    [
        ("cpu", {}, ""),
        ("openvino", {}, ""),
        ("openvino", {"device_type": "CPU"}, ""),
        ("openvino", {"device_type": "GPU.1"}, "fp16"),
        ("openvino", {"device_type": "AUTO:NPU,CPU"}, "fp16"),
        ("openvino", {"device_type": "GPU", "precision": "ACCURACY"}, ""),
        ("openvino", {"precision": "FP32", "device_type": "NPU"}, ""),
        ("coreml", {}, "fp16"),
        ("coreml", {"MLComputeUnits": "CPUOnly"}, ""),
        ("qnn", {}, "fp16"),
        ("qnn", {"backend_type": "cpu"}, ""),
        ("qnn", {"enable_htp_fp16_precision": "0"}, ""),
        ("cuda", {}, "tf32"),
        ("cuda", {"use_tf32": "0"}, ""),
        ("tensorrt", {}, "tf32"),
        ("tensorrt", {"trt_fp16_enable": "True"}, "fp16"),
        ("tensorrt", {"trt_fp16_enable": "False"}, "tf32"),
        ("tensorrt", {"trt_fp16_enable": "1", "trt_int8_enable": "1"}, "int8"),
        ("TensorrtExecutionProvider", {"trt_fp16_enable": "1"}, "fp16"),
        ("FutureExecutionProvider", {"precision": "FP16"}, ""),
    ],
)
def test_what_a_provider_computes_in(provider: str, options: dict[str, str], bits: str) -> None:
    assert computed_in(provider, options) == bits


def test_a_provider_that_computes_in_fewer_bits_is_held_to_what_those_can_give() -> None:
    options = {"tensorrt": {"trt_fp16_enable": "True"}}
    found = tolerance_for("fp32", ("tensorrt", "cuda", "cpu"), options)
    assert found == Agreed(FP16, "provider", "tensorrt computes in fp16", 1e-2)
    # Whichever node it gets: the loosest of the chain counts.
    assert tolerance_for("fp32", ("cpu", "coreml"), {}).note == "coreml computes in fp16"
    assert tolerance_for("fp32", ("tensorrt",), {"tensorrt": {"trt_int8_enable": "1"}}).tolerance == INT8


def test_a_provider_never_makes_it_stricter_than_the_precision() -> None:
    assert tolerance_for("fp16", ("coreml",), {}) == Agreed(FP16, "precision", "", 1e-2)
    assert tolerance_for("int8-static", ("cuda",), {}) == Agreed(INT8, "precision", "", 1e-1)


def test_the_plan_counts_more_than_provider_and_precision_and_keeps_what_it_does_not_say() -> None:
    section = VerifySection(absolute=0.5)
    assert tolerance_for("fp32", ("cpu",), {}, [section]).tolerance == Tolerance(0.5, 1e-3)
    found = tolerance_for("fp32", ("coreml",), {}, [section])
    assert found == Agreed(Tolerance(0.5, 1e-2), "plan", "coreml computes in fp16", 1e-2)


def test_the_model_counts_more_than_the_plan_and_in_each_the_provider_more_than_the_rest() -> None:
    plan = VerifySection(
        absolute=1, relative=2, providers={"cuda": Allowance(absolute=3), "cpu": Allowance(absolute=4)}
    )
    model = VerifySection(relative=5, providers={"cuda": Allowance(relative=6)})
    assert tolerance_for("fp32", ("cpu",), {}, [plan]).tolerance == Tolerance(4, 2)
    assert tolerance_for("fp32", ("cuda", "cpu"), {}, [plan]).tolerance == Tolerance(3, 2)
    assert tolerance_for("fp32", ("cpu",), {}, [plan, model]).tolerance == Tolerance(4, 5)
    assert tolerance_for("fp32", ("cuda", "cpu"), {}, [plan, model]).tolerance == Tolerance(3, 6)
    assert tolerance_for("fp32", ("xnnpack",), {}, [None, model]).tolerance == Tolerance(1e-4, 5)


def test_element_by_element_is_not_for_quantised_variants_nor_the_ratio_for_others() -> None:
    section = VerifySection(absolute=1, relative=2, sqnr_db=15)
    assert tolerance_for("fp32", ("cpu",), {}, [section]).tolerance == Tolerance(1, 2)
    assert tolerance_for("int8-static", ("cpu",), {}, [section]).tolerance == Tolerance(0, 0, 15)
    only = VerifySection(absolute=1)
    assert tolerance_for("int8-static", ("cpu",), {}, [only]) == Agreed(INT8, "precision", "", 1e-1)


def test_the_ratio_by_itself_is_for_every_variant() -> None:
    found = tolerance_for("fp32", ("qnn",), {}, [VerifySection(providers={"qnn": Allowance(sqnr_db=30)})])
    assert found.tolerance == Tolerance(1e-2, 1e-2, 30)
    back = tolerance_for("fp32", ("qnn",), {}, [VerifySection(sqnr_db=30), VerifySection(absolute=1)])
    assert back.tolerance == Tolerance(1, 1e-2)


def test_a_plan_says_it_for_all_for_a_model_and_for_a_provider(read: Read) -> None:
    text = """
version: 1
models:
  - {zoo: detector, verify: {absolute: 0.5}}
  - {zoo: mobile-cnn}
verify: {relative: 0.25, providers: {OpenVINOExecutionProvider: {absolute: 0.125}}}
"""
    rules = VerifyRules.of(read(text).plan)

    def agreed(model: str, *chain: str) -> Tolerance:
        return rules.agreed(Cell(Variant(model, "dynamo", 18, "static"), "pi", "1.23.2", chain)).tolerance

    assert agreed("mobile-cnn", "cpu") == Tolerance(1e-4, 0.25)
    assert agreed("mobile-cnn", "openvino", "cpu") == Tolerance(0.125, 0.25)
    assert agreed("detector", "openvino") == Tolerance(0.5, 0.25)
    assert VerifyRules().agreed(Cell(Variant("m", "dynamo", 18, "static"), "pi", "1.23.2", ("cpu",))) == Agreed()


def test_the_host_proves_by_what_the_plan_says_whatever_the_provider(read: Read, tmp_path: Path) -> None:
    text = """
version: 1
models:
  - {zoo: detector, verify: {absolute: 0.5, providers: {cpu: {absolute: 9}}}}
  - {zoo: mobile-cnn}
  - {zoo: mobile-cnn, name: other, verify: {sqnr_db: 30}}
verify: {providers: {cpu: {relative: 9}}}
"""
    detector, mobile, other = sources_of(read(text).plan, tmp_path)
    assert detector.tolerances == {"fp32": Tolerance(0.5, 1e-3), "fp16": Tolerance(0.5, 1e-2)}
    assert mobile.tolerances == {}
    assert {precision: asked.sqnr_db for precision, asked in other.tolerances.items()} == dict.fromkeys(PRECISIONS, 30)
