"""Questions about variants and names: what a matrix came to, what an earlier one said, which run holds a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgesweep_proto.trial import Stage
from sqlalchemy import Connection, func, select

from edgesweep.did_you_mean import nearest
from edgesweep.errors import EdgesweepError
from edgesweep.store.records import Outcome, RunKind, RunRecord, RunState, outcome_of_export
from edgesweep.store.tables import CellRow, ExportRow, RunRow

#: The cause of a variant whose turn has not come; with it a matrix is stored from its first moment.
WAITING = "not_run"

_MATRICES_BACK = 20
_RUNS_BACK = 50
_RUNS_ASKED = 5
_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Named:
    """A name of a run: that of a variant, and the cell's where a cell of a sweep is meant (else empty)."""

    run_id: str
    variant: str
    cell: str = ""

    @property
    def name(self) -> str:
        """The cell's name, or the variant's."""
        return self.cell or self.variant


def outcomes_of_matrices(connection: Connection, run_ids: Sequence[str]) -> Iterator[tuple[str, str | None, int]]:
    """Run, outcome (None: waiting) and number of variants, for the matrices among `run_ids`."""
    rows = connection.execute(
        select(ExportRow.run_id, ExportRow.stage, ExportRow.cause, func.count())
        .where(ExportRow.run_id.in_(run_ids))
        .group_by(ExportRow.run_id, ExportRow.stage, ExportRow.cause)
    )
    for run_id, stage, cause, count in rows:
        yield run_id, None if cause == WAITING else outcome_of_export(Stage(stage), cause).value, count


def earlier_outcomes(connection: Connection, run: RunRecord) -> dict[str, Outcome]:
    """How each variant ended when a complete matrix of the plan's name last said so, by the variant's name.

    Further back than the last matrix only for variants that it left out or lost: `-k` may have chosen a few.
    """
    earlier = connection.execute(
        select(RunRow.id)
        .where(
            RunRow.kind == RunKind.MATRIX.value,
            RunRow.name == run.name,
            RunRow.state == RunState.COMPLETE.value,
            RunRow.started < run.started,
            RunRow.id != run.id,
        )
        .order_by(RunRow.started.desc(), RunRow.id.desc())
        .limit(_MATRICES_BACK)
    ).scalars()
    found: dict[str, Outcome] = {}
    for run_id in list(earlier):
        columns = (ExportRow.model, ExportRow.slug, ExportRow.stage, ExportRow.cause)
        for model, slug, stage, cause in connection.execute(select(*columns).where(ExportRow.run_id == run_id)):
            outcome = outcome_of_export(Stage(stage), cause)
            if outcome is not Outcome.LOST:
                found.setdefault(f"{model}/{slug}", outcome)
    return found


def find_named(connection: Connection, text: str, run_id: str | None = None) -> Named:
    """The cell or variant that `text` means, in `run_id` or in the newest run that holds it.

    A whole name goes before parts of names, a part that stands in one variant only before its cells.

    Raises:
        EdgesweepError: no_runs, or unknown_cell with the names that come nearest.
    """
    runs = [run_id] if run_id is not None else _newest_runs(connection)
    if not runs:
        raise EdgesweepError("no_runs")
    exact = _exactly(connection, text, run_id)
    if exact is not None:
        return exact
    wanted = text.lower()
    for candidate in runs[:_RUNS_BACK]:
        names = [named for named in _names_of(connection, candidate) if wanted in named.name.lower()]
        if names:
            return _the_one(text, names)
    known = (named.name for candidate in runs[:_RUNS_ASKED] for named in _names_of(connection, candidate))
    near = nearest(text, dict.fromkeys(known))
    where = f"the run {runs[0]}" if run_id is not None else "any run in the store"
    meant = f", did you mean '{near}'?" if near else ""
    raise EdgesweepError("unknown_cell", f"no cell or variant of {where} is called '{text}'{meant}")


def _the_one(text: str, names: Sequence[Named]) -> Named:
    """The name that is meant where several hold the text: the only cell, or the variant of all of them."""
    if len({named.variant for named in names}) == 1:
        cells = [named for named in names if named.cell]
        return cells[0] if len(cells) == 1 else next((named for named in names if not named.cell), names[0])
    shown = [named.name for named in names if not named.cell] or [named.name for named in names]
    more = f" and {len(shown) - _CANDIDATES} more" if len(shown) > _CANDIDATES else ""
    raise EdgesweepError(
        "unknown_cell",
        f"'{text}' is a part of {len(shown)} names of the run {names[0].run_id}: {', '.join(shown[:_CANDIDATES])}{more}",
        remedy="write more of the name",
    )


def _newest_runs(connection: Connection) -> list[str]:
    return list(connection.execute(select(RunRow.id).order_by(RunRow.started.desc(), RunRow.id.desc())).scalars())


def _exactly(connection: Connection, text: str, run_id: str | None) -> Named | None:
    """The newest run that holds `text` as a whole name."""
    model, _, slug = text.partition("/")
    cells = select(RunRow.id).join(CellRow, CellRow.run_id == RunRow.id).where(CellRow.name == text)
    exports = (
        select(RunRow.id)
        .join(ExportRow, ExportRow.run_id == RunRow.id)
        .where(ExportRow.model == model, ExportRow.slug == slug)
    )
    if run_id is not None:
        cells, exports = cells.where(RunRow.id == run_id), exports.where(RunRow.id == run_id)
    newest = RunRow.started.desc()
    cell = connection.execute(cells.order_by(newest).limit(1)).first()
    if cell is not None:
        return Named(cell.id, _variant_in(text), text)
    export = connection.execute(exports.order_by(newest).limit(1)).first()
    return Named(export.id, text) if export is not None else None


def _names_of(connection: Connection, run_id: str) -> list[Named]:
    """Every name of a run, variants first, in planned order."""
    cells = connection.execute(select(CellRow.name).where(CellRow.run_id == run_id).order_by(CellRow.position))
    named = [Named(run_id, _variant_in(name), name) for name in cells.scalars()]
    exports = connection.execute(
        select(ExportRow.model, ExportRow.slug).where(ExportRow.run_id == run_id).order_by(ExportRow.id)
    )
    variants = [Named(run_id, f"{model}/{slug}") for model, slug in exports]
    return [*variants, *named]


def _variant_in(cell: str) -> str:
    """The variant's name within a cell's: its second and third segments."""
    _, model, slug, *_ = cell.split("/")
    return f"{model}/{slug}"
