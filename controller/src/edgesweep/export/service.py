"""The export room's one door: describe a model, export variants, find the blobs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.memory import MemoryGate
from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob, Schedule
from edgesweep.export.workers.crew import Crew
from edgesweep.models.source import ModelFacts, ModelSource
from edgesweep.plan.cell import Variant

__all__ = ["ExportJob", "ExportService"]


class ExportService:
    """Exports variants in worker processes and keeps their results under one folder.

    An async context manager: leaving it, by any way, kills the workers and everything they started.

    Args:
        root: The folder of blobs, cached results and originals.
        slots: Workers at once; by default one for each core that this process may use.
        timeout_s: Seconds that one variant may take, its model's factory included.
        memory_bytes: Address space of a worker; by default it may take what the host has to spare.
        gate: Who lets an export go on when its model is loaded and its size known.
        proof: False leaves out checks and proof, for benchmarks of the rest and tests of the proof; no plan can.
    """

    def __init__(
        self,
        root: Path,
        *,
        slots: int | None = None,
        timeout_s: float = 300,
        memory_bytes: int | None = None,
        gate: MemoryGate | None = None,
        proof: bool = True,
    ) -> None:
        layout = Layout(root.absolute())
        self._blobs = Blobs(layout.blobs)
        self._crew = Crew(
            layout,
            slots if slots is not None else len(os.sched_getaffinity(0)),
            timeout_s=timeout_s,
            memory_bytes=memory_bytes,
            gate=gate,
            proof=proof,
        )
        self._slots = self._crew.slots
        self._serving: set[asyncio.Task[None]] = set()
        #: Told of every variant that a slot takes up.
        self.on_start: Callable[[Variant], None] | None = None
        #: Told of every step that a variant comes to; `STEPS` in `workers.requests` lists them in order.
        self.on_step: Callable[[Variant, str], None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill the workers and everything they started; jobs under way end without a result."""
        self._crew.kill()
        await self._stop(list(self._serving))
        await self._crew.close()

    def path_of(self, sha256: str) -> Path:
        """Where the blob of that digest lies: a model, its external data, an input or a reference."""
        return self._blobs.path_of(sha256)

    async def warm_up(self, count: int | None = None) -> None:
        """Start workers and have them import what exports need, so that it is done when the first job comes.

        Args:
            count: How many workers; by default all. Those that are busy are warm.
        """
        idle = [number for number, slot in enumerate(self._slots[:count]) if not slot.lock.locked()]
        await asyncio.gather(*map(self._warm_up, idle))

    async def _warm_up(self, number: int) -> None:
        async with self._slots[number].lock:
            await self._crew.warm_up(number)

    async def describe(self, source: ModelSource) -> ModelFacts:
        """The facts of a model, loaded in a worker only where they are not known otherwise.

        Raises:
            EdgesweepError: `model_unusable`, or `missing_extra` where torch would be needed and is not installed.
        """
        from edgesweep.models.describe import describe_source

        known = describe_source(source)
        if known is not None:
            return known
        number = next((number for number, slot in enumerate(self._slots) if not slot.lock.locked()), 0)
        async with self._slots[number].lock:
            return await self._crew.describe(number, source)

    async def export(self, jobs: Sequence[ExportJob]) -> AsyncIterator[ExportResult]:
        """Export every job and yield its one result, in order of completion. A failure is a result too.

        Closing the iterator, or cancelling the task that reads it, kills the workers that are busy.
        """
        schedule = Schedule(jobs)
        results: asyncio.Queue[ExportResult | None] = asyncio.Queue()
        tasks = [asyncio.create_task(self._serve(index, schedule, results)) for index in range(len(self._slots))]
        self._serving.update(tasks)
        try:
            for _ in jobs:
                result = await self._next(results, tasks)
                yield result
        finally:
            await self._stop(tasks)

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Have no slot take another job, and wait until the busy ones are dead."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._serving.difference_update(tasks)

    @staticmethod
    async def _next(results: asyncio.Queue[ExportResult | None], tasks: Sequence[asyncio.Task[None]]) -> ExportResult:
        """The next result, or the error of a slot whose task fell over: a bug must not become a wait without end."""
        while True:
            result = await results.get()
            if result is not None:
                return result
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    async def _serve(self, index: int, schedule: Schedule, results: asyncio.Queue[ExportResult | None]) -> None:
        """Take jobs for one slot until none is left."""
        slot = self._slots[index]
        try:
            async with slot.lock:
                try:
                    while (job := schedule.next(index)) is not None:
                        for result in await self._run(index, job, schedule):
                            results.put_nowait(result)
                except asyncio.CancelledError:
                    await slot.close()
                    raise
        finally:
            # The task is done only after this line, so the reader looks again a moment later.
            asyncio.get_running_loop().call_soon(results.put_nowait, None)

    async def _run(self, index: int, job: ExportJob, schedule: Schedule) -> list[ExportResult]:
        """The job's result, and those of the jobs that are bound to end the same way."""
        if self.on_start is not None:
            self.on_start(job.variant)
        ended = await self._crew.attempt(index, job, partial(self._tell_step, job.variant))
        return ended.all_results(job, schedule)

    def _tell_step(self, variant: Variant, step: str) -> None:
        if self.on_step is not None:
            self.on_step(variant, step)
