"""The export room's one door: describe a model, export variants, find the blobs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgesweep_proto.codec import from_json, to_json
from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.digest import source_key
from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import STOP_SIGNALS, failure_of_host, file_failure
from edgesweep.export.proof.tolerance import tolerance_for
from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob, Schedule
from edgesweep.export.workers.slot import Limits, Slot, WorkerDiedError, WorkerTimeoutError
from edgesweep.models.source import ModelFacts, ModelSource
from edgesweep.plan.cell import Variant

__all__ = ["ExportJob", "ExportService"]

_DEFAULT_SLOTS = 2
#: Steps before the model's own code runs: what takes too long there is the host's fault.
_STARTING = frozenset({"start", "import"})
#: Steps that every opset of a profile goes through alike: what hangs there would hang again at each.
_SHARED_STEPS = frozenset({"prepare", "capture"})
#: A process that died may die of one opset alone, unless it only ran the model.
_SHARED_DEATHS = frozenset({"prepare"})


class ExportService:
    """Exports variants in worker processes and keeps their results under one folder.

    An async context manager: leaving it, by any way, kills the workers and everything they started.

    Args:
        root: The folder of blobs, cached results and originals.
        slots: Workers at once; by default two, or one on a single core.
        timeout_s: Seconds that one variant may take, its model's factory included.
        memory_bytes: Address space of a worker; None for no limit.
    """

    def __init__(
        self, root: Path, *, slots: int | None = None, timeout_s: float = 300, memory_bytes: int | None = None
    ) -> None:
        layout = Layout(root.absolute())
        cores = len(os.sched_getaffinity(0))
        count = slots if slots is not None else min(_DEFAULT_SLOTS, cores)
        limits = Limits(timeout_s, memory_bytes, max(1, cores // count))
        self._blobs = Blobs(layout.blobs)
        self._slots = [Slot(layout, limits) for _ in range(count)]
        self._timeout_s = timeout_s
        self._serving: set[asyncio.Task[None]] = set()
        self.on_start: Callable[[Variant], None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill the workers and everything they started; jobs under way end without a result."""
        for slot in self._slots:
            slot.kill()
        await self._stop(list(self._serving))
        await asyncio.gather(*(slot.close() for slot in self._slots))

    def path_of(self, sha256: str) -> Path:
        """Where the blob of that digest lies: a model, its external data, an input or a reference."""
        return self._blobs.path_of(sha256)

    async def describe(self, source: ModelSource) -> ModelFacts:
        """The facts of a model, loaded in a worker only where they are not known otherwise.

        Raises:
            EdgesweepError: `model_unusable`, or `missing_extra` where torch would be needed and is not installed.
        """
        from edgesweep.models.describe import describe_source

        known = describe_source(source)
        if known is not None:
            return known
        slot = next((slot for slot in self._slots if not slot.lock.locked()), self._slots[0])
        async with slot.lock:
            try:
                answer = await slot.ask({"op": "describe", "source": to_json(source)})
            except OSError as error:
                raise EdgesweepError("export_host_trouble", file_failure(error).message) from error
            except WorkerTimeoutError as error:
                if error.step in _STARTING:
                    raise EdgesweepError("export_host_trouble", self._timed_out(error).message) from error
                sentence = f"model '{source.name}': its factory did not return within {self._timeout_s:g} s"
                raise EdgesweepError("model_unusable", sentence) from error
            except WorkerDiedError as error:
                if -error.status in STOP_SIGNALS:
                    raise EdgesweepError("export_host_trouble", _died(error).message) from error
                sentence = f"model '{source.name}': the process died in its factory ({error.how})"
                raise EdgesweepError("model_unusable", sentence) from error
        if "error" in answer:
            told = answer["error"]
            raise EdgesweepError(told["code"], told["message"], remedy=told["remedy"])
        facts: ModelFacts = from_json(ModelFacts, answer["facts"])
        return facts

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
                        for result in await self._run(slot, job, schedule):
                            results.put_nowait(result)
                except asyncio.CancelledError:
                    await slot.close()
                    raise
        finally:
            # The task is done only after this line, so the reader looks again a moment later.
            asyncio.get_running_loop().call_soon(results.put_nowait, None)

    async def _run(self, slot: Slot, job: ExportJob, schedule: Schedule) -> list[ExportResult]:
        """The job's result, and those of the jobs that are bound to end the same way."""
        if self.on_start is not None:
            self.on_start(job.variant)
        request: dict[str, Any] = {
            "op": "export",
            "source": to_json(job.source),
            "variant": to_json(job.variant),
            "shapes": [to_json(shape) for shape in job.shapes],
        }
        try:
            answer = await slot.ask(request)
        except OSError as error:
            return [_failed(job, file_failure(error))]
        except WorkerTimeoutError as error:
            return _spread(job, schedule, error.step, _SHARED_STEPS, self._timed_out(error))
        except WorkerDiedError as error:
            return _spread(job, schedule, error.step, _SHARED_DEATHS, _died(error))
        result: ExportResult = from_json(ExportResult, answer["result"])
        if result.cause == "factory_failed":
            failure = Failure(result.stage, result.cause, result.message, result.detail)
            return [result, *(_failed(other, failure) for other in schedule.drop(source_key(job.source)))]
        return [result]

    def _timed_out(self, error: WorkerTimeoutError) -> Failure:
        if error.step in _STARTING:
            return failure_of_host("the export process did not start in time", error.evidence)
        if error.step == "factory":
            message = f"the model's factory did not return within {self._timeout_s:g} s"
            return Failure(Stage.EXPORT, "factory_timeout", message, error.evidence)
        message = f"the exporter did not finish within {self._timeout_s:g} s"
        return Failure(Stage.EXPORT, "export_timeout", message, error.evidence)


def _spread(
    job: ExportJob, schedule: Schedule, step: str, shared: frozenset[str], failure: Failure
) -> list[ExportResult]:
    """The job's failure, and the same for the jobs of its model (the factory) or its profile (a shared step)."""
    model = source_key(job.source)
    others: list[ExportJob] = []
    if not CATALOGUE[failure.cause].stable:
        return [_failed(job, failure)]
    if step == "factory":
        others = schedule.drop(model)
    elif step in shared:
        others = schedule.drop(model, exporter=job.variant.exporter, axes=job.variant.axes)
    return [_failed(each, failure) for each in (job, *others)]


def _died(error: WorkerDiedError) -> Failure:
    if error.killed_for_memory:
        return Failure(Stage.EXPORT, "export_oom", "the kernel killed the export process for memory", error.evidence)
    if -error.status in STOP_SIGNALS:
        return failure_of_host(f"the export process was stopped from outside ({error.how})", error.evidence)
    where = "in the model's factory" if error.step == "factory" else "while it exported this variant"
    return Failure(Stage.EXPORT, "export_crash", f"the export process died {where} ({error.how})", error.evidence)


def _failed(job: ExportJob, failure: Failure) -> ExportResult:
    return ExportResult(
        job.variant,
        failure.stage,
        failure.cause,
        failure.message,
        failure.detail,
        tolerance=tolerance_for(job.variant.precision),
    )
