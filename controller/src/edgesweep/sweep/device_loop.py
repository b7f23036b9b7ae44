"""One device's share of a run: connect, take the lease, push, submit, fetch, store, acknowledge, until all cells end.

The agent may be killed, the link cut or the lease taken at any await: the loop then connects again, takes the
lease again and goes on from what the agent and the store hold. Trial ids are computed, never remembered, so a
trial that was submitted before the cut is recognised and is never run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from edgesweep_proto.device import Runtime
from edgesweep_proto.lease import Lease
from edgesweep_proto.trial import TrialEvent, TrialState

from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.plan.preset import Preset
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.sweep.events import Notice, Telemetry, TrialProgressed
from edgesweep.sweep.ledger import Ledger
from edgesweep.sweep.settling import Settling
from edgesweep.sweep.supply import SESSION_OVER, Supply
from edgesweep.sweep.work import Group

log = structlog.get_logger(__name__)

#: Sessions in a row that may break off without a single stored result.
MOST_FRUITLESS = 5

#: What a device waits for before a trial, by the gate's name.
_WAITS = {"idle": "until nothing else uses the device", "thermal": "until the device has cooled down"}

#: Trouble of the link, the board or the lease: worth another session within the budget.
RETRYABLE = SESSION_OVER | {"busy_measuring", "offset_mismatch", "digest_mismatch", "upload_failed"}


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How patient the loop is, in seconds.

    `budget_s` is how long a device may stay away before its cells are lost, `lease_wait_s` how long another
    controller may hold it.
    """

    owner: str
    budget_s: float = 30.0
    lease_wait_s: float = 600.0
    lease_ttl_s: float = 60.0
    retry_pause_s: float = 0.5
    telemetry_s: float = 2.0
    poll_s: float = 30.0
    goodbye_s: float = 2.0


class DeviceLoop:
    """Runs the groups of one device to their end; raises only when cancelled."""

    def __init__(
        self,
        entry: DeviceEntry,
        groups: Sequence[Group],
        ledger: Ledger,
        *,
        open_client: Callable[[DeviceEntry], DeviceClient],
        path_of: Callable[[str], Path],
        preset: Preset,
        fallback: FallbackPolicy,
        seed: int,
        settings: LoopSettings,
        host_tags: Sequence[str] = (),
        runtimes: Sequence[Runtime] = (),
        skip: str = "proven",
        turn: asyncio.Lock | None = None,
    ) -> None:
        self._entry = entry
        self._ledger = ledger
        self._open_client = open_client
        self._settings = settings
        self._settling = Settling(
            groups,
            ledger,
            preset=preset,
            fallback=fallback,
            host_tags=host_tags,
            runtimes=runtimes,
            skip=skip,
        )
        self._supply = Supply(
            entry.name,
            self._settling,
            ledger,
            path_of=path_of,
            preset=preset,
            seed=f"{seed}/{entry.name}",
            turn=turn,
        )
        self._boot_id = ""
        self._last_contact = 0.0
        self._waiting_since: float | None = None

    async def run(self) -> None:
        """Measures everything that is still open, or ends it as lost when the device stays away too long."""
        await self._settling.settle_all()
        self._last_contact = time.monotonic()
        fruitless = 0
        while self._settling.open_groups:
            stored, entered = self._ledger.trial_count, False
            try:
                async with self._session() as (client, lease):
                    entered, self._waiting_since = True, None
                    try:
                        await self._work(client, lease)
                    finally:
                        self._last_contact = time.monotonic()
                await self._settling.settle_all()
                # Whatever is open now has nothing left to try: it must still end.
                sentence = "the device has no trial left to run for it"
                await self._settling.lose(self._settling.open_groups, "not_run", sentence)
            except EdgesweepError as error:
                if error.exit_code is ExitCode.STORE:
                    # Not the device's fault, and nothing more can be written down: the run stops here.
                    raise
                self._supply.forget()
                if self._ledger.trial_count > stored:
                    fruitless = 0
                elif entered:
                    fruitless += 1
                patience = self._patience(error)
                log.info("device_trouble", device=self._entry.name, code=error.code, message=error.message)
                if error.code not in RETRYABLE or patience <= 0 or fruitless > MOST_FRUITLESS:
                    await self._settling.lose_all(error)
                    break
                state = "waiting" if error.code == "lease_held" else "unreachable"
                self._supply.emit_state(state, f"{error.message}; giving up in {patience:.0f} s")
                await asyncio.sleep(self._settings.retry_pause_s)
        self._supply.emit_state("done")

    def _patience(self, error: EdgesweepError) -> float:
        """Seconds for which this trouble is still waited out."""
        now = time.monotonic()
        if error.code == "lease_held":
            self._last_contact = now
            self._waiting_since = self._waiting_since or now
            return self._waiting_since + self._settings.lease_wait_s - now
        return self._last_contact + self._settings.budget_s - now

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[DeviceClient, Lease]]:
        """A connection with the lease held; on the way out in-flight trials are cancelled and the lease given back."""
        async with self._open_client(self._entry) as client:
            description = await client.describe()
            if self._boot_id and description.device.boot_id != self._boot_id:
                self._ledger.emit(Notice(f"{self._entry.name} has rebooted"))
            self._boot_id = description.device.boot_id
            lease = await client.acquire(
                self._settings.owner, ttl_s=self._settings.lease_ttl_s, purpose=self._ledger.run_id
            )
            try:
                yield client, lease
            except asyncio.CancelledError:
                await asyncio.shield(self._abandon(client, lease))
                raise
            finally:
                self._supply.leave()
                with contextlib.suppress(EdgesweepError, TimeoutError):
                    # A device that is cut off gets no long goodbye: its lease runs out by itself.
                    async with asyncio.timeout(self._settings.goodbye_s):
                        await client.release(lease.fencing_number)

    async def _abandon(self, client: DeviceClient, lease: Lease) -> None:
        with contextlib.suppress(EdgesweepError, TimeoutError):
            async with asyncio.timeout(self._settings.goodbye_s):
                for trial_id in tuple(self._supply.in_flight):
                    await client.cancel(trial_id, lease.fencing_number)

    async def _work(self, client: DeviceClient, lease: Lease) -> None:
        """Runs trials until the device has none left; a lost lease or link ends it with an EdgesweepError."""
        self._supply.begin()
        await self._supply.collect(client)
        events: asyncio.Queue[TrialEvent | EdgesweepError] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._watch(client, events)),
                tasks.create_task(self._renew(client, lease, events)),
                tasks.create_task(self._telemetry(client)),
            ]
            failure: EdgesweepError | None = None
            try:
                await self._drive(client, lease, events)
            except EdgesweepError as error:
                failure = error
            for helper in helpers:
                helper.cancel()
        if failure is not None:
            raise failure

    async def _drive(
        self, client: DeviceClient, lease: Lease, events: asyncio.Queue[TrialEvent | EdgesweepError]
    ) -> None:
        while self._supply.has_work():
            await self._supply.fill(client, lease)
            if not self._supply.in_flight:
                continue
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    event = await events.get()
            except TimeoutError:
                # An event may have been lost with a stream; the journal has not lost the result.
                await self._supply.collect(client)
                continue
            if isinstance(event, EdgesweepError):
                raise event
            self._last_contact = time.monotonic()
            planned = self._supply.in_flight.get(event.trial_id)
            if planned is None:
                continue
            if event.state is TrialState.FINISHED:
                await self._supply.collect(client)
            elif event.state is TrialState.RUNNING:
                if event.waits_for:
                    self._supply.emit_state("waiting", _WAITS.get(event.waits_for, event.waits_for))
                    continue
                cell = planned.group.leader
                self._supply.emit_state("measuring")
                self._ledger.emit(TrialProgressed(cell.device, cell.name, event.stage, event.waits_for))

    async def _watch(self, client: DeviceClient, events: asyncio.Queue[TrialEvent | EdgesweepError]) -> None:
        try:
            async for event in client.watch(self._ledger.run_id):
                events.put_nowait(event)
            events.put_nowait(EdgesweepError("unreachable", f"{self._entry.name} ended the event stream"))
        except EdgesweepError as error:
            events.put_nowait(error)

    async def _renew(
        self, client: DeviceClient, lease: Lease, events: asyncio.Queue[TrialEvent | EdgesweepError]
    ) -> None:
        try:
            while True:
                await asyncio.sleep(self._settings.lease_ttl_s / 3)
                await client.renew(lease.fencing_number, self._settings.lease_ttl_s)
        except EdgesweepError as error:
            events.put_nowait(error)

    async def _telemetry(self, client: DeviceClient) -> None:
        # A board whose sensors cannot be read is still measured.
        with contextlib.suppress(EdgesweepError):
            async for reading in client.telemetry(self._settings.telemetry_s):
                self._ledger.emit(Telemetry(self._entry.name, reading))
