"""A run from its cells to their outcomes: exports first, then every device in its own loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesweep_proto.device import Runtime
from edgesweep_proto.trial import Stage

from edgesweep.errors import EdgesweepError
from edgesweep.export.contract import Exports
from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Cell, Variant
from edgesweep.plan.preset import Preset
from edgesweep.plan.runtimes import UNKNOWN_RUNTIME
from edgesweep.plan.tolerances import VerifyRules
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.store.records import Outcome, RunRecord, RunState
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.device_loop import DeviceLoop, LoopSettings
from edgesweep.sweep.events import DeviceState, ExportFinished, ExportStarted, SweepFinished, SweepStarted
from edgesweep.sweep.ledger import Emit, Ledger
from edgesweep.sweep.outcome import end_of_failed_export, end_of_refused_shape, end_of_skip
from edgesweep.sweep.work import group_cells, variant_key


@dataclass(frozen=True, slots=True)
class Member:
    """A device of the run: how it is reached, whether it is this very host, and what kept it from answering.

    `runtimes` are as the device described them, with the limits that were probed.
    """

    entry: DeviceEntry
    colocated: bool = False
    fault: EdgesweepError | None = None
    emulated: bool = False
    boot_id: str = ""
    runtimes: tuple[Runtime, ...] = ()

    @property
    def host_tags(self) -> tuple[str, ...]:
        """What must be said beside every number from this device."""
        tags = ("shared_host",) if self.colocated else ()
        return (*tags, "emulated") if self.emulated else tags


@dataclass(frozen=True, slots=True)
class SweepSummary:
    """How a run ended: cells by outcome and the seconds it took."""

    run_id: str
    outcomes: Mapping[str, int]
    seconds: float


def jobs_of(cells: Sequence[Cell], sources: Sequence[ModelSource]) -> list[ExportJob]:
    """One export job per variant that some of the `cells` needs, with all shapes they ask of it."""
    by_name = {source.name: source for source in sources}
    wanted: dict[Variant, list[Cell]] = {}
    for cell in cells:
        if cell.skip is None:
            wanted.setdefault(cell.variant, []).append(cell)
    return [
        ExportJob(by_name[variant.model], variant, tuple(dict.fromkeys(cell.shape for cell in members)))
        for variant, members in wanted.items()
    ]


class Sweep:
    """One run in progress. Every planned cell has exactly one outcome when `run` returns."""

    def __init__(
        self,
        run: RunRecord,
        ledger: Ledger,
        *,
        sources: Sequence[ModelSource],
        members: Sequence[Member],
        exports: Exports,
        store: Store,
        writer: StoreWriter,
        preset: Preset,
        fallback: FallbackPolicy,
        open_client: Callable[[DeviceEntry], DeviceClient],
        settings: LoopSettings,
        emit: Emit,
        stored_exports: Mapping[str, ExportResult] | None = None,
        skip: str = "proven",
        resume_command: str = "edgesweep run --resume",
        rules: VerifyRules | None = None,
    ) -> None:
        self._run = run
        self._rules = rules or VerifyRules()
        self._ledger = ledger
        self._sources = sources
        self._members = members
        self._exports = exports
        self._store = store
        self._writer = writer
        self._preset = preset
        self._fallback = fallback
        self._open_client = open_client
        self._settings = settings
        self._emit = emit
        self._stored_exports = dict(stored_exports or {})
        self._skip = skip
        self._resume_command = resume_command
        boots = Counter(member.boot_id for member in members if member.boot_id)
        self._turns = {boot_id: asyncio.Lock() for boot_id, count in boots.items() if count > 1}

    async def run(self) -> SweepSummary:
        """Runs to the end; when cancelled, the run is marked interrupted and everything finished is kept."""
        started = time.monotonic()
        cells = self._ledger.cells
        jobs = jobs_of(self._ledger.open_cells(), self._sources)
        self._emit(
            SweepStarted(
                self._run.id,
                self._run.name,
                {
                    member.entry.name: sum(cell.device == member.entry.name for cell in cells)
                    for member in self._members
                },
                len(jobs),
                tuple(member.entry.name for member in self._members if member.colocated),
                trials=self._preset.trials,
                resume_command=self._resume_command,
            )
        )
        try:
            await self._ledger.end([end_of_skip(cell) for cell in self._ledger.open_cells() if cell.skip is not None])
            await self._lose_unreachable()
            self._hold_devices(jobs)
            exported = await self._export(jobs)
            await self._measure(exported)
        except BaseException:
            # Cancelled, or something broke: what is stored stays, and a resume goes on from there.
            with contextlib.suppress(EdgesweepError):
                await self._close(RunState.INTERRUPTED)
            self._emit(self._finished(started, complete=False))
            raise
        # Invariant 1: whatever a defect above may have left open is said to be lost, not forgotten.
        await self._ledger.lose(
            self._ledger.open_cells(), Stage.PLAN, "not_run", "nothing was left that could have run this cell"
        )
        await self._close(RunState.COMPLETE)
        await self._writer.call(self._store.compact_samples, self._run.id)
        self._emit(self._finished(started, complete=True))
        return SweepSummary(self._run.id, self._ledger.outcomes, time.monotonic() - started)

    async def _measure(self, exported: Mapping[str, ExportResult]) -> None:
        """Every device in its own loop; the first thing that no loop can answer for ends them all."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for member in self._members:
                    if member.fault is None:
                        tasks.create_task(self._loop_of(member, exported).run())
        except* EdgesweepError as group:
            raise _first(group) from group

    async def _lose_unreachable(self) -> None:
        unknown = [cell for cell in self._ledger.open_cells() if cell.runtime == UNKNOWN_RUNTIME]
        reachable = {member.entry.name for member in self._members if member.fault is None}
        sentence = "it did not answer when the run was planned, so its runtimes were unknown; start a new run"
        await self._ledger.lose(
            [cell for cell in unknown if cell.device in reachable], Stage.PLAN, "device_unreachable", sentence
        )
        for member in self._members:
            if member.fault is None:
                continue
            code = "device_unreachable" if member.fault.code == "unreachable" else member.fault.code
            cells = self._ledger.open_cells(member.entry.name)
            self._emit(DeviceState(member.entry.name, "unreachable", len(cells), member.fault.message))
            await self._ledger.lose(cells, Stage.PLAN, code, member.fault.message)

    def _hold_devices(self, jobs: Sequence[ExportJob]) -> None:
        """Says of every device that answers why nothing happens on it yet."""
        for member in self._members:
            name = member.entry.name
            cells = self._ledger.open_cells(name)
            if jobs and cells and member.fault is None:
                self._emit(DeviceState(name, "waiting", len(cells), "exports come first on this host"))

    async def _export(self, jobs: Sequence[ExportJob]) -> dict[str, ExportResult]:
        """Exports every variant; a failed one ends all its cells at once."""
        wanted = {cell.variant for cell in self._ledger.open_cells()}
        jobs = [job for job in jobs if job.variant in wanted]
        cells_of: dict[str, list[Cell]] = {}
        for cell in self._ledger.open_cells():
            cells_of.setdefault(variant_key(cell), []).append(cell)
        results: dict[str, ExportResult] = {}
        fresh = 0
        self._exports.on_start = lambda variant: self._emit(ExportStarted(f"{variant.model}/{variant.slug}"))
        async for result in self._exports.export(jobs):
            key = f"{result.variant.model}/{result.variant.slug}"
            results[key] = result
            fresh += 1
            await self._writer.call(self._store.save_export, self._run.id, result)
            self._emit(
                ExportFinished(key, result.cause, result.message, result.seconds, result.cached, fresh, len(jobs))
            )
            mine = [cell for cell in cells_of.get(key, ()) if self._ledger.is_open(cell)]
            if result.passed:
                refused = [cell for cell in mine if cell.shape.slug not in result.payloads]
                await self._ledger.end([end_of_refused_shape(cell) for cell in refused])
            else:
                await self._ledger.end([end_of_failed_export(cell, result, self._ledger.cells) for cell in mine])
        return {**self._stored_exports, **results}

    def _loop_of(self, member: Member, exported: Mapping[str, ExportResult]) -> DeviceLoop:
        return DeviceLoop(
            member.entry,
            # Cells that have ended keep their place: whoever led a group before a cut leads it after.
            group_cells(
                [cell for cell in self._ledger.cells if cell.device == member.entry.name], exported, self._rules
            ),
            self._ledger,
            open_client=self._open_client,
            path_of=self._path_of,
            preset=self._preset,
            fallback=self._fallback,
            seed=self._run.seed,
            settings=self._settings,
            host_tags=member.host_tags,
            runtimes=member.runtimes,
            skip=self._skip,
            turn=self._turns.get(member.boot_id),
        )

    def _path_of(self, sha256: str) -> Path:
        return self._exports.path_of(sha256)

    async def _close(self, state: RunState) -> None:
        await self._writer.call(self._store.set_run_state, self._run.id, state, time.time())

    def _finished(self, started: float, *, complete: bool) -> SweepFinished:
        lost = self._ledger.outcomes.get(Outcome.LOST.value, 0)
        return SweepFinished(
            self._run.id, self._ledger.outcomes, time.monotonic() - started, complete=complete and not lost
        )


def _first(group: BaseExceptionGroup[EdgesweepError]) -> EdgesweepError:
    """The first error of a group of groups."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group holds at least one error")
