"""Keeps one agent supplied: which trial next, uploads before it, results fetched, stored and acknowledged after it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from edgesweep_proto.blob import Blob
from edgesweep_proto.lease import Lease
from edgesweep_proto.trial import Trial, TrialState

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.client import DeviceClient
from edgesweep.plan.preset import Preset
from edgesweep.sweep.events import DeviceState, TrialStarted
from edgesweep.sweep.ledger import Ledger
from edgesweep.sweep.settling import Settling
from edgesweep.sweep.work import RETRIES, Group, PlannedTrial, build_trial, schedule

#: Submitted to the agent at one time: the running one and the next (design.md §8).
AHEAD = 2

#: Trials whose blobs are uploaded at one time, and the most bytes that these may have together.
TOGETHER = 64
TOGETHER_BYTES = 8 << 20

#: The connection or the lease is gone: only a new session helps.
SESSION_OVER = frozenset({"unreachable", "lease_lost", "lease_held"})


class Supply:
    """The trials of one device on their way out and back. `in_flight` are those that the agent holds, by id."""

    def __init__(
        self,
        device: str,
        settling: Settling,
        ledger: Ledger,
        *,
        path_of: Callable[[str], Path],
        preset: Preset,
        seed: str,
        turn: asyncio.Lock | None = None,
    ) -> None:
        self._device = device
        self._settling = settling
        self._ledger = ledger
        self._path_of = path_of
        self._preset = preset
        self._seed = seed
        # Agents that share a board take turns: nothing runs for us on a device that measures (invariant 7).
        self._turn = turn
        self._ahead = AHEAD if turn is None else 1
        self._refusals: Counter[str] = Counter()
        self._pending: deque[PlannedTrial] = deque()
        self._scheduled: set[str] = set()
        self._waiting: dict[str, Group] = {}
        self._held: set[str] = set()
        self.in_flight: dict[str, PlannedTrial] = {}

    def begin(self) -> None:
        """A new session: what is still to run is found out anew."""
        self._pending.clear()
        self._scheduled.clear()
        self._waiting = {group.leader.key: group for group in self._settling.open_groups}

    def forget(self) -> None:
        """The session broke off: what the agent holds is not known any more."""
        self.in_flight.clear()
        self._held.clear()

    def leave(self) -> None:
        """Gives the board's turn back on the way out of a session that still has a trial on the agent."""
        if self._turn is not None and self.in_flight and self._turn.locked():
            self._turn.release()

    def has_work(self) -> bool:
        """Whether trials are to be run or waited for; groups that may run now are taken up first."""
        fresh = [group for group in self._waiting.values() if self._settling.may_run(group)]
        for group in fresh:
            del self._waiting[group.leader.key]
        fresh = [group for group in fresh if self._settling.is_open(group)]
        first = [group for group in fresh if self._settling.goes_first(group)]
        rest = [group for group in fresh if not self._settling.goes_first(group)]
        self._scheduled.update(group.leader.key for group in fresh)
        if rest:
            later = [*self._pending, *schedule(rest, self._ledger.history, self._preset.trials, self._seed)]
            self._pending = deque(sorted(later, key=lambda planned: planned.round))
        self._pending.extendleft(reversed(schedule(first, self._ledger.history, self._preset.trials, self._seed)))
        return bool(self._pending or self.in_flight)

    async def fill(self, client: DeviceClient, lease: Lease) -> None:
        """Keeps the agent supplied; nothing is uploaded while it measures, since that would disturb it."""
        while self._pending and len(self.in_flight) < self._ahead:
            planned = self._pending[0]
            if self._settling.is_done(planned.group):
                self._pending.popleft()
                continue
            trial = build_trial(planned, self._ledger.run_id, self._preset)
            wanted = {blob.sha256: blob for blob in trial.blobs if blob.sha256 not in self._held}
            if wanted and self.in_flight:
                return
            self._pending.popleft()
            if wanted:
                wanted |= self._wanted_later(sum(blob.size_bytes for blob in wanted.values()))
            try:
                state = await self._hand_over(client, lease, trial, wanted)
            except EdgesweepError as error:
                if error.code in SESSION_OVER:
                    raise
                await self._refused(planned, error)
                continue
            self.in_flight[trial.id] = planned
            self._ledger.emit(
                TrialStarted(self._device, planned.group.leader.name, trial.id, planned.round, planned.attempt)
            )
            if state is TrialState.FINISHED:
                await self.collect(client)
            elif state is TrialState.ACKNOWLEDGED:
                self._land(trial.id)
                sentence = "the agent has handed this trial's result out already, but the store does not hold it"
                await self._refused(planned, EdgesweepError("interrupted", sentence))

    def _wanted_later(self, size_bytes: int) -> dict[str, Blob]:
        """What the device lacks for the next trials, as far as it is small: then it has not to wait for each of them."""
        found: dict[str, Blob] = {}
        for planned in itertools.islice(self._pending, TOGETHER):
            blobs = build_trial(planned, self._ledger.run_id, self._preset).blobs
            fresh = {blob.sha256: blob for blob in blobs if blob.sha256 not in self._held and blob.sha256 not in found}
            size_bytes += sum(blob.size_bytes for blob in fresh.values())
            if size_bytes > TOGETHER_BYTES:
                break
            found |= fresh
        return found

    async def collect(self, client: DeviceClient) -> None:
        """Fetches every result that waits on the agent, stores it, acknowledges it and settles its cell.

        A trial whose last attempt said nothing about the model is put first in the queue.
        """
        again = []
        async for fetched in client.fetch(self._ledger.run_id):
            planned = self._settling.planned_of(fetched.result.trial_id)
            if planned is None:
                continue
            await self._ledger.add_trial(planned, fetched.result, fetched.samples)
            await client.acknowledge([fetched.result.trial_id])
            self._land(fetched.result.trial_id)
            attempt = self._ledger.history(planned.group.leader.name).next_attempt(planned.round)
            taken_up = planned.group.leader.key in self._scheduled
            if attempt is not None and taken_up and not self._settling.is_done(planned.group):
                again.append(PlannedTrial(planned.group, planned.round, attempt))
            await self._settling.settle(planned.group)
        self._pending.extendleft(again)

    async def _hand_over(self, client: DeviceClient, lease: Lease, trial: Trial, wanted: dict[str, Blob]) -> TrialState:
        """Uploads what the device lacks for the trial, then submits it; takes the board's turn where it is shared."""
        if self._turn is not None:
            if self._turn.locked():
                self.emit_state("idle", "another agent on the same board measures")
            await self._turn.acquire()
        try:
            if wanted:
                self.emit_state("uploading")
                await client.push(tuple(wanted.values()), self._path_of, lease.fencing_number)
                self._held.update(wanted)
            return await client.submit(trial, lease.fencing_number)
        except BaseException:
            if self._turn is not None:
                self._turn.release()
            raise

    async def _refused(self, planned: PlannedTrial, error: EdgesweepError) -> None:
        """A trial that the device did not take: tried again at the end of the queue, then its cells are lost."""
        name = planned.group.leader.name
        self._refusals[name] += 1
        self._held.clear()
        if self._refusals[name] > RETRIES:
            await self._settling.lose([planned.group], error.code, error.message)
        else:
            further = 1 if error.code == "interrupted" else 0
            self._pending.append(PlannedTrial(planned.group, planned.round, planned.attempt + further))

    def _land(self, trial_id: str) -> None:
        """The trial is no longer on the device; its board may be used by the next in turn."""
        if self.in_flight.pop(trial_id, None) is not None and self._turn is not None and not self.in_flight:
            self._turn.release()

    def emit_state(self, state: str, note: str = "") -> None:
        """Tells what the device is doing, with the number of cells that wait for their outcome."""
        queue = sum(len(group.cells) for group in self._settling.open_groups)
        self._ledger.emit(DeviceState(self._device, state, queue, note))
