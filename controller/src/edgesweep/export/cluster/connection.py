"""A controller's connection to a Dask cluster: the workers that it uses, and tasks that may lose theirs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from concurrent.futures import Future as ConcurrentFuture
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from distributed import Client, Future, KilledWorker

from edgesweep.errors import EdgesweepError
from edgesweep.export.cluster.bay import BayClosedError, Terms, Ticket, open_bay
from edgesweep.export.cluster.versions import refuse_differences, survey

T = TypeVar("T")

#: Seconds within which the scheduler must answer, and again within which a first worker must be there.
CONNECT_S = 10.0


#: Where the scheduler tells, among other things, which workers come and go.
_EVERYTHING = "all"
_SCHEDULER_LOST = "the connection to the Dask scheduler was lost"


class WorkerLostError(Exception):
    """The Dask worker that a task was pinned to is gone, or the scheduler is. The task is not run anywhere else."""


@dataclass(slots=True)
class Site:
    """One Dask worker and this controller's bay on it, which is open while `hold` is held.

    `gone` is set once the worker cannot be used any more; `why` says so.
    """

    address: str
    bay: str
    terms: Terms
    executor: Executor
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = ""
    hold: ConcurrentFuture[str] | None = None

    def lose(self, why: str) -> None:
        """Say that the worker cannot be used any more; the first reason stays."""
        if not self.gone.is_set():
            self.why = why
            self.gone.set()


class Connection:
    """An open connection to a scheduler. `sites` are the workers that there were when it was opened.

    A worker that joins later serves the next run. Tasks are pinned to a site and never run again by Dask: one whose worker
    dies ends with `WorkerLostError`, whatever `distributed.scheduler.allowed-failures` says on the scheduler.

    Args:
        client: An asynchronous client, connected.
        on_step: Told the key and the step whenever a task announces one.
    """

    def __init__(self, client: Client, on_step: Callable[[str, str], None]) -> None:
        self._client = client
        self._on_step = on_step
        self._numbers = itertools.count()
        self._topics: list[str] = []
        self.sites: tuple[Site, ...] = ()

    @classmethod
    async def open(
        cls,
        address: str,
        *,
        lanes: int | None,
        timeout_s: float,
        memory_bytes: int | None,
        on_step: Callable[[str, str], None],
    ) -> Self:
        """Connect, and open a bay on every worker.

        Args:
            address: The scheduler's, such as `tcp://host:8786`.
            lanes: Jobs at once in all; None for one per thread of every worker.
            timeout_s: Seconds that one job may take.
            memory_bytes: Address space of a job's process; None for no limit.
            on_step: Told the key and the step whenever a task announces one.

        Raises:
            EdgesweepError: `cluster_unreachable` when no scheduler or no worker answers, `cluster_differs` when a worker
                would not export as this host would.
        """
        connection = cls(await _connect(address), on_step)
        try:
            await connection._settle(lanes, Terms(1, timeout_s, memory_bytes))
        except (OSError, KilledWorker) as error:
            await connection.close()
            raise EdgesweepError("cluster_unreachable", f"the Dask cluster at {address} went away: {error}") from error
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """Let go of everything: the bays close, and what runs in them is killed."""
        for site in self.sites:
            site.lose("the export service was left")
        if self._client.status == "running":
            # A scheduler complains of a subscriber that it cannot reach any more.
            for topic in self._topics:
                self._client.unsubscribe_topic(topic)
        await self._client.close()

    async def call(
        self, site: Site, lane: int, work: Callable[..., Coroutine[Any, Any, T]], *args: Any, key: str = ""
    ) -> T:
        """Run a task on a lane of `site` and wait for what it returns; cancelling the wait ends the task there.

        Raises:
            WorkerLostError: The worker is gone, before or during the task.
            Exception: What the task raised.
        """
        if site.gone.is_set():
            raise WorkerLostError(site.why)
        if self._client.status not in {"running", "connecting"}:
            self._lose_all(_SCHEDULER_LOST)
            raise WorkerLostError(site.why)
        ticket = Ticket(site.bay, key or self.new_key(site), lane)
        return await self._outcome(site, ticket.key, _submit(site, ticket.key, work, ticket, *args))

    def new_key(self, site: Site) -> str:
        """A name for a task of `site`."""
        return f"{site.bay}-{next(self._numbers)}"

    async def _outcome(self, site: Site, key: str, future: ConcurrentFuture[T]) -> T:
        running = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(site.gone.wait())
        either: set[asyncio.Future[Any]] = {running, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise WorkerLostError(site.why)
            if running.cancelled():
                self._lose_all(_SCHEDULER_LOST)
                raise WorkerLostError(site.why)
            return running.result()
        except KilledWorker as error:
            site.lose(f"the Dask worker {site.address} died")
            raise WorkerLostError(site.why) from error
        except BayClosedError as error:
            site.lose(f"the Dask worker {site.address} was closed or started again")
            raise WorkerLostError(site.why) from error
        finally:
            gone.cancel()
            if not running.done():
                # Through the client: the future's own `cancel` makes a coroutine that nobody awaits.
                with suppress(Exception):
                    await self._client.cancel([Future(key, self._client)])

    def _lose_all(self, why: str) -> None:
        for site in self.sites:
            site.lose(why)

    async def _settle(self, lanes: int | None, terms: Terms) -> None:
        """Find the workers, hold each against this host, and open the bays."""
        self._listen(_EVERYTHING, self._on_cluster_event)
        run = secrets.token_hex(6)
        shares = share_lanes(await self._threads(), lanes)
        self.sites = tuple(
            Site(
                address,
                f"edgesweep-{run}-{number}",
                replace(terms, lanes=share),
                self._client.get_executor(workers=[address], allow_other_workers=False, pure=False, retries=0),
            )
            for number, (address, share) in enumerate(shares.items())
        )
        surveys = await self._client.run(survey, workers=list(shares), on_error="return")
        refuse_differences(surveys, survey())
        await self._open_bays()

    async def _threads(self) -> Mapping[str, int]:
        """Threads by worker's address."""
        address = self._client.scheduler.address
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._client.wait_for_workers(1)
        except TimeoutError:
            raise EdgesweepError(
                "cluster_unreachable",
                f"the Dask scheduler at {address} has no worker",
                remedy=f"start one: dask worker {address}",
            ) from None
        identity = await self._client.scheduler.identity(n_workers=-1)
        return {worker: facts["nthreads"] for worker, facts in sorted(identity["workers"].items())}

    async def _open_bays(self) -> None:
        for site in self.sites:
            self._listen(site.bay, self._on_task_event)
        await asyncio.gather(*map(self._open_bay, self.sites))
        if all(site.gone.is_set() for site in self.sites):
            raise EdgesweepError("cluster_unreachable", f"no Dask worker is left: {self.sites[0].why}")

    async def _open_bay(self, site: Site) -> None:
        site.hold = _submit(site, site.bay, open_bay, site.bay, site.terms)
        with suppress(WorkerLostError):
            await self._outcome(site, site.bay, site.hold)

    def _listen(self, topic: str, handler: Callable[[tuple[float, Any]], None]) -> None:
        self._client.subscribe_topic(topic, handler)
        self._topics.append(topic)

    def _on_cluster_event(self, event: tuple[float, Any]) -> None:
        _, message = event
        if not isinstance(message, dict) or message.get("action") != "remove-worker":
            return
        for site in self.sites:
            if site.address == message.get("worker"):
                site.lose(f"the Dask worker {site.address} died or left")

    def _on_task_event(self, event: tuple[float, Any]) -> None:
        _, message = event
        self._on_step(message["key"], message["step"])


def share_lanes(threads: Mapping[str, int], lanes: int | None) -> dict[str, int]:
    """How many lanes each worker gets: one per thread, or `lanes` in all, dealt out in turns; workers without one are left out."""
    left = sum(threads.values()) if lanes is None else lanes
    shares = dict.fromkeys(threads, 0)
    while left > 0 and (free := [worker for worker in threads if shares[worker] < threads[worker]]):
        for worker in free[:left]:
            shares[worker] += 1
        left -= len(free)
    return {worker: share for worker, share in shares.items() if share}


def _submit(site: Site, key: str, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> ConcurrentFuture[T]:
    """Have Dask run the coroutine `work(*args)` on that worker under that key."""
    # Dask's executor takes coroutine functions and a key, which the interface that it implements does not know of.
    executor: Any = site.executor
    future: ConcurrentFuture[T] = executor.submit(work, *args, key=key)
    return future


async def _connect(address: str) -> Client:
    # Its tracebacks of a lost scheduler would stand between the sentences that say what was lost by it.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(address, asynchronous=True, set_as_default=False, name="edgesweep", timeout=CONNECT_S)
        try:
            return await client
        except BaseException:
            await client.close()
            raise
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        # An address of a kind that Dask does not know, or TLS that is not set up: each raises in its own way.
        sentence = f"no Dask scheduler answers at {address}: {str(error) or type(error).__name__}"
        raise EdgesweepError("cluster_unreachable", sentence) from error
