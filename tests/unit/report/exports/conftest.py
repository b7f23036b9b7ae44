"""A matrix with every way in which a variant can end, as the store gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.result import ExportResult, Produced, SizeProof
from edgesweep.plan.cell import Variant
from edgesweep.store.records import RunKind, RunRecord, RunState, RunView
from edgesweep_proto.trial import Numerics, Stage

MODEL = "detector"
TRACEBACK = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/torch/export/_trace.py", line 2124, in forward
    tree_out = mod(*args, **kwargs)
  File "/home/somebody/lab/models.py", line 12, in forward
    if x.sum() > 0:
torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode: Could not guard on data-dependent expression Eq(u0, 1) (unhinted: Eq(u0, 1)).
"""


def variant(exporter: str = "dynamo", opset: int = 18, axes: str = "static", **more: Any) -> Variant:
    return Variant(MODEL, exporter, opset, axes, **more)


def produced(opset: int = 18, ir: int = 10, letter: str = "a", **more: Any) -> Produced:
    fields = {"dynamic": {}, "digest": letter * 64, "graph_hash": "b" * 64, "size_bytes": 2**20, "nodes": 67, **more}
    return Produced(opset, ir, **fields)


def result(asked: Variant, cause: str = "", stage: Stage = Stage.CHECK, **more: Any) -> ExportResult:
    fields = {"tolerance": tolerance_for(asked.precision), "seconds": 1.25, **more}
    return ExportResult(asked, stage, cause, **fields)


AGREES = SizeProof("example", max_absolute_error=2e-6, max_relative_error=3e-5)
RESULTS = (
    result(
        variant("dynamo", 13),
        "opset_not_honoured",
        message="opset 13 was asked for, the exporter produced opset 18",
        produced=produced(18),
    ),
    result(variant("dynamo", 18), produced=produced(18), proof=(AGREES,), numerics=Numerics(2e-6, 3e-5, 1)),
    result(variant("dynamo", 19), produced=produced(19, letter="b"), proof=(AGREES,), cached=True),
    result(variant("dynamo", 20), produced=produced(20, letter="c"), proof=(AGREES,)),
    result(
        variant("dynamo", 18, "batch"),
        detail="traced at batch2: torch makes a dimension of size 1 static",
        produced=produced(
            18,
            letter="d",
            dynamic={"x": ("batch",)},
            declared={"x": ("batch", "3", "64")},
            domains=("", "com.microsoft"),
        ),
        proof=(AGREES, SizeProof("batch8", max_absolute_error=1e-6)),
    ),
    result(
        variant("torchscript", 18, "batch"),
        "wrong_output",
        message="output 'y' is wrong at batch8: 3 of 9 elements are off, by up to 1.4",
        produced=produced(18, 8, "e", declared={"x": ("batch", "3", "64")}),
        proof=(
            AGREES,
            SizeProof("batch8", wrong="3 of 9 elements are off, by up to 1.4", offender="y", max_absolute_error=1.4),
        ),
    ),
    result(
        variant("torchscript", 19, "batch"),
        "dynamic_dim_refused",
        message="the artifact refuses batch8: Reshape",
        produced=produced(19, 9, "f", declared={"x": ("batch", "3", "64")}),
        proof=(AGREES, SizeProof("batch8", refused="the input shape does not fit Reshape")),
    ),
    result(
        variant("torchscript", 20, "batch"),
        "dynamic_dim_static",
        message="dimension 'batch' (axis 0 of input 'x') came out static: it is always 1",
        produced=produced(20, 9, "0", declared={"x": ("1", "3", "64")}),
    ),
    result(
        variant("torchscript", 7),
        "invalid_graph",
        message="the ONNX checker refuses the exported graph: no op registered",
        produced=produced(7, 3, "1"),
    ),
    result(
        variant("torchscript", 18),
        "export_data_dependent",
        Stage.EXPORT,
        message="the model branches on the values of its input at models.py:12 in forward: if x.sum() > 0:",
        detail=TRACEBACK,
    ),
    result(
        variant("dynamo", 18, "static", precision="fp16"),
        "precision_unsupported",
        Stage.EXPORT,
        message="fp16: the converter knows no TopK",
    ),
    result(variant("dynamo", 18, "width"), "no_such_dimension", Stage.PLAN, message="it declares batch"),
    result(variant("dynamo", 21), "export_host_trouble", message="the host could not finish the export: No space left"),
)


@pytest.fixture
def results() -> tuple[ExportResult, ...]:
    return RESULTS


@pytest.fixture
def matrix_of() -> Callable[..., RunView]:
    def make(*exports: ExportResult, state: RunState = RunState.COMPLETE) -> RunView:
        run = RunRecord(
            "20261123-201500-nightly-3f2a", "nightly", "ab" * 32, "", {"version": 1}, "/lab", 1795600000.0,
            1795600060.0 if state is RunState.COMPLETE else None, state, "0.1.0", {"python": "3.11"}, kind=RunKind.MATRIX,
        )  # fmt: skip
        return RunView(run, (), (), exports or RESULTS)

    return make
