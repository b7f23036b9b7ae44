"""What a sweep or a matrix needs of whoever exports: this host's own service, or one that uses a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob
from edgesweep.models.source import ModelFacts, ModelSource
from edgesweep.plan.cell import Variant


class Exports(Protocol):
    """Describes models, exports variants and keeps their blobs; an async context manager that leaves nothing behind."""

    #: Told of every variant that is taken up.
    on_start: Callable[[Variant], None] | None
    #: Told of every step that a variant comes to; `STEPS` in `workers.requests` lists them in order.
    on_step: Callable[[Variant, str], None] | None

    async def __aenter__(self) -> Self:
        """Make ready; raises `EdgesweepError` when there is nothing to export on."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs, within about a second."""

    def path_of(self, sha256: str) -> Path:
        """Where the blob of that digest lies on this host."""

    async def warm_up(self, count: int | None = None) -> None:
        """Have so many processes, or all, import what exports need before the first job comes."""

    async def describe(self, source: ModelSource) -> ModelFacts:
        """The facts of a model; raises `EdgesweepError` when it cannot be loaded."""

    def export(self, jobs: Sequence[ExportJob]) -> AsyncIterator[ExportResult]:
        """Every job's one result, in order of completion."""
