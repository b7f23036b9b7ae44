"""The run of an export matrix: every variant of a plan exported and proven, with no device anywhere."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.export.contract import Exports
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob
from edgesweep.models.source import ModelSource
from edgesweep.plan.load import LoadedPlan
from edgesweep.plan.schema import PlanFile
from edgesweep.plan.selection import matcher
from edgesweep.plan.sources import sources_of
from edgesweep.plan.trouble import in_force
from edgesweep.plan.variants import PlannedVariant, planned_variants
from edgesweep.store.records import RunKind, RunRecord, RunState, outcome_of_export
from edgesweep.store.store import Store
from edgesweep.store.variants import WAITING
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.events import ExportFinished, ExportStarted, Notice, SweepFinished, SweepStarted
from edgesweep.sweep.launch import facts_of_models, new_run
from edgesweep.sweep.ledger import Emit


@dataclass(frozen=True, slots=True)
class PreparedMatrix:
    """A matrix that is planned but not started; `notes` are sentences about entries of the plan that ended."""

    run: RunRecord
    plan: PlanFile
    sources: tuple[ModelSource, ...]
    variants: tuple[PlannedVariant, ...]
    notes: tuple[str, ...] = ()


async def prepare_matrix(loaded: LoadedPlan, exports: Exports, *, expression: str = "") -> PreparedMatrix:
    """Plans a matrix: asks the models what they are, then lists the variants whose name fits `expression`.

    Raises:
        EdgesweepError: `nothing_selected` when no variant is left, `plan_invalid` when two have one name.
    """
    plan = loaded.plan
    fits = matcher(expression)
    sources = sources_of(plan, loaded.base_dir)
    facts = await facts_of_models(sources, exports)
    today = dt.datetime.now(tz=dt.UTC).date()
    planned = planned_variants(plan, sources, facts, today=today)
    chosen = tuple(entry for entry in planned if fits(entry.variant.name))
    if not chosen:
        remedy = f"the names are like {planned[0].variant.name}; correct -k" if planned else "name a model in the plan"
        raise EdgesweepError("nothing_selected", "the plan selects no variant", remedy=remedy)
    _refuse_equal_names(chosen)
    notes = tuple(
        f"{key}[{position}] ended on {entry.until} and no longer counts"
        for key in ("exclude", "known_failures")
        for position, entry in enumerate(getattr(plan, key))
        if not in_force(entry, today)
    )
    return PreparedMatrix(replace(new_run(loaded), kind=RunKind.MATRIX), plan, sources, chosen, notes)


async def run_matrix(
    prepared: PreparedMatrix,
    exports: Exports,
    store: Store,
    emit: Emit,
    *,
    again: str = "edgesweep export matrix",
) -> None:
    """Exports what is planned and returns when every variant has its outcome.

    Nothing is announced before it is stored. When cancelled, the matrix is marked interrupted and keeps what it has;
    what is exported need not be exported again, since the cache holds it. `again` is the command that starts it anew.

    Raises:
        EdgesweepError: `store_unusable` when the store fails under it.
    """
    run_id, started = prepared.run.id, time.monotonic()
    book = {entry.variant.name: _not_exported(entry) for entry in prepared.variants}
    by_name = {source.name: source for source in prepared.sources}
    jobs = [
        ExportJob(by_name[entry.variant.model], entry.variant, entry.shapes)
        for entry in prepared.variants
        if entry.skip is None
    ]
    writer = StoreWriter(store)

    def finished(*, complete: bool) -> SweepFinished:
        ended = [result for result in book.values() if complete or result.cause != WAITING]
        outcomes = Counter(outcome_of_export(result.stage, result.cause).value for result in ended)
        return SweepFinished(run_id, dict(outcomes), time.monotonic() - started, complete=complete)

    try:
        await writer.call(store.create_run, prepared.run, (), tuple(book.values()))
        emit(SweepStarted(run_id, prepared.run.name, {}, len(jobs), resume_command=again))
        for note in prepared.notes:
            emit(Notice(note))
        try:
            exports.on_start = lambda variant: emit(ExportStarted(variant.name))
            done = 0
            async for result in exports.export(jobs):
                done += 1
                name = result.variant.name
                await writer.call(store.save_export, run_id, result)
                book[name] = result
                emit(ExportFinished(name, result.cause, result.message, result.seconds, result.cached, done, len(jobs)))
        except BaseException:
            # Cancelled, or something broke: what is stored stays.
            with contextlib.suppress(EdgesweepError):
                await writer.call(store.set_run_state, run_id, RunState.INTERRUPTED, time.time())
            emit(finished(complete=False))
            raise
        await writer.call(store.set_run_state, run_id, RunState.COMPLETE, time.time())
        emit(finished(complete=True))
    finally:
        await writer.close()


def _not_exported(entry: PlannedVariant) -> ExportResult:
    """The result that a variant has before its export: skipped for good, or waiting for its turn."""
    cause, message = (entry.skip.cause, entry.skip.message) if entry.skip else (WAITING, CATALOGUE[WAITING].text)
    return ExportResult(entry.variant, Stage.PLAN, cause, message, tolerance=tolerance_for(entry.variant.precision))


def _refuse_equal_names(variants: Sequence[PlannedVariant]) -> None:
    counted = Counter(entry.variant.name for entry in variants)
    repeated = next((name for name, count in counted.items() if count > 1), None)
    if repeated is not None:
        sentence = f"{counted[repeated]} variants of the plan have the name {repeated}"
        raise EdgesweepError("plan_invalid", sentence, remedy="an axes profile or opset is in the plan twice")
