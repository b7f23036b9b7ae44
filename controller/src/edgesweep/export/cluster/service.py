"""The export room's door to a Dask cluster: the same jobs and results as on this host, made by the cluster's workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from edgesweep_proto.blob import Blob

from edgesweep.errors import EdgesweepError
from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.cluster.bay import Delivery, Piece, Refusal, describe_model, export_job, read_piece, warm_up
from edgesweep.export.cluster.connection import Connection, Site, WorkerLostError
from edgesweep.export.cluster.fetch import FetchError, fetch
from edgesweep.export.cluster.sight import sight_of
from edgesweep.export.failures.host import failure_of_host, file_failure
from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob, Schedule
from edgesweep.export.workers.requests import failed_job
from edgesweep.models.source import ModelFacts, ModelSource
from edgesweep.plan.cell import Variant


@dataclass(slots=True)
class _Lane:
    """One slot of one Dask worker. Variants that share a trace come to one lane, whose process is warm for them."""

    site: Site
    index: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ClusterService:
    """Exports variants on a Dask cluster and keeps their results on this host.

    An async context manager: leaving it, by any way, closes the bays on the workers and kills what runs in them.

    Only the factory tells what a model is (design.md §8), so it is the worker that looks for a result of an earlier day,
    in a cache that lives as long as that Dask worker; this host's own cache is not asked.

    Args:
        root: The folder of blobs and originals on this host.
        address: The scheduler's, such as `tcp://host:8786`.
        slots: Jobs at once in all; None for one per thread of every worker.
        timeout_s: Seconds that one variant may take, its model's factory included.
        memory_bytes: Address space of a job's process on the worker; None for no limit.
    """

    def __init__(
        self,
        root: Path,
        address: str,
        *,
        slots: int | None = None,
        timeout_s: float = 300,
        memory_bytes: int | None = None,
    ) -> None:
        self._layout = Layout(root.absolute())
        self._blobs = Blobs(self._layout.blobs)
        self._open = partial(
            Connection.open,
            address,
            lanes=slots,
            timeout_s=timeout_s,
            memory_bytes=memory_bytes,
            on_step=self._tell_step,
        )
        self._connection: Connection
        self._lanes: list[_Lane] = []
        self._variants: dict[str, Variant] = {}
        self._busy: set[asyncio.Task[list[ExportResult]]] = set()
        self._fetching: dict[str, asyncio.Lock] = {}
        self.on_start: Callable[[Variant], None] | None = None
        self.on_step: Callable[[Variant, str], None] | None = None

    async def __aenter__(self) -> Self:
        """Connect to the cluster.

        Raises:
            EdgesweepError: `cluster_unreachable` or `cluster_differs`.
        """
        self._connection = await self._open()
        sites = self._connection.sites
        # One lane of every worker before the second of any: models are spread before they are crowded.
        order = sorted((index, number) for number, site in enumerate(sites) for index in range(site.terms.lanes))
        self._lanes = [_Lane(sites[number], index) for index, number in order]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the bays on the workers; jobs under way end without a result."""
        await self._stop(self._busy)
        await self._connection.close()

    def path_of(self, sha256: str) -> Path:
        """Where the blob of that digest lies: a model, its external data, an input or a reference."""
        return self._blobs.path_of(sha256)

    async def warm_up(self, count: int | None = None) -> None:
        """Start processes on the workers and have them import what exports need.

        Args:
            count: How many, one on every worker before a second on any; by default all. Those that are busy are warm.
        """
        idle = [lane for lane in self._lanes[:count] if not lane.lock.locked()]
        await asyncio.gather(*map(self._warm_up, idle))

    async def _warm_up(self, lane: _Lane) -> None:
        # A lane that is lost is told where somebody waits for a result.
        async with lane.lock:
            with suppress(WorkerLostError):
                await self._connection.call(lane.site, lane.index, warm_up)

    async def describe(self, source: ModelSource) -> ModelFacts:
        """The facts of a model, loaded on a worker only where they are not known otherwise.

        Raises:
            EdgesweepError: `model_unusable`, `missing_extra`, `cluster_unreachable` when no worker is left to tell, or
                `export_host_trouble` when the one that was asked could not.
        """
        from edgesweep.models.describe import describe_source

        known = describe_source(source)
        if known is not None:
            return known
        alive = self._alive()
        if not alive:
            raise EdgesweepError("cluster_unreachable", self._nobody())
        lane = next((lane for lane in alive if not lane.lock.locked()), alive[0])
        async with lane.lock:
            try:
                sight = await asyncio.to_thread(sight_of, source)
                answer = await self._connection.call(lane.site, lane.index, describe_model, source, sight)
            except WorkerLostError as error:
                raise EdgesweepError("cluster_unreachable", str(error)) from error
        if isinstance(answer, Refusal):
            raise EdgesweepError(answer.code, answer.message, remedy=answer.remedy)
        return answer

    async def export(self, jobs: Sequence[ExportJob]) -> AsyncIterator[ExportResult]:
        """Export every job and yield its one result, in order of completion. A failure is a result too.

        A job whose Dask worker is lost ends with `export_host_trouble`, and the others go to the workers that are left.
        Closing the iterator, or cancelling the task that reads it, kills the processes that are busy with its jobs.
        """
        schedule = Schedule(jobs)
        busy: dict[asyncio.Task[list[ExportResult]], int] = {}
        ready: deque[ExportResult] = deque()
        try:
            while True:
                self._assign(schedule, busy)
                if not self._alive():
                    ready.extend(failed_job(job, failure_of_host(self._nobody())) for job in schedule.drain())
                while ready:
                    yield ready.popleft()
                if not busy:
                    return
                done, _ = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    index = busy.pop(task)
                    self._busy.discard(task)
                    ready.extend(task.result())
                    if self._lanes[index].site.gone.is_set():
                        schedule.give_back(index)
        finally:
            await self._stop(busy)

    def _alive(self) -> list[_Lane]:
        return [lane for lane in self._lanes if not lane.site.gone.is_set()]

    def _nobody(self) -> str:
        """Why there is nobody to export, in words; to be asked when nobody is alive."""
        return f"no Dask worker is left: {self._lanes[0].site.why}"

    def _assign(self, schedule: Schedule, busy: dict[asyncio.Task[list[ExportResult]], int]) -> None:
        """A job for every lane that is free and whose worker is there."""
        occupied = set(busy.values())
        for index, lane in enumerate(self._lanes):
            if index in occupied or lane.site.gone.is_set():
                continue
            job = schedule.next(index)
            if job is None:
                continue
            task = asyncio.create_task(self._run(lane, job, schedule))
            busy[task] = index
            self._busy.add(task)

    async def _stop(self, tasks: Iterable[asyncio.Task[list[ExportResult]]]) -> None:
        stopped = list(tasks)
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)
        self._busy.difference_update(stopped)

    async def _run(self, lane: _Lane, job: ExportJob, schedule: Schedule) -> list[ExportResult]:
        """The job's result, with its blobs on this host, and those of the jobs that are bound to end the same way."""
        async with lane.lock:
            try:
                if self.on_start is not None:
                    self.on_start(job.variant)
                delivery = await self._deliver(lane, job)
                await self._bring_home(lane, delivery)
            except WorkerLostError as error:
                return [failed_job(job, failure_of_host(str(error)))]
            except FetchError as error:
                words = f"a file that the Dask worker {lane.site.address} made did not arrive whole: {error}"
                return [failed_job(job, failure_of_host(words))]
            except OSError as error:
                return [failed_job(job, file_failure(error))]
        return delivery.attempt.all_results(job, schedule)

    async def _deliver(self, lane: _Lane, job: ExportJob) -> Delivery:
        key = self._connection.new_key(lane.site)
        self._variants[key] = job.variant
        try:
            sight = await asyncio.to_thread(sight_of, job.source)
            return await self._connection.call(lane.site, lane.index, export_job, job, sight, key=key)
        finally:
            del self._variants[key]

    async def _bring_home(self, lane: _Lane, delivery: Delivery) -> None:
        """Fetch what the result names and this host lacks, from the worker that made it."""
        result = delivery.attempt.result
        for blob in result.blobs:
            # Two lanes may have made variants that share their weights.
            async with self._fetching.setdefault(blob.sha256, asyncio.Lock()):
                if not await asyncio.to_thread(self._blobs.holds, blob):
                    path = await self._fetch(lane, blob, blob.sha256, original=False)
                    await asyncio.to_thread(self._keep, path)
        if delivery.original is None or result.manifest is None:
            return
        name = result.manifest.model.sha256
        kept = self._layout.originals / f"{name}.onnx"
        if not kept.exists():
            path = await self._fetch(lane, delivery.original, name, original=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            path.replace(kept)

    async def _fetch(self, lane: _Lane, blob: Blob, name: str, *, original: bool) -> Path:
        async def read(offset: int, length: int) -> bytes:
            piece = Piece(name, original, offset, length)
            try:
                return await self._connection.call(lane.site, lane.index, read_piece, piece)
            except OSError as error:
                raise FetchError(f"{name} cannot be read there: {error}") from error

        return await fetch(blob, read, self._layout.scratch)

    def _keep(self, path: Path) -> None:
        try:
            self._blobs.put_file(path, move=True)
        finally:
            path.unlink(missing_ok=True)

    def _tell_step(self, key: str, step: str) -> None:
        variant = self._variants.get(key)
        if self.on_step is not None and variant is not None:
            self.on_step(variant, step)
