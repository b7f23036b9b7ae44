"""What is predicted from facts and limits, and that nothing is guessed where either is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.compat.predict import predict
from edgesweep.compat.prediction import PredictionState
from edgesweep.errors import CATALOGUE
from edgesweep.export.result import Produced
from edgesweep_proto.device import ProviderProbe, Runtime
from hypothesis import given
from hypothesis import strategies as st

CPU = "CPUExecutionProvider"
OLD = Runtime(
    "1.16.3", "", "1.16.3", "", "3.10", "1.26", ("OpenVINOExecutionProvider", CPU), (ProviderProbe(CPU, 3),),
    max_opset=19, max_ir_version=9, types=("float16", "float32", "int64"), domains=("ai.onnx", "com.microsoft"),
)  # fmt: skip
FINE = Produced(
    17, 8, {}, "d", "g", 10, 3, ("ai.onnx",), operators=("Add", "com.microsoft.Gelu"), types=("float32", "int64")
)


def causes(produced: Produced, runtime: Runtime = OLD, providers: tuple[str, ...] = ("cpu",)) -> list[str]:
    return [prediction.cause for prediction in predict(produced, runtime, providers)]


def test_what_is_within_the_limits_is_not_predicted_to_fail() -> None:
    assert predict(FINE, OLD) == ()
    assert predict(replace(FINE, opset=19, ir_version=9, types=OLD.types), OLD) == ()


@pytest.mark.parametrize(
    ("change", "cause", "limit", "words"),
    [
        ({"opset": 20}, "opset_unsupported", "opset 19", ["20", "19", "1.16.3"]),
        ({"ir_version": 10}, "ir_unsupported", "IR version 9", ["10", "9", "1.16.3"]),
        ({"operators": ("Add", "com.acme.Magic")}, "unsupported_op", "domain com.acme", ["com.acme.Magic", "1.16.3"]),
        ({"types": ("float32", "int4")}, "element_type_unsupported", "type int4", ["int4", "1.16.3"]),
    ],
)
def test_one_beyond_a_limit_is_predicted_with_value_and_limit(change, cause, limit, words) -> None:
    (prediction,) = predict(replace(FINE, **change), OLD)
    assert (prediction.cause, prediction.limit) == (cause, limit)
    assert (prediction.state, prediction.by) == (PredictionState.PREDICTED, "")
    assert cause in CATALOGUE
    for word in words:
        assert word in prediction.message


def test_the_opset_comes_first_and_the_rest_follows_in_the_order_of_a_load() -> None:
    bad = replace(FINE, opset=23, ir_version=11, operators=("com.acme.Magic",), types=("int4",))
    assert causes(bad) == ["opset_unsupported", "ir_unsupported", "unsupported_op", "element_type_unsupported"]


@pytest.mark.parametrize("field", ["max_opset", "max_ir_version"])
def test_a_limit_that_was_not_found_predicts_nothing(field) -> None:
    bad = replace(FINE, opset=99, ir_version=99)
    assert len(causes(bad, replace(OLD, **{field: None}))) == 1


def test_an_older_agent_without_limits_gets_no_prediction() -> None:
    unknown = replace(OLD, max_opset=None, max_ir_version=None, types=(), domains=())
    assert causes(replace(FINE, opset=99, ir_version=99, operators=("a.B",), types=("int4",)), unknown) == []


def test_facts_that_were_not_read_predict_nothing() -> None:
    assert causes(replace(FINE, operators=(), types=(), domains=("ai.onnx", "com.acme"))) == []


def test_a_domain_that_is_imported_and_never_called_does_no_harm() -> None:
    assert causes(replace(FINE, domains=("ai.onnx", "com.acme"))) == []


def test_another_provider_may_bring_types_and_domains_of_its_own() -> None:
    bad = replace(FINE, opset=23, operators=("com.acme.Magic",), types=("int4",))
    assert causes(bad, providers=("openvino", "cpu")) == ["opset_unsupported"]


def test_a_chain_that_the_build_lacks_ends_for_that_reason() -> None:
    assert causes(replace(FINE, opset=23), providers=("cuda", "cpu")) == []


def test_a_runtime_that_cannot_be_used_has_a_fault_and_no_prediction() -> None:
    assert causes(replace(FINE, opset=23), replace(OLD, fault="libfoo is missing")) == []


@given(opset=st.integers(7, 40), newest=st.integers(7, 40), ir=st.integers(3, 20), newest_ir=st.integers(3, 20))
def test_versions_are_predicted_exactly_when_they_are_beyond_the_limit(opset, newest, ir, newest_ir) -> None:
    runtime = replace(OLD, max_opset=newest, max_ir_version=newest_ir)
    found = causes(replace(FINE, opset=opset, ir_version=ir), runtime)
    expected = ["opset_unsupported"] * (opset > newest) + ["ir_unsupported"] * (ir > newest_ir)
    assert found == expected
