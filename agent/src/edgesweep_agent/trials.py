"""The supervisor: runs the submitted trials one after the other and sees to it that each ends exactly once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgesweep_proto.trial import Stage, Trial, TrialOutcome, TrialResult, TrialState

from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.events import EventRing
from edgesweep_agent.faults import Fault
from edgesweep_agent.journal import Entry, Journal, Running, spec_digest
from edgesweep_agent.leases import LeaseBook
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.staging import check_locations
from edgesweep_agent.trial_run import TrialRun

#: Seconds until the next attempt at what the board refuses now, such as a result onto a full disk.
RETRY_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Current:
    """The trial that runs, and how it ends if it is stopped from outside."""

    entry: Entry
    task: asyncio.Task[TrialResult]
    finished: asyncio.Event
    outcome: TrialOutcome = TrialOutcome.INTERRUPTED
    message: str = "the agent was stopped while the trial ran"


class Supervisor:
    """Owns the queue. Its task lives only while there is something to run, so an idle agent does nothing."""

    def __init__(
        self,
        journal: Journal,
        leases: LeaseBook,
        blobs: BlobStore,
        events: EventRing,
        quiet: Quiet,
        run_trial: TrialRun,
        *,
        boot: Callable[[], str],
    ) -> None:
        self._journal = journal
        self._leases = leases
        self._blobs = blobs
        self._events = events
        self._quiet = quiet
        self._run_trial = run_trial
        self._boot = boot
        self._loop_task: asyncio.Task[None] | None = None
        self._current: _Current | None = None
        self._checked: set[str] = set()
        self._stopping = False

    async def resume(self) -> None:
        """Take up what the last life of the agent left: what ran is `interrupted`, what waits goes on."""
        for entry in self._journal.in_state(TrialState.RUNNING):
            running = self._journal.running(entry)
            rebooted = running is not None and running.boot_id != self._boot()
            known = "the board went down and started anew" if rebooted else "the agent went down"
            what = known if running else "the agent or the board went down"
            how = f"waited for an {running.waits_for} device" if running and running.waits_for else "ran"
            result = self._ended(entry, TrialOutcome.INTERRUPTED, f"{what} while the trial {how}")
            cause = "board_rebooted" if rebooted else result.cause
            result = replace(result, cause=cause, started=running.started if running else 0.0)
            await self._finish(entry, result, TrialState.RUNNING)
        await self._cancel_dead()
        self._kick()

    async def submit(self, trial: Trial, fencing_number: int, identity: str) -> TrialState:
        """Queue a trial; the same trial again gives its present state.

        Raises:
            Fault: `lease_lost`, `invalid_request`, `trial_exists` or `blob_missing`.
        """
        self._leases.check(fencing_number, identity)
        if not 0 < len(trial.id) <= 500:  # noqa: PLR2004 - run/key/round/attempt with room to spare
            raise Fault("invalid_request", "a trial needs an id of 1 to 500 letters")
        for stage, seconds in trial.deadlines_s.items():
            if not (math.isfinite(seconds) and seconds > 0):
                raise Fault("invalid_request", f"the deadline of stage {stage!r} must be positive, not {seconds}")
        known = self._journal.get(trial.id)
        if known is not None:
            if known.spec_digest != spec_digest(trial) or known.identity != identity:
                raise Fault("trial_exists", f"the agent knows another trial of the id {trial.id}")
            return known.state
        missing = self._blobs.missing(trial.blobs)
        if missing:
            names = ", ".join(blob.sha256[:12] for blob, _ in missing[:3])
            raise Fault(
                "blob_missing", f"the device lacks {len(missing)} of the trial's blobs ({names}); push them first"
            )
        if trial.artifact.digest not in self._checked:
            check_locations(trial.artifact, self._blobs)
            self._checked.add(trial.artifact.digest)
        entry = self._journal.add(trial, identity, fencing_number)
        self._emit(entry, TrialState.QUEUED, Stage.UNKNOWN)
        self._kick()
        return TrialState.QUEUED

    async def cancel(self, trial_id: str, fencing_number: int, identity: str) -> TrialState:
        """End a trial that waits or runs; one that has ended stays as it is.

        Raises:
            Fault: `lease_lost` or `unknown_trial`.
        """
        self._leases.check(fencing_number, identity)
        entry = self._journal.get(trial_id)
        if entry is None or entry.identity != identity:
            raise Fault("unknown_trial", f"the agent knows no trial of the id {trial_id}")
        if entry.state is TrialState.QUEUED:
            result = self._ended(entry, TrialOutcome.CANCELLED, "cancelled before it started")
            await self._finish(entry, result, TrialState.QUEUED)
        # Where the disk was full it may have started before its end could be written.
        if self._current and self._current.entry.trial_id == trial_id:
            await self._stop_current(TrialOutcome.CANCELLED, "cancelled while it ran")
        return self._state(trial_id)

    async def lease_granted(self, fencing_number: int, superseded: int | None) -> None:
        """A lease was granted: its holder's own trials go on under it, everybody else's end."""
        for state in (TrialState.QUEUED, TrialState.RUNNING):
            for entry in self._journal.in_state(state):
                if superseded is not None and entry.fencing_number == superseded:
                    self._journal.adopt(entry.trial_id, fencing_number)
        await self._cancel_dead()
        current = self._current
        if current is not None:
            running = self._journal.get(current.entry.trial_id)
            if running is not None and running.fencing_number != fencing_number:
                await self._stop_current(TrialOutcome.CANCELLED, "another controller took the lease while it ran")

    async def lease_released(self) -> None:
        """The lease was given back: what waits under it is cancelled, what runs finishes."""
        await self._cancel_dead()

    async def stop(self) -> None:
        """Kill the worker that runs, if any, and remember its trial as interrupted. What waits stays queued."""
        self._stopping = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait({self._loop_task})

    def in_use(self, sha256: str) -> str | None:
        """The id of a waiting or running trial that needs this blob."""
        for state in (TrialState.RUNNING, TrialState.QUEUED):
            for entry in self._journal.in_state(state):
                if entry.trial and any(blob.sha256 == sha256 for blob in entry.trial.blobs):
                    return entry.trial_id
        return None

    def _kick(self) -> None:
        if self._stopping or (self._loop_task is not None and not self._loop_task.done()):
            return
        if self._journal.in_state(TrialState.QUEUED):
            self._loop_task = asyncio.get_running_loop().create_task(self._run_queue(), name="trials")
            self._loop_task.add_done_callback(self._queue_ended)

    def _queue_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if error := task.exception():
            # What stopped it (a full disk, say) would stop it again at once: the trial keeps its place and waits.
            _log.error("the queue stopped, and goes on in %g s: %s", RETRY_S, error, exc_info=error)
            asyncio.get_running_loop().call_later(RETRY_S, self._kick)
        else:
            self._kick()

    async def _run_queue(self) -> None:
        while queued := self._journal.in_state(TrialState.QUEUED):
            if not self._leases.holds(queued[0].fencing_number):
                await self._cancel_dead()
                continue
            await self._run_trial.prepare()
            async with self._quiet.worker():
                # It may have been cancelled, and the lease lost, while this waited for the device.
                entry = self._journal.get(queued[0].trial_id)
                if entry and entry.state is TrialState.QUEUED and self._leases.holds(entry.fencing_number):
                    await self._run_one(entry)

    async def _run_one(self, entry: Entry) -> None:
        started = time.time()
        # From here to `_current` nothing awaits: whoever cancels finds it either queued or running with its task.
        self._journal.set_running(entry.trial_id, Running(0, 0, self._boot(), started))
        task = asyncio.get_running_loop().create_task(self._run_trial(entry, self._emit), name=entry.trial_id)
        self._current = current = _Current(entry, task, asyncio.Event())
        try:
            await asyncio.wait({task})
            await self._finish(entry, self._outcome_of(current, started), TrialState.RUNNING)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            await self._finish(entry, self._outcome_of(current, started), TrialState.RUNNING)
            raise
        finally:
            self._current = None
            current.finished.set()

    def _outcome_of(self, current: _Current, started: float) -> TrialResult:
        entry, task = current.entry, current.task
        if task.cancelled():
            return self._stopped(current, started)
        if error := task.exception():
            _log.error("trial %s ended by a bug of the agent: %s", entry.trial_id, error, exc_info=error)
            message = f"the agent failed while the trial ran: {type(error).__name__}: {error}"
            return replace(self._ended(entry, TrialOutcome.INTERRUPTED, message), started=started)
        return task.result()

    async def _stop_current(self, outcome: TrialOutcome, message: str) -> None:
        current = self._current
        if current is None:
            return
        current.outcome, current.message = outcome, message
        current.task.cancel()
        await current.finished.wait()

    async def _cancel_dead(self) -> None:
        for entry in self._journal.in_state(TrialState.QUEUED):
            if not self._leases.holds(entry.fencing_number):
                message = "the lease under which it was submitted was over before its turn came"
                await self._finish(entry, self._ended(entry, TrialOutcome.CANCELLED, message), TrialState.QUEUED)

    async def _finish(self, entry: Entry, result: TrialResult, state: TrialState) -> None:
        """Write the result of a trial that is in `state`; nothing once it has left that, while this waited for room."""
        while self._state(entry.trial_id) is state:
            try:
                self._journal.finish(result)
            except OSError as error:
                # An honest result is never thrown away: it waits here until there is room for it.
                _log.error("the result of trial %s cannot be written: %s", entry.trial_id, error)
                if self._stopping:
                    return  # The next life finds the trial as it is now.
                await asyncio.sleep(RETRY_S)
            else:
                self._emit(entry, TrialState.FINISHED, result.stage)

    def _emit(self, entry: Entry, state: TrialState, stage: Stage, waits_for: str = "") -> None:
        self._events.emit(entry.trial_id, entry.run_id, entry.identity, state, stage, waits_for)

    def _state(self, trial_id: str) -> TrialState:
        entry = self._journal.get(trial_id)
        return entry.state if entry else TrialState.UNKNOWN

    def _stopped(self, current: _Current, started: float) -> TrialResult:
        return replace(self._ended(current.entry, current.outcome, current.message), started=started)

    def _ended(self, entry: Entry, outcome: TrialOutcome, message: str) -> TrialResult:
        return TrialResult(
            trial_id=entry.trial_id,
            outcome=outcome,
            stage=Stage.UNKNOWN,
            cause=str(outcome),
            message=message,
            finished=time.time(),
            boot_id=self._boot(),
        )
