"""Which cell of which run a user means."""

from __future__ import annotations

from fnmatch import fnmatchcase

from sqlalchemy import Connection, select

from edgesweep.did_you_mean import nearest
from edgesweep.errors import EdgesweepError
from edgesweep.store.records import RunKind
from edgesweep.store.tables import CellRow, RunRow

_RUNS_BACK = 50
#: Runs in which the times of a cell's nodes are looked for.
_RUNS_OF_CELL = 10
_RUNS_ASKED = 5
_CANDIDATES = 6
_GLOB = frozenset("*?[")


def find_cell(connection: Connection, text: str, run_id: str | None = None) -> tuple[str, str]:
    """Run and name of the cell that `text` means, in `run_id` or in the newest sweep that holds it.

    A whole name goes before a glob or a part of a name, which must fit one cell of the run only.

    Raises:
        EdgesweepError: no_runs, or unknown_cell with the names that come nearest.
    """
    newest = select(RunRow.id).where(RunRow.kind == RunKind.SWEEP.value)
    newest = newest.order_by(RunRow.started.desc(), RunRow.id.desc()).limit(_RUNS_BACK)
    runs = [run_id] if run_id is not None else list(connection.execute(newest).scalars())
    if not runs:
        raise EdgesweepError("no_runs")
    exact = _exactly(connection, text, run_id)
    if exact is not None:
        return exact, text
    for run in runs:
        names = [name for name in _names_of(connection, run) if _fits(text.lower(), name.lower())]
        if len(names) == 1:
            return run, names[0]
        if names:
            more = f" and {len(names) - _CANDIDATES} more" if len(names) > _CANDIDATES else ""
            raise EdgesweepError(
                "unknown_cell",
                f"'{text}' fits {len(names)} cells of the run {run}: {', '.join(names[:_CANDIDATES])}{more}",
                remedy="write more of the name; a * stands for anything",
            )
    known = (name for run in runs[:_RUNS_ASKED] for name in _names_of(connection, run))
    near = nearest(text, dict.fromkeys(known))
    where = f"the run {run_id}" if run_id is not None else "any run in the store"
    meant = f", did you mean '{near}'?" if near else ""
    raise EdgesweepError("unknown_cell", f"no cell of {where} is called '{text}'{meant}")


def runs_of_cell(connection: Connection, name: str, newest: str) -> tuple[str, ...]:
    """The last sweeps that hold the cell of that name, newest first, from the run `newest` on back."""
    started = select(RunRow.started).where(RunRow.id == newest).scalar_subquery()
    query = (
        select(RunRow.id)
        .join(CellRow, CellRow.run_id == RunRow.id)
        .where(CellRow.name == name, RunRow.kind == RunKind.SWEEP.value, RunRow.started <= started)
        .order_by(RunRow.started.desc(), RunRow.id.desc())
        .limit(_RUNS_OF_CELL)
    )
    return tuple(connection.execute(query).scalars())


def _exactly(connection: Connection, text: str, run_id: str | None) -> str | None:
    """The newest sweep that holds a cell of this very name."""
    holding = (
        select(RunRow.id)
        .join(CellRow, CellRow.run_id == RunRow.id)
        .where(CellRow.name == text, RunRow.kind == RunKind.SWEEP.value)
        .order_by(RunRow.started.desc(), RunRow.id.desc())
        .limit(1)
    )
    found: str | None = connection.execute(holding if run_id is None else holding.where(RunRow.id == run_id)).scalar()
    return found


def _fits(wanted: str, name: str) -> bool:
    return fnmatchcase(name, wanted) if _GLOB & set(wanted) else wanted in name


def _names_of(connection: Connection, run_id: str) -> list[str]:
    return list(
        connection.execute(select(CellRow.name).where(CellRow.run_id == run_id).order_by(CellRow.position)).scalars()
    )
