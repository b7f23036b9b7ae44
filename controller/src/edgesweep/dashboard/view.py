"""What a watcher of a sweep can know: pure state, fed by events, without any rendering and with its clock given."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatchmethod

from edgesweep_proto.device import Reading

from edgesweep.sweep.events import (
    CellFinished,
    DeviceState,
    ExportFinished,
    ExportStarted,
    Notice,
    SweepEvent,
    SweepFinished,
    SweepStarted,
    Telemetry,
    TrialFinished,
    TrialProgressed,
    TrialStarted,
)

OUTCOMES = ("pass", "fallback", "failed", "skipped", "lost")
_KEPT_CELLS = 50
_OFF_DEVICE_STAGES = frozenset({"plan", "export", "check"})
_TRIALS_FOR_ESTIMATE = 3
_EXPORTS_FOR_ESTIMATE = 4


@dataclass(slots=True)
class DeviceLine:
    """One device of the fleet. Every `*_at` is a moment of the view's own clock, in seconds.

    `waits_for` names the gate (idle or thermal) that its trial waits for.
    """

    name: str
    planned: int = 0
    colocated: bool = False
    state: str = "waiting"
    note: str = ""
    cell: str = ""
    stage: str = ""
    stage_at: float = 0.0
    waits_for: str = ""
    reading: Reading | None = None
    reading_at: float | None = None
    heard_at: float | None = None
    queue: int | None = None
    finished_at_queue: int = 0
    finished: set[str] = field(default_factory=set)
    measured: set[str] = field(default_factory=set)
    rounds_done: dict[str, int] = field(default_factory=dict)
    newest_round: int = 0
    trials: int = 0
    first_trial_at: float | None = None
    last_trial_at: float = 0.0

    @property
    def remaining(self) -> int:
        """Cells of the device without an outcome: what it last told, less what has ended since."""
        if self.queue is None:
            return max(0, self.planned - len(self.finished))
        return max(0, self.queue - (len(self.finished) - self.finished_at_queue))

    @property
    def hottest_c(self) -> float | None:
        """The highest temperature of the last reading in degrees Celsius."""
        return max(self.reading.temperatures_c.values(), default=None) if self.reading else None

    def trials_left(self, planned: int) -> float:
        """Trials still to run on the device, with `planned` of them for each measured cell.

        Trials go in rounds over all cells, so a cell not seen yet has had every round before the newest. Cells that
        share a measurement have their trials under one name; how many do is taken from those that have ended.
        """
        planned = max(planned, self.newest_round + 1)
        begun = [done for name, done in self.rounds_done.items() if name not in self.finished]
        leaders = sum(name in self.rounds_done for name in self.measured)
        sharing = leaders / len(self.measured) if leaders else 1.0
        unseen = max(0.0, self.remaining * sharing - len(begun))
        return sum(planned - done for done in begun) + unseen * (planned - self.newest_round)

    def seconds_left(self, now: float, planned: int) -> float | None:
        """An estimate from the trials finished so far; 0 with nothing left, None while they are too few."""
        if not self.remaining:
            return 0.0
        if self.trials < _TRIALS_FOR_ESTIMATE or self.first_trial_at is None:
            return None
        trials_left = max(1.0, self.trials_left(planned))
        per_trial = (self.last_trial_at - self.first_trial_at) / self.trials
        return max(per_trial / 2, trials_left * per_trial - min(per_trial, now - self.last_trial_at))


@dataclass(slots=True)
class FindingLine:
    """All cells seen so far that ended alike; `last_cell` is the newest of them."""

    outcome: str
    stage: str
    cause: str
    message: str
    remedy: str
    last_cell: str
    count: int = 0


@dataclass(slots=True)
class ExportLine:
    """How far exporting came. `active` holds the variants in work with the moment each was begun, oldest first."""

    done: int = 0
    total: int = 0
    failed: int = 0
    cached: int = 0
    active: dict[str, float] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    recent: deque[ExportFinished] = field(default_factory=lambda: deque(maxlen=_KEPT_CELLS))
    first_at: float | None = None

    @property
    def going_on(self) -> bool:
        """Whether variants are still to be exported."""
        return self.done < self.total

    def seconds_left(self, now: float) -> float | None:
        """An estimate from the variants that were really exported; None while they are too few."""
        exported = len(self.seen) - self.cached
        if not self.going_on or self.first_at is None or exported < _EXPORTS_FOR_ESTIMATE:
            return None
        return (now - self.first_at) / exported * (self.total - self.done)


class SweepView:
    """The state of one sweep as its events tell it.

    Any sequence of events is taken, also one that begins in the middle: what is not known yet is 0, empty or None.
    The outcomes counted and the `earlier` cells (ended before this watcher came) always add up to `done`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_done = 0
        self._told_total = 0
        self._trials = 1
        self._outcome_of: dict[str, str] = {}
        self._trial_began: dict[tuple[str, str], float] = {}
        self._round: dict[tuple[str, str], int] = {}
        self.run_id = ""
        self.name = ""
        self.resume_command = "edgesweep run --resume"
        self.started_at: float | None = None
        self.devices: dict[str, DeviceLine] = {}
        self.exports = ExportLine()
        self.findings: dict[tuple[str, str, str], FindingLine] = {}
        self.recent: deque[CellFinished] = deque(maxlen=_KEPT_CELLS)
        self.notice = ""
        self.finished: SweepFinished | None = None

    def now(self) -> float:
        """The view's clock in seconds."""
        return self._clock()

    @property
    def counts(self) -> dict[str, int]:
        """Cells by outcome, of those whose end was seen here; an outcome unknown to this version keeps its own word."""
        counts = dict.fromkeys(OUTCOMES, 0)
        for outcome in self._outcome_of.values():
            counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    @property
    def done(self) -> int:
        """Cells with an outcome."""
        return max(self._told_done, len(self._outcome_of))

    @property
    def total(self) -> int:
        """Planned cells."""
        return max(self._told_total, sum(line.planned for line in self.devices.values()), self.done)

    @property
    def earlier(self) -> int:
        """Cells that ended before this watcher came, e.g. before a resume."""
        return self.done - len(self._outcome_of)

    @property
    def is_matrix(self) -> bool:
        """Whether only exports are watched: an export matrix knows no devices."""
        return self.started_at is not None and not self.devices and not self.total

    @property
    def next_command(self) -> str:
        """What goes on with the run after a stop; a matrix is started anew and finds what is done in the cache."""
        return self.resume_command if self.is_matrix else f"{self.resume_command} {self.run_id}"

    @property
    def elapsed(self) -> float | None:
        """Seconds since the sweep began; its own figure once it has ended; None before it began."""
        if self.finished:
            return self.finished.seconds
        return None if self.started_at is None else self.now() - self.started_at

    @property
    def seconds_left(self) -> float | None:
        """An estimate of the time left: that of the slowest device; None while any of them cannot tell."""
        if self.finished or self.done >= self.total > 0:
            return 0.0
        now = self.now()
        estimates = [line.seconds_left(now, self._trials) for line in self.devices.values()]
        if not estimates or any(line.state == "unreachable" and line.remaining for line in self.devices.values()):
            return None
        known = [estimate for estimate in estimates if estimate is not None]
        return max(known) if len(known) == len(estimates) else None

    @property
    def measuring_here(self) -> bool:
        """Whether a device on this very host is measuring, so that watching should cost next to nothing."""
        return any(line.colocated and line.state == "measuring" for line in self.devices.values())

    @singledispatchmethod
    def apply(self, event: SweepEvent) -> None:
        """Takes one event; an event of an unknown kind changes nothing."""

    def device(self, name: str) -> DeviceLine:
        """The line of a device; made when it was never heard of."""
        return self.devices.setdefault(name, DeviceLine(name))

    def _heard(self, name: str) -> DeviceLine:
        line = self.device(name)
        line.heard_at = self.now()
        return line

    @apply.register
    def _on_start(self, event: SweepStarted) -> None:
        self.run_id, self.name, self.resume_command = event.run_id, event.name, event.resume_command
        self.started_at, self.finished = self.now(), None
        self._trials = event.trials
        self.exports.total = event.variants
        for name, planned in event.cells.items():
            line = self.device(name)
            line.planned, line.colocated = planned, name in event.colocated

    @apply.register
    def _on_export_start(self, event: ExportStarted) -> None:
        self.exports.active[event.variant] = self.now()
        if self.exports.first_at is None:
            self.exports.first_at = self.now()

    @apply.register
    def _on_export_end(self, event: ExportFinished) -> None:
        exports = self.exports
        exports.active.pop(event.variant, None)
        exports.total = max(event.total, event.done)
        exports.done = event.done
        if event.variant not in exports.seen:
            exports.seen.add(event.variant)
            exports.recent.append(event)
            exports.failed += bool(event.cause)
            exports.cached += event.cached

    @apply.register
    def _on_device_state(self, event: DeviceState) -> None:
        line = self.device(event.device) if event.state == "unreachable" else self._heard(event.device)
        line.state, line.note = event.state, event.note
        line.queue, line.finished_at_queue = event.queue, len(line.finished)
        if event.state not in {"measuring", "uploading"}:
            line.cell = line.stage = line.waits_for = ""

    @apply.register
    def _on_trial_start(self, event: TrialStarted) -> None:
        line = self._heard(event.device)
        self._trial_began.setdefault((event.device, event.cell), self.now())
        round_no = self._round[event.device, event.cell] = max(0, event.round)
        line.rounds_done[event.cell] = round_no
        line.newest_round = max(line.newest_round, round_no)
        if line.first_trial_at is None:
            line.first_trial_at = self.now()
        if not line.cell:
            line.cell, line.stage, line.stage_at = event.cell, "", self.now()

    @apply.register
    def _on_trial_progress(self, event: TrialProgressed) -> None:
        line = self._heard(event.device)
        line.cell, line.stage, line.stage_at = event.cell, str(event.stage), self.now()
        line.waits_for = event.waits_for

    @apply.register
    def _on_trial_end(self, event: TrialFinished) -> None:
        line = self._heard(event.device)
        began = self._trial_began.pop((event.device, event.cell), self.now())
        if line.first_trial_at is None:
            line.first_trial_at = began
        line.trials += 1
        line.rounds_done[event.cell] = self._round.pop((event.device, event.cell), line.newest_round) + 1
        line.last_trial_at = self.now()
        if line.cell == event.cell:
            line.cell = line.stage = line.waits_for = ""

    @apply.register
    def _on_cell_end(self, event: CellFinished) -> None:
        line = self.device(event.device)
        line.finished.add(event.cell)
        if event.stage not in _OFF_DEVICE_STAGES and event.outcome not in {"skipped", "lost"}:
            line.heard_at = self.now()
            line.measured.add(event.cell)
        again = event.cell in self._outcome_of
        self._outcome_of[event.cell] = event.outcome
        self._told_done = max(self._told_done, event.done)
        self._told_total = max(self._told_total, event.total)
        self.recent.append(event)
        if event.outcome != "pass" and not again:
            key = (event.outcome, event.stage, event.cause)
            finding = self.findings.pop(key, None) or FindingLine(*key, "", "", "")
            finding.message, finding.remedy, finding.last_cell = event.message, event.remedy, event.cell
            finding.count += 1
            self.findings[key] = finding

    @apply.register
    def _on_telemetry(self, event: Telemetry) -> None:
        line = self._heard(event.device)
        line.reading, line.reading_at = event.reading, self.now()

    @apply.register
    def _on_notice(self, event: Notice) -> None:
        self.notice = event.text

    @apply.register
    def _on_finish(self, event: SweepFinished) -> None:
        self.finished = event
        self.run_id = self.run_id or event.run_id
        self.exports.active.clear()
        for line in self.devices.values():
            line.cell = line.stage = line.waits_for = ""
            if line.state != "unreachable":
                line.state = "done" if not line.remaining else "idle"
