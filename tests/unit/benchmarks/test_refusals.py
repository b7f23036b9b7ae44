"""The rule that the sweep over several runtimes is held against."""

from __future__ import annotations

import pytest
import refusals
from refusals import Expected, Limits

OLD = Limits(ir_version=9, opset=19)
IR = "Load model from a.onnx failed: Unsupported model IR version: 10, max supported IR version: 9"
OPSET = (
    "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 20 is under "
    "development and support for this is limited."
)


def cell(
    outcome: str, stage: str = "load", cause: str | None = None, also: tuple[str, ...] = (), chain: str = "cpu"
) -> dict[str, object]:
    return {"outcome": outcome, "stage": stage, "cause": cause, "also": list(also), "providers": [chain]}


@pytest.mark.parametrize(
    ("ir_version", "opset", "expected"),
    [
        (9, 19, Expected()),
        (10, 19, Expected("ir_unsupported")),
        (9, 20, Expected("opset_unsupported")),
        (10, 20, Expected("opset_unsupported", ("ir_unsupported",))),
    ],
)
def test_the_opset_is_named_first(ir_version: int, opset: int, expected: Expected) -> None:
    assert refusals.must_end(ir_version, opset, OLD) == expected


@pytest.mark.parametrize(
    ("error", "kind"), [("", ""), (IR, "ir"), (OPSET, "opset"), ("No Op registered for Gelu in opset 19", "other")]
)
def test_the_runtimes_words_are_told_apart(error: str, kind: str) -> None:
    assert refusals.kind_of(error) == kind


@pytest.mark.parametrize(
    ("ended", "error", "expected", "words"),
    [
        (cell("pass", "placement"), "", Expected(), []),
        (cell("failed", "verify", "wrong_output"), "", Expected(), []),
        (cell("failed", cause="ir_unsupported"), IR, Expected("ir_unsupported"), []),
        (cell("failed", cause="unsupported_op"), "No Op registered for Gelu", Expected(), []),
        (cell("failed", cause="opset_unsupported"), IR, Expected("ir_unsupported"), ["instead of"]),
        (
            cell("failed", cause="opset_unsupported"),
            IR,
            Expected("opset_unsupported", ("ir_unsupported",)),
            ["instead of"],
        ),
        (cell("failed", cause="unsupported_op"), "", Expected(), ["plain onnxruntime: loads"]),
        (cell("failed", cause="unsupported_op", chain="openvino"), "", Expected(), []),
        (cell("failed", cause="unsupported_op", chain="openvino"), IR, Expected("ir_unsupported"), ["instead of"]),
        (cell("failed", cause="ir_unsupported", chain="openvino"), "", Expected(), ["loads", "within the limits"]),
        (cell("pass", "placement"), IR, Expected("ir_unsupported"), ["ended pass"]),
        (cell("failed", cause="ir_unsupported"), "", Expected(), ["plain onnxruntime: loads", "within the limits"]),
        (cell("failed", cause="ir_unsupported"), "", Expected("ir_unsupported"), ["plain onnxruntime: loads"] * 2),
        (cell("failed", cause="ir_unsupported"), "No Op registered", Expected(), ["within the limits"]),
    ],
)
def test_every_difference_is_said(ended: dict[str, object], error: str, expected: Expected, words: list[str]) -> None:
    found = refusals.differences(ended, error, expected)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))
