"""The book of one run: every trial and every cell's end passes through here into the store, and out as an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from edgesweep_proto.trial import Stage, TrialResult

from edgesweep.failures.retell import retell_end, trial_as_told
from edgesweep.failures.rules import NO_RULES, RuleBook
from edgesweep.plan.cell import Cell
from edgesweep.store.records import KNOWN_FAILURE, CellEnd, Outcome, TrialRecord
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.events import CellFinished, SweepEvent, TrialFinished
from edgesweep.sweep.outcome import end_of_lost, median_of
from edgesweep.sweep.trial_record import trial_record
from edgesweep.sweep.work import History, PlannedTrial

Emit = Callable[[SweepEvent], None]


class Ledger:
    """Keeps one run's books: nothing is announced before it is stored, and each cell ends exactly once."""

    def __init__(
        self,
        run_id: str,
        cells: Sequence[Cell],
        store: Store,
        writer: StoreWriter,
        emit: Emit,
        *,
        trials: Mapping[str, Sequence[TrialRecord]] | None = None,
        ended: Mapping[str, Outcome] | None = None,
        known: Mapping[str, str] | None = None,
        rules: RuleBook = NO_RULES,
    ) -> None:
        self.run_id = run_id
        self.cells = tuple(cells)
        self.emit = emit
        self._store = store
        self._writer = writer
        self._by_name = {cell.name: cell for cell in cells}
        self._trials: dict[str, list[TrialRecord]] = {name: list(items) for name, items in (trials or {}).items()}
        self._ended: dict[str, Outcome] = dict(ended or {})
        self._known = dict(known or {})
        self._rules = rules
        self._spent = {name: Counter(trial.round for trial in items) for name, items in self._trials.items()}

    def history(self, cell_name: str) -> History:
        """The stored trials of a cell as the rules tell them, retries included, and what earlier starts of the run have spent."""
        told = tuple(trial_as_told(trial, self._rules) for trial in self._trials.get(cell_name, ()))
        return History(told, self._spent.get(cell_name, {}))

    @property
    def trial_count(self) -> int:
        """How many trials are stored in all."""
        return sum(map(len, self._trials.values()))

    def is_open(self, cell: Cell) -> bool:
        """Whether the cell still waits for its outcome."""
        return cell.name not in self._ended

    def is_known(self, cell: Cell) -> bool:
        """Whether the plan lists the cell as a known failure."""
        return cell.name in self._known

    def open_cells(self, device: str | None = None) -> list[Cell]:
        """Cells without an outcome, in planned order."""
        return [cell for cell in self.cells if self.is_open(cell) and (device is None or cell.device == device)]

    @property
    def outcomes(self) -> dict[str, int]:
        """How many cells ended in which way."""
        return dict(Counter(outcome.value for outcome in self._ended.values()))

    async def add_trial(self, planned: PlannedTrial, result: TrialResult, samples: bytes) -> None:
        """Stores a trial's result with its samples; a result that is stored already changes nothing."""
        name, record = planned.group.leader.name, trial_record(planned, result, samples)
        if await self._writer.call(self._store.save_trial, self.run_id, record, samples):
            self._trials.setdefault(name, []).append(record)
            self.emit(
                TrialFinished(
                    planned.group.leader.device, name, result.outcome.value, result.cause, median_of(record.latency)
                )
            )

    async def end(self, ends: Iterable[CellEnd]) -> None:
        """Stores the outcomes, then announces them; a cell that has its outcome keeps it."""
        for given in ends:
            if given.cell_name in self._ended:
                continue
            measured = self._trials.get(given.same_as or given.cell_name, ())
            end = self._with_known_trouble(retell_end(given, measured, self._rules))
            await self._writer.call(self._store.end_cell, self.run_id, end)
            self._ended[end.cell_name] = end.outcome
            self.emit(
                CellFinished(
                    self._by_name[end.cell_name].device,
                    end.cell_name,
                    end.outcome.value,
                    end.stage,
                    end.cause,
                    end.message,
                    end.remedy,
                    end.verdict.value if end.verdict else None,
                    median_of(end.latency),
                    len(self._ended),
                    len(self.cells),
                    end.latency.mad if end.latency else None,
                    end.latency.n if end.latency else None,
                )
            )

    def _with_known_trouble(self, end: CellEnd) -> CellEnd:
        """Tags a failure that the plan calls known, and a pass that it still calls a failure."""
        reason = self._known.get(end.cell_name)
        if reason is None or end.outcome in {Outcome.SKIPPED, Outcome.LOST}:
            return end
        tag = "fixed" if end.outcome is Outcome.PASS else "known"
        return replace(end, tags=(*end.tags, tag), reasons=(*end.reasons, f"{KNOWN_FAILURE}{reason}"))

    async def lose(self, cells: Iterable[Cell], stage: Stage, cause: str, message: str) -> None:
        """Ends open cells as lost: the lab kept them from being measured."""
        await self.end([end_of_lost(cell.name, stage, cause, message) for cell in cells if self.is_open(cell)])
