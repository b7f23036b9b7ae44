"""One device's share of a run: connect, take the lease, push, submit, fetch, store, acknowledge, until all cells end.

The agent may be killed, the link cut or the lease taken at any await: the loop then connects again, takes the
lease again and goes on from what the agent and the store hold. Trial ids are computed, never remembered, so a
trial that was submitted before the cut is recognised and is never run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from edgesweep_proto.blob import Blob
from edgesweep_proto.lease import Lease
from edgesweep_proto.trial import Stage, Trial, TrialEvent, TrialState

from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.plan.preset import Preset
from edgesweep.sweep.events import DeviceState, Notice, Telemetry, TrialProgressed, TrialStarted
from edgesweep.sweep.ledger import Ledger
from edgesweep.sweep.outcome import end_of_trials, follow
from edgesweep.sweep.work import RETRIES, Group, PlannedTrial, build_trial, schedule

log = structlog.get_logger(__name__)

#: Submitted to the agent at one time: the running one and the next (design.md §8).
AHEAD = 2

#: Sessions in a row that may break off without a single stored result.
MOST_FRUITLESS = 5

#: The connection or the lease is gone: only a new session helps.
SESSION_OVER = frozenset({"unreachable", "lease_lost", "lease_held"})

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
        fallback: str,
        seed: int,
        settings: LoopSettings,
        host_tags: Sequence[str] = (),
        turn: asyncio.Lock | None = None,
    ) -> None:
        self._entry = entry
        self._ledger = ledger
        self._groups = {group.leader.key: group for group in groups}
        self._open_client = open_client
        self._path_of = path_of
        self._preset = preset
        self._fallback = fallback
        self._seed = f"{seed}/{entry.name}"
        self._settings = settings
        self._host_tags = tuple(host_tags)
        # Agents that share a board take turns: nothing runs for us on a device that measures (invariant 7).
        self._turn = turn
        self._ahead = AHEAD if turn is None else 1
        self._refusals: Counter[str] = Counter()
        self._in_flight: dict[str, PlannedTrial] = {}
        self._held: set[str] = set()
        self._boot_id = ""
        self._last_contact = 0.0
        self._waiting_since: float | None = None

    async def run(self) -> None:
        """Measures everything that is still open, or ends it as lost when the device stays away too long."""
        await self._settle_all()
        self._last_contact = time.monotonic()
        fruitless = 0
        while self._open_groups():
            stored, entered = self._ledger.trial_count, False
            try:
                async with self._session() as (client, lease):
                    entered, self._waiting_since = True, None
                    try:
                        await self._work(client, lease)
                    finally:
                        self._last_contact = time.monotonic()
                await self._settle_all()
                # Whatever is open now has nothing left to try: it must still end.
                leftover = [cell for group in self._open_groups() for cell in group.cells]
                await self._ledger.lose(leftover, Stage.UPLOAD, "not_run", "the device has no trial left to run for it")
            except EdgesweepError as error:
                if error.exit_code is ExitCode.STORE:
                    # Not the device's fault, and nothing more can be written down: the run stops here.
                    raise
                self._in_flight.clear()
                self._held.clear()
                if self._ledger.trial_count > stored:
                    fruitless = 0
                elif entered:
                    fruitless += 1
                patience = self._patience(error)
                log.info("device_trouble", device=self._entry.name, code=error.code, message=error.message)
                if error.code not in RETRYABLE or patience <= 0 or fruitless > MOST_FRUITLESS:
                    await self._lose_all(error)
                    break
                state = "waiting" if error.code == "lease_held" else "unreachable"
                self._emit_state(state, f"{error.message}; giving up in {patience:.0f} s")
                await asyncio.sleep(self._settings.retry_pause_s)
        self._emit_state("done")

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
                if self._turn is not None and self._in_flight and self._turn.locked():
                    self._turn.release()
                with contextlib.suppress(EdgesweepError, TimeoutError):
                    # A device that is cut off gets no long goodbye: its lease runs out by itself.
                    async with asyncio.timeout(self._settings.goodbye_s):
                        await client.release(lease.fencing_number)

    async def _abandon(self, client: DeviceClient, lease: Lease) -> None:
        with contextlib.suppress(EdgesweepError, TimeoutError):
            async with asyncio.timeout(self._settings.goodbye_s):
                for trial_id in tuple(self._in_flight):
                    await client.cancel(trial_id, lease.fencing_number)

    async def _work(self, client: DeviceClient, lease: Lease) -> None:
        """Runs trials until the device has none left; a lost lease or link ends it with an EdgesweepError."""
        await self._collect(client)
        pending = deque(schedule(self._open_groups(), self._ledger.history, self._preset.trials, self._seed))
        events: asyncio.Queue[TrialEvent | EdgesweepError] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._watch(client, events)),
                tasks.create_task(self._renew(client, lease, events)),
                tasks.create_task(self._telemetry(client)),
            ]
            failure: EdgesweepError | None = None
            try:
                await self._drive(client, lease, pending, events)
            except EdgesweepError as error:
                failure = error
            for helper in helpers:
                helper.cancel()
        if failure is not None:
            raise failure

    async def _drive(
        self,
        client: DeviceClient,
        lease: Lease,
        pending: deque[PlannedTrial],
        events: asyncio.Queue[TrialEvent | EdgesweepError],
    ) -> None:
        while pending or self._in_flight:
            await self._fill(client, lease, pending)
            if not self._in_flight:
                continue
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    event = await events.get()
            except TimeoutError:
                # An event may have been lost with a stream; the journal has not lost the result.
                pending.extendleft(await self._collect(client))
                continue
            if isinstance(event, EdgesweepError):
                raise event
            self._last_contact = time.monotonic()
            planned = self._in_flight.get(event.trial_id)
            if planned is None:
                continue
            if event.state is TrialState.FINISHED:
                pending.extendleft(await self._collect(client))
            elif event.state is TrialState.RUNNING:
                cell = planned.group.leader
                self._emit_state("measuring")
                self._ledger.emit(TrialProgressed(cell.device, cell.name, event.stage))

    async def _fill(self, client: DeviceClient, lease: Lease, pending: deque[PlannedTrial]) -> None:
        """Keeps the agent supplied; nothing is uploaded while it measures, since that would disturb it."""
        while pending and len(self._in_flight) < self._ahead:
            planned = pending[0]
            if self._is_done(planned.group):
                pending.popleft()
                continue
            trial = build_trial(planned, self._ledger.run_id, self._preset)
            wanted = {blob.sha256: blob for blob in trial.blobs if blob.sha256 not in self._held}
            if wanted and self._in_flight:
                return
            pending.popleft()
            try:
                state = await self._hand_over(client, lease, trial, wanted)
            except EdgesweepError as error:
                if error.code in SESSION_OVER:
                    raise
                await self._refused(planned, error, pending)
                continue
            self._in_flight[trial.id] = planned
            self._ledger.emit(
                TrialStarted(self._entry.name, planned.group.leader.name, trial.id, planned.round, planned.attempt)
            )
            if state is TrialState.FINISHED:
                pending.extendleft(await self._collect(client))
            elif state is TrialState.ACKNOWLEDGED:
                self._land(trial.id)
                sentence = "the agent has handed this trial's result out already, but the store does not hold it"
                await self._refused(planned, EdgesweepError("interrupted", sentence), pending)

    async def _hand_over(self, client: DeviceClient, lease: Lease, trial: Trial, wanted: dict[str, Blob]) -> TrialState:
        """Uploads what the device lacks for the trial, then submits it; takes the board's turn where it is shared."""
        if self._turn is not None:
            if self._turn.locked():
                self._emit_state("idle", "another agent on the same board measures")
            await self._turn.acquire()
        try:
            if wanted:
                self._emit_state("uploading")
                await client.push(tuple(wanted.values()), self._path_of, lease.fencing_number)
                self._held.update(wanted)
            return await client.submit(trial, lease.fencing_number)
        except BaseException:
            if self._turn is not None:
                self._turn.release()
            raise

    async def _refused(self, planned: PlannedTrial, error: EdgesweepError, pending: deque[PlannedTrial]) -> None:
        """A trial that the device did not take: tried again at the end of the queue, then its cells are lost."""
        name = planned.group.leader.name
        self._refusals[name] += 1
        self._held.clear()
        if self._refusals[name] > RETRIES:
            await self._ledger.lose(planned.group.cells, Stage.UPLOAD, error.code, error.message)
        else:
            further = 1 if error.code == "interrupted" else 0
            pending.append(PlannedTrial(planned.group, planned.round, planned.attempt + further))

    async def _collect(self, client: DeviceClient) -> list[PlannedTrial]:
        """Fetches every result that waits on the agent, stores it, acknowledges it and settles its cell.

        Returns:
            Trials to run again because the last attempt said nothing about the model.
        """
        again = []
        async for fetched in client.fetch(self._ledger.run_id):
            planned = self._planned_of(fetched.result.trial_id)
            if planned is None:
                continue
            await self._ledger.add_trial(planned, fetched.result, fetched.samples)
            await client.acknowledge([fetched.result.trial_id])
            self._land(fetched.result.trial_id)
            history = self._ledger.history(planned.group.leader.name)
            attempt = history.next_attempt(planned.round)
            if attempt is not None and not self._is_done(planned.group):
                again.append(PlannedTrial(planned.group, planned.round, attempt))
            await self._settle(planned.group)
        return again

    def _land(self, trial_id: str) -> None:
        """The trial is no longer on the device; its board may be used by the next in turn."""
        if self._in_flight.pop(trial_id, None) is not None and self._turn is not None and not self._in_flight:
            self._turn.release()

    def _is_done(self, group: Group) -> bool:
        """Whether nothing more is to be run for the group: it has ended, or all its trials are there."""
        ended = not any(map(self._ledger.is_open, group.cells))
        return ended or self._ledger.history(group.leader.name).is_settled(self._preset.trials)

    def _planned_of(self, trial_id: str) -> PlannedTrial | None:
        parts = trial_id.rsplit("/", 3)
        if len(parts) != 4 or parts[0] != self._ledger.run_id or parts[1] not in self._groups:  # noqa: PLR2004 - run/key/round/attempt
            return None
        return PlannedTrial(self._groups[parts[1]], int(parts[2]), int(parts[3]))

    async def _settle(self, group: Group) -> None:
        history = self._ledger.history(group.leader.name)
        if not history.trials or not history.is_settled(self._preset.trials):
            return
        end = end_of_trials(
            group,
            history.trials,
            planned=self._preset.trials,
            needed=self._preset.protocol.min_inferences,
            fallback=self._fallback,
            host_tags=self._host_tags,
        )
        await self._ledger.end([end, *(follow(end, cell) for cell in group.followers)])

    async def _settle_all(self) -> None:
        """Ends cells whose trials were all stored before the controller died."""
        for group in self._groups.values():
            await self._settle(group)

    async def _lose_all(self, error: EdgesweepError) -> None:
        cause = "device_unreachable" if error.code == "unreachable" else error.code
        cells = [cell for group in self._open_groups() for cell in group.cells]
        await self._ledger.lose(cells, Stage.UPLOAD, cause, error.message)

    def _open_groups(self) -> list[Group]:
        return [group for group in self._groups.values() if any(map(self._ledger.is_open, group.cells))]

    def _emit_state(self, state: str, note: str = "") -> None:
        queue = sum(len(group.cells) for group in self._open_groups())
        self._ledger.emit(DeviceState(self._entry.name, state, queue, note))

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
