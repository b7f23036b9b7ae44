"""Questions to the store: each takes a connection, none writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Cell, Variant
from edgesweep.store.records import CellRecord, Outcome, RunKind, RunState, RunSummary, RunView, TrialRecord
from edgesweep.store.rows import (
    cell_from_row,
    device_from_row,
    end_from_row,
    export_from_row,
    run_from_row,
    trial_from_row,
)
from edgesweep.store.samples import SampleKey
from edgesweep.store.tables import CellRow, DeviceRow, ExportRow, RunRow, TrialRow
from edgesweep.store.variants import outcomes_of_matrices

#: Causes that say nothing about the model: a cell that ended so may be run again.
TRANSIENT = frozenset(code for code, entry in CATALOGUE.items() if not entry.stable)
_CANDIDATES = 5


def is_open() -> Any:
    """The condition on cells whose outcome is missing or says nothing about the model."""
    return or_(CellRow.outcome.is_(None), CellRow.outcome == Outcome.LOST.value, CellRow.cause.in_(sorted(TRANSIENT)))


def find_run(connection: Connection, text: str, kind: RunKind | None = RunKind.SWEEP) -> str:
    """The id of the run that `text` means: `latest`, an id, a plan's name (its newest run) or a unique prefix.

    `latest` and a plan's name mean runs of `kind` (None: of any); an id and its beginning may be of another.

    Raises:
        EdgesweepError: no_runs, or unknown_run with the runs that come nearest.
    """
    newest = select(RunRow.id).order_by(RunRow.started.desc(), RunRow.id.desc())
    ours = newest if kind is None else newest.where(RunRow.kind == kind.value)
    latest: str | None = connection.execute(ours.limit(1)).scalar()
    if latest is not None and text == "latest":
        return latest
    for query in (newest.where(RunRow.id == text), ours.where(RunRow.name == text)):
        found: str | None = connection.execute(query.limit(1)).scalar()
        if found is not None:
            return found
    starting = newest.where(func.substr(RunRow.id, 1, len(text)) == text).limit(_CANDIDATES + 1) if text else None
    matches = list(connection.execute(starting).scalars()) if starting is not None else []
    if len(matches) == 1:
        return str(matches[0])
    if matches:
        more = " and more" if len(matches) > _CANDIDATES else ""
        raise EdgesweepError(
            "unknown_run",
            f"{text!r} is the beginning of several runs: {', '.join(matches[:_CANDIDATES])}{more}",
            remedy="write more of the id",
        )
    if latest is None:
        raise EdgesweepError("no_runs")
    recent = ", ".join(connection.execute(ours.limit(_CANDIDATES)).scalars())
    raise EdgesweepError("unknown_run", f"no run is called {text!r}; the newest are {recent}")


def list_runs(connection: Connection, limit: int, kind: RunKind | None = RunKind.SWEEP) -> tuple[RunSummary, ...]:
    """The newest `limit` runs of `kind` (None: of any), newest first."""
    columns = (
        RunRow.id,
        RunRow.name,
        RunRow.plan_digest,
        RunRow.state,
        RunRow.started,
        RunRow.finished,
        RunRow.controller_version,
        RunRow.kind,
    )
    query = select(*columns).order_by(RunRow.started.desc(), RunRow.id.desc()).limit(limit)
    newest = connection.execute(query if kind is None else query.where(RunRow.kind == kind.value)).all()
    ids = [row.id for row in newest]
    outcomes: dict[str, dict[str, int]] = defaultdict(dict)
    counts: dict[str, int] = defaultdict(int)
    for run_id, outcome, count in connection.execute(
        select(CellRow.run_id, CellRow.outcome, func.count())
        .where(CellRow.run_id.in_(ids))
        .group_by(CellRow.run_id, CellRow.outcome)
        .order_by(CellRow.run_id, CellRow.outcome)
    ):
        counts[run_id] += count
        if outcome is not None:
            outcomes[run_id][outcome] = count
    for run_id, outcome, count in outcomes_of_matrices(
        connection, [row.id for row in newest if row.kind == RunKind.MATRIX.value]
    ):
        counts[run_id] += count
        if outcome is not None:
            outcomes[run_id][outcome] = outcomes[run_id].get(outcome, 0) + count
    devices: dict[str, list[str]] = defaultdict(list)
    for run_id, name in connection.execute(
        select(CellRow.run_id, CellRow.device)
        .where(CellRow.run_id.in_(ids))
        .group_by(CellRow.run_id, CellRow.device)
        .order_by(func.min(CellRow.position))
    ):
        devices[run_id].append(name)
    return tuple(
        RunSummary(
            id=row.id,
            name=row.name,
            plan_digest=row.plan_digest,
            state=RunState(row.state),
            started=row.started,
            finished=row.finished,
            controller_version=row.controller_version,
            devices=tuple(devices[row.id]),
            cells=counts[row.id],
            outcomes=dict(outcomes[row.id]),
            open=counts[row.id] - sum(outcomes[row.id].values()),
            kind=RunKind(row.kind),
        )
        for row in newest
    )


def load_run(connection: Connection, run_id: str) -> RunView:
    """The whole run, in five queries whatever its size.

    Raises:
        EdgesweepError: unknown_run.
    """
    run = connection.execute(_all(RunRow).where(RunRow.id == run_id)).mappings().one_or_none()
    if run is None:
        raise EdgesweepError("unknown_run", f"the store holds no run {run_id!r}")
    devices = connection.execute(_all(DeviceRow).where(DeviceRow.run_id == run_id).order_by(DeviceRow.id)).mappings()
    exports = _exports_of(connection, run_id)
    trials = trials_of(connection, run_id)
    cells = []
    for row in connection.execute(_cells(run_id)).mappings():
        cell = cell_from_row(_view(row))
        cells.append(CellRecord(cell, end_from_row(_view(row)), exports.get(cell.variant), trials.get(cell.name, ())))
    return RunView(
        run_from_row(_view(run)),
        tuple(device_from_row(_view(row)) for row in devices),
        tuple(cells),
        tuple(exports.values()),
    )


def open_cells(connection: Connection, run_id: str) -> tuple[Cell, ...]:
    """Cells that a resumed run has still to end, in planned order: without an outcome, or lost to lab trouble."""
    return tuple(cell_from_row(_view(row)) for row in connection.execute(_cells(run_id).where(is_open())).mappings())


def trials_of(connection: Connection, run_id: str) -> dict[str, tuple[TrialRecord, ...]]:
    """The stored trials of the run by cell name, in order of round and attempt."""
    rows = connection.execute(
        _all(TrialRow)
        .add_columns(CellRow.name.label("cell_name"))
        .join(CellRow, CellRow.id == TrialRow.cell_id)
        .where(TrialRow.run_id == run_id)
        .order_by(TrialRow.round, TrialRow.attempt, TrialRow.id)
    ).mappings()
    trials: dict[str, list[TrialRecord]] = defaultdict(list)
    for row in rows:
        view = _view(row)
        trials[view["cell_name"]].append(trial_from_row(view, view["cell_name"]))
    return {name: tuple(items) for name, items in trials.items()}


def sample_keys(connection: Connection, run_id: str, trial_id: str | None = None) -> tuple[SampleKey, ...]:
    """What samples the run's trials have, or one trial's, cell by cell in planned order."""
    query = (
        select(TrialRow.id, CellRow.name, TrialRow.samples_digest, TrialRow.figures)
        .join(CellRow, CellRow.id == TrialRow.cell_id)
        .where(TrialRow.run_id == run_id, TrialRow.samples_digest.is_not(None))
        .order_by(CellRow.position, TrialRow.round, TrialRow.attempt)
    )
    if trial_id is not None:
        query = query.where(TrialRow.id == trial_id)
    return tuple(
        SampleKey(row.id, row.name, row.samples_digest, (row.figures["result"]["samples"] or {}).get("warmup_count", 0))
        for row in connection.execute(query)
    )


def _exports_of(connection: Connection, run_id: str) -> dict[Variant, ExportResult]:
    rows = connection.execute(_all(ExportRow).where(ExportRow.run_id == run_id).order_by(ExportRow.id)).mappings()
    results = (export_from_row(_view(row)) for row in rows)
    return {result.variant: result for result in results}


def _all(table: type[Any]) -> Select[Any]:
    """All columns as plain rows: ten thousand of them need no identity map."""
    return select(*table.__table__.columns)


def _cells(run_id: str) -> Select[Any]:
    return _all(CellRow).where(CellRow.run_id == run_id).order_by(CellRow.position)


def _view(row: Any) -> Mapping[str, Any]:
    return dict(row)
