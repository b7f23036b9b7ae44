from __future__ import annotations

from collections.abc import Callable

import pytest
from edgesweep.export.result import ExportResult, Payload, Produced
from edgesweep.plan.cell import Cell, Shape, Variant
from edgesweep.stats.summary import summarise
from edgesweep.store.records import TrialRecord
from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.trial import (
    Placement,
    ProviderShare,
    Samples,
    SessionFacts,
    Stage,
    TrialOutcome,
    TrialResult,
)


def digest(letter: str) -> str:
    return letter * 64


@pytest.fixture
def make_cell() -> Callable[..., Cell]:
    return _cell


@pytest.fixture
def make_export() -> Callable[..., ExportResult]:
    return _export


def _cell(opset: int = 18, model: str = "net", device: str = "pi", **more) -> Cell:
    fields = {"runtime": "1.32.0", "providers": ("cpu",), **more}
    return Cell(Variant(model, "dynamo", opset, "static"), device, **fields)


def _export(opset: int = 18, letter: str = "a", cause: str = "", produced: int | None = None) -> ExportResult:
    blob = Blob(digest(letter), 10)
    tensor = Tensor("x", Blob(digest("b"), 4), "float32", (1,))
    return ExportResult(
        Variant("net", "dynamo", opset, "static"),
        Stage.CHECK,
        cause,
        "a sentence" if cause else "",
        manifest=Manifest(blob),
        produced=Produced(produced or opset, 10, {}, digest(letter), digest("c"), 10, 3),
        payloads={Shape().slug: Payload((), (tensor,), (tensor,), items=2)},
    )


@pytest.fixture
def make_trial() -> Callable[..., TrialRecord]:
    def make(
        cell: Cell,
        outcome: TrialOutcome = TrialOutcome.PASS,
        *,
        round_no: int = 0,
        attempt: int = 0,
        cause: str = "",
        stage: Stage = Stage.PLACEMENT,
        nodes: dict[str, int] | None = None,
        tags: tuple[str, ...] = (),
    ) -> TrialRecord:
        measured = outcome is TrialOutcome.PASS
        shares = tuple(ProviderShare(name, count) for name, count in (nodes or {"CPUExecutionProvider": 3}).items())
        result = TrialResult(
            f"run/{cell.key}/{round_no}/{attempt}",
            outcome,
            stage,
            cause,
            session=SessionFacts("1.32.0", (shares[0].provider, "CPUExecutionProvider"), 1, "all", "bound"),
            placement=Placement("assignment", "h", shares),
            samples=Samples(Blob(digest("d"), 800), 3, 100, 1, "min_duration") if measured else None,
            tags=tags,
        )
        latency = summarise([1_000_000 + i for i in range(100)]) if measured else None
        return TrialRecord(result.trial_id, cell.name, round_no, attempt, result, latency)

    return make
