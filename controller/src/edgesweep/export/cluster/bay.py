"""What runs inside a Dask worker: a bay of export slots, and the tasks that use it.

A model's code never runs in the Dask worker itself. The tasks are coroutines on the worker's own event loop; each drives a
slot, which is a process that can be killed, so a job has the same limits and leaves the same evidence as on the controller.

A bay belongs to one controller. It is opened by a task whose result that controller holds; when the scheduler lets go of
that result, because the controller is done, has died or is out of reach, the bay closes. A job ends in the same way when
its own future is released: Dask cannot stop a task that runs, but the process that the task waits for can be killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from distributed import Worker, WorkerPlugin, get_worker
from edgesweep_proto.blob import Blob

from edgesweep.errors import EdgesweepError
from edgesweep.export.artifacts.blobs import Blobs, digest_of
from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.cluster.sight import Sight, lacking
from edgesweep.export.failures.host import failure_of_host
from edgesweep.export.schedule import ExportJob
from edgesweep.export.workers.crew import Crew
from edgesweep.export.workers.requests import Attempt, failed_job
from edgesweep.models.source import ModelFacts, ModelSource

T = TypeVar("T")

#: Under the Dask worker's own folder, which Dask removes when the worker ends. All runs on one worker share it.
_FOLDER = "edgesweep-exports"
_SHARE = "give the workers the same files at the same paths as the controller, such as by a shared file system"
#: States of a task that nobody waits for any more.
_LET_GO = frozenset({"released", "cancelled", "forgotten"})


class BayClosedError(Exception):
    """The bay that a task belongs to is not on this worker: it was closed, or the worker was started again."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a controller asks of a bay: how many jobs at once, and the seconds and bytes that each may take."""

    lanes: int
    timeout_s: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Ticket:
    """Which task this is: the bay it belongs to, its own key, and the lane that it has to itself."""

    bay: str
    key: str
    lane: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job's end, and the bytes that the exporter itself wrote, which are kept under the artifact's name."""

    attempt: Attempt
    original: Blob | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the blob of that name, or of the original that is kept under that name."""

    name: str
    original: bool
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An `EdgesweepError` as plain data: what a task raises should not need code to be put together again."""

    code: str
    message: str
    remedy: str


class Bay(WorkerPlugin):  # type: ignore[misc] # distributed carries no types
    """Slots of one controller on one Dask worker; known there by the key of the task that opened it."""

    def __init__(self, key: str, root: Path, terms: Terms) -> None:
        self.layout = Layout(root)
        self._key = key
        self._blobs = Blobs(self.layout.blobs)
        self._crew = Crew(self.layout, terms.lanes, timeout_s=terms.timeout_s, memory_bytes=terms.memory_bytes)
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._leaving: asyncio.Task[None] | None = None
        self._worker: Worker

    def setup(self, worker: Worker) -> None:
        """Told by the Dask worker that the bay is its own now."""
        self._worker = worker

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:  # noqa: ARG002 - Dask names the arguments
        """Told by the Dask worker of every change of a task's state, on its event loop."""
        if finish not in _LET_GO:
            return
        if key == self._key and self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave())
        elif key in self._running:
            self._running[key].cancel()

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask names the argument
        """Told by the Dask worker that it ends."""
        await self._close()

    async def _leave(self) -> None:
        self._worker.plugins.pop(self._key, None)
        await self._close()

    async def _close(self) -> None:
        """Kill what the bay started, and tidy up."""
        self._crew.kill()
        for task in self._running.values():
            task.cancel()
        await self._crew.close()

    async def alone(self, ticket: Ticket, work: Callable[[Crew], Coroutine[Any, Any, T]]) -> T:
        """Do `work` while nobody else is on the ticket's lane, until it is done or nobody waits for it any more.

        Raises:
            BayClosedError: Nobody does, or the Dask worker ends.
        """
        slot = self._crew.slots[ticket.lane]
        async with slot.lock:
            task = asyncio.ensure_future(work(self._crew))
            self._running[ticket.key] = task
            try:
                return await task
            except asyncio.CancelledError:
                await slot.close()
                raise BayClosedError(self._key) from None
            finally:
                del self._running[ticket.key]

    def announce(self, ticket: Ticket, step: str) -> None:
        """Send a job's step to whoever listens to the bay's topic."""
        self._worker.log_event(self._key, {"key": ticket.key, "step": step})

    def path_of(self, name: str, *, original: bool) -> Path:
        """Where a blob lies, or the exporter's own form of the artifact whose model has that name."""
        path = self._blobs.path_of(name)
        return self.layout.originals / f"{name}.onnx" if original else path


async def open_bay(key: str, terms: Terms) -> str:
    """Task: open a bay that closes when the result of this very task, which has that key, is released."""
    worker = get_worker()
    bay = Bay(key, Path(worker.local_directory) / _FOLDER, terms)
    await worker.plugin_add(plugin=bay, name=key, catch_errors=False)
    return key


async def export_job(ticket: Ticket, job: ExportJob, sight: Sight) -> Delivery:
    """Task: export one variant. Results of earlier days come from this worker's own cache.

    Raises:
        BayClosedError: The bay is gone.
    """
    bay = _bay(ticket.bay)
    missing = await asyncio.to_thread(lacking, sight)
    if missing:
        return Delivery(Attempt(failed_job(job, failure_of_host(f"{_unseen(missing)}; {_SHARE}"))))

    tell = partial(bay.announce, ticket)
    ended = await bay.alone(ticket, lambda crew: crew.attempt(ticket.lane, job, tell))
    manifest = ended.result.manifest
    if manifest is None:
        return Delivery(ended)
    path = bay.path_of(manifest.model.sha256, original=True)
    return Delivery(ended, await asyncio.to_thread(_blob_at, path))


async def describe_model(ticket: Ticket, source: ModelSource, sight: Sight) -> ModelFacts | Refusal:
    """Task: load a model and describe it.

    Raises:
        BayClosedError: The bay is gone.
    """
    bay = _bay(ticket.bay)
    missing = await asyncio.to_thread(lacking, sight)
    if missing:
        return Refusal("export_host_trouble", f"model '{source.name}': {_unseen(missing)}", _SHARE)
    try:
        return await bay.alone(ticket, lambda crew: crew.describe(ticket.lane, source))
    except EdgesweepError as error:
        return Refusal(error.code, error.message, error.remedy)


async def warm_up(ticket: Ticket) -> None:
    """Task: start the lane's process and have it import what exports need.

    Raises:
        BayClosedError: The bay is gone.
    """
    await _bay(ticket.bay).alone(ticket, lambda crew: crew.warm_up(ticket.lane))


async def read_piece(ticket: Ticket, piece: Piece) -> bytes:
    """Task: some bytes of a file.

    Raises:
        BayClosedError: The bay is gone.
        OSError: The file is.
    """
    path = _bay(ticket.bay).path_of(piece.name, original=piece.original)
    return await asyncio.to_thread(_read, path, piece.offset, piece.length)


def _bay(key: str) -> Bay:
    bay = get_worker().plugins.get(key)
    if not isinstance(bay, Bay):
        raise BayClosedError(key)
    return bay


def _unseen(missing: str) -> str:
    return (
        f"the Dask worker {get_worker().address} {missing}; the workers need the models at the controller's own paths"
    )


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _blob_at(path: Path) -> Blob | None:
    try:
        return Blob(digest_of(path), path.stat().st_size)
    except OSError:
        return None
