"""The store: what one controller, or several on one PostgreSQL, keep of their runs.

A trial is kept in this order: its samples on the disk, then one SQL transaction; only then does the caller
acknowledge it to the agent. So whatever is killed when, a stored trial has its samples, and a lost one is still
on its board.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from edgesweep.errors import EdgesweepError
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Cell
from edgesweep.store import queries
from edgesweep.store.cells import find_cell, runs_of_cell
from edgesweep.store.connection import open_engine, translated, writing
from edgesweep.store.messages import StoredMessage, find_messages
from edgesweep.store.records import (
    CellEnd,
    DeviceRecord,
    Outcome,
    RunKind,
    RunRecord,
    RunState,
    RunSummary,
    RunView,
    TrialRecord,
)
from edgesweep.store.rows import cell_row, device_row, end_row, export_row, run_row, trial_row
from edgesweep.store.samples import SampleFiles
from edgesweep.store.tables import CellRow, DeviceRow, ExportRow, RunRow, TrialRow
from edgesweep.store.variants import Named, earlier_outcomes, find_named


class Store:
    """Runs, cells, trials and raw samples. Reading is safe from any thread; writing belongs to one at a time.

    Every method raises EdgesweepError `store_unusable` when the database or the disk fails under it.
    """

    def __init__(self, engine: Engine, samples: SampleFiles) -> None:
        self._engine = engine
        self._writing = writing(engine)
        self._samples = samples

    @classmethod
    def open(cls, url: str, samples_dir: Path) -> Self:
        """Opens the store at a SQLAlchemy URL, made or brought to the newest tables where needed.

        Raises:
            EdgesweepError: store_unusable, store_newer or missing_extra.
        """
        return cls(open_engine(url), SampleFiles(samples_dir))

    def close(self) -> None:
        """Gives the database connections back."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    def create_run(self, run: RunRecord, cells: Iterable[Cell], exports: Iterable[ExportResult] = ()) -> None:
        """Stores a new run with all its planned cells, or a matrix with a result for every variant, at once or not at all.

        Raises:
            IntegrityError: the run is stored already, or two cells have one name: a bug of the caller.
        """
        rows = [cell_row(run.id, position, cell) for position, cell in enumerate(cells)]
        variants = [export_row(run.id, export) for export in exports]
        with self._write() as connection:
            connection.execute(insert(RunRow), run_row(run))
            if rows:
                connection.execute(insert(CellRow), rows)
            if variants:
                connection.execute(insert(ExportRow), variants)

    def save_device(self, run_id: str, device: DeviceRecord) -> None:
        """Stores a device as the run sees it now; an earlier look of the same run is replaced."""
        with self._write() as connection:
            connection.execute(delete(DeviceRow).where(DeviceRow.run_id == run_id, DeviceRow.name == device.name))
            connection.execute(insert(DeviceRow), device_row(run_id, device))

    def save_export(self, run_id: str, export: ExportResult) -> None:
        """Stores how a variant of the run ended; a resumed run's newer result replaces the earlier one."""
        row = export_row(run_id, export)
        same = [getattr(ExportRow, name) == row[name] for name in ("run_id", "model", "slug")]
        with self._write() as connection:
            # In its place: the rows of a matrix stand in planned order.
            if connection.execute(update(ExportRow).where(*same).values(row)).rowcount == 0:
                connection.execute(insert(ExportRow), row)

    def save_trial(self, run_id: str, trial: TrialRecord, samples: bytes) -> bool:
        """Stores a trial once, its raw samples first.

        Args:
            run_id: a stored run.
            trial: the result; `samples_digest` is computed anew from `samples`.
            samples: little-endian int64 nanoseconds, warm-up first; empty when the trial has none.

        Returns:
            False when that id is stored already: the first result stays.

        Raises:
            EdgesweepError: digest_mismatch when the result names other samples than these.
            LookupError: the run has no such cell.
        """
        named = trial.result.samples
        if named is not None and samples and hashlib.sha256(samples).hexdigest() != named.blob.sha256:
            raise EdgesweepError("digest_mismatch", f"the samples of {trial.id} are not the ones that its result names")
        if self._holds(trial.id):
            return False
        with self._read() as connection:
            cell_id = _cell_id(connection, run_id, trial.cell_name)
        with translated(f"the samples of {trial.id} cannot be kept"):
            digest = self._samples.save(run_id, samples) if samples else None
        try:
            with self._write() as connection:
                connection.execute(insert(TrialRow), trial_row(run_id, cell_id, trial, digest))
        except IntegrityError:
            if self._holds(trial.id):  # another controller was faster
                return False
            raise
        return True

    def end_cell(self, run_id: str, end: CellEnd) -> bool:
        """Gives a cell its one outcome.

        Returns:
            False when it has one that stays. Only an end that says nothing about the model (`lost`, or a transient
            cause) gives way to another, when the run is resumed.

        Raises:
            LookupError: the run has no such cell.
        """
        with self._write() as connection:
            cell_id = _cell_id(connection, run_id, end.cell_name)
            changed = connection.execute(
                update(CellRow).where(CellRow.id == cell_id, queries.is_open()).values(end_row(end))
            )
            return changed.rowcount == 1

    def retell_cell(self, run_id: str, end: CellEnd) -> None:
        """Writes how the user's rules tell the end of a cell now, in the place of what was stored.

        Raises:
            LookupError: the run has no such cell.
        """
        with self._write() as connection:
            cell_id = _cell_id(connection, run_id, end.cell_name)
            connection.execute(update(CellRow).where(CellRow.id == cell_id).values(end_row(end)))

    def set_run_state(self, run_id: str, state: RunState, finished: float | None = None) -> None:
        """Says where the run is. `finished` is Unix time, None while it goes on.

        Raises:
            ValueError: the run is called complete while cells have no outcome.
            LookupError: no such run.
        """
        with self._write() as connection:
            if state is RunState.COMPLETE:
                missing = connection.execute(
                    select(CellRow.name).where(CellRow.run_id == run_id, CellRow.outcome.is_(None)).limit(1)
                ).scalar()
                if missing is not None:
                    raise ValueError(f"the run {run_id} is not complete: {missing} has no outcome")
            changed = connection.execute(
                update(RunRow).where(RunRow.id == run_id).values(state=state.value, finished=finished)
            )
            if changed.rowcount != 1:
                raise LookupError(f"no run {run_id}")

    def compact_samples(self, run_id: str) -> Path:
        """Packs the run's samples into one Parquet file and removes the single ones.

        Columns: trial_id, cell, phase (`warmup` or `measured`), index, ns. May be called again after a resume.
        """
        with self._read() as connection:
            keys = queries.sample_keys(connection, run_id)
        with translated(f"the samples of {run_id} cannot be packed"):
            return self._samples.compact(run_id, keys)

    # Reading

    def find_run(self, text: str, kind: RunKind | None = RunKind.SWEEP) -> str:
        """The id of the run that `text` means: `latest`, an id, a unique prefix or a plan's name (its newest run).

        An id and its beginning may be of any kind; `latest` and a plan's name mean runs of `kind` (None: of any).

        Raises:
            EdgesweepError: no_runs or unknown_run, naming candidates.
        """
        with self._read() as connection:
            return queries.find_run(connection, text, kind)

    def list_runs(self, limit: int = 20, kind: RunKind | None = RunKind.SWEEP) -> tuple[RunSummary, ...]:
        """The newest runs of `kind` (None: of any), newest first."""
        with self._read() as connection:
            return queries.list_runs(connection, limit, kind)

    def find_named(self, text: str, run_id: str | None = None) -> Named:
        """The cell or variant that `text` means, and the newest run that holds it.

        Args:
            text: A cell's name, a variant's (`model/slug`), or a part that no other name of that run holds.
            run_id: The only run to look in.

        Raises:
            EdgesweepError: no_runs, or unknown_cell with the names that come nearest.
        """
        with self._read() as connection:
            return find_named(connection, text, run_id)

    def find_cell(self, text: str, run_id: str | None = None) -> tuple[str, str]:
        """The newest sweep that holds the cell that `text` means, and the cell's name.

        Args:
            text: A cell's name, a glob, or a part of a name, that no other cell of that run fits.
            run_id: The only run to look in.

        Raises:
            EdgesweepError: no_runs, or unknown_cell with the names that come nearest.
        """
        with self._read() as connection:
            return find_cell(connection, text, run_id)

    def find_messages(self, prefix: str = "") -> tuple[StoredMessage, ...]:
        """Stored failures whose message hash begins with `prefix`, those of the newest run first."""
        with self._read() as connection:
            return find_messages(connection, prefix)

    def runs_of_cell(self, name: str, newest: str) -> tuple[str, ...]:
        """The last sweeps that hold the cell of that name, newest first, from the run `newest` on back."""
        with self._read() as connection:
            return runs_of_cell(connection, name, newest)

    def earlier_outcomes(self, run: RunRecord) -> Mapping[str, Outcome]:
        """How each variant, by name, ended in the last complete matrix before `run` that has the plan's name and says so."""
        with self._read() as connection:
            return earlier_outcomes(connection, run)

    def load_run(self, run_id: str) -> RunView:
        """The whole run.

        Raises:
            EdgesweepError: unknown_run.
        """
        with self._read() as connection:
            return queries.load_run(connection, run_id)

    def open_cells(self, run_id: str) -> tuple[Cell, ...]:
        """Cells that a resumed run has still to end: without an outcome, or lost to lab trouble."""
        with self._read() as connection:
            return queries.open_cells(connection, run_id)

    def trials_of(self, run_id: str) -> Mapping[str, tuple[TrialRecord, ...]]:
        """The run's trials by cell name, in order of round and attempt."""
        with self._read() as connection:
            return queries.trials_of(connection, run_id)

    def read_samples(self, run_id: str, trial_id: str, phase: str | None = None) -> NDArray[np.int64]:
        """The raw times of a trial, shape (n,), nanoseconds per timed sample.

        Args:
            run_id: the trial's run.
            trial_id: a stored trial.
            phase: `warmup` or `measured`; without it both, warm-up first.

        Raises:
            EdgesweepError: store_unusable when the samples do not lie on this host.
            LookupError: no such trial, or it has no samples.
        """
        with self._read() as connection:
            keys = queries.sample_keys(connection, run_id, trial_id)
        if not keys:
            raise LookupError(f"no samples of a trial {trial_id} in the run {run_id}")
        with translated(f"the samples of {trial_id} cannot be read"):
            times = self._samples.read(run_id, keys[0])
        if times is None:
            raise EdgesweepError(
                "store_unusable",
                f"the samples of {trial_id} are not on this host",
                remedy="read them on the controller that ran it, or copy its samples folder here",
            )
        parts = {"warmup": times[: keys[0].warmup_count], "measured": times[keys[0].warmup_count :]}
        return times if phase is None else parts[phase]

    def _holds(self, trial_id: str) -> bool:
        with self._read() as connection:
            return connection.execute(select(TrialRow.id).where(TrialRow.id == trial_id)).scalar() is not None

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with translated("the store cannot be read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with translated("the store cannot be written"), self._writing.begin() as connection:
            yield connection


def _cell_id(connection: Connection, run_id: str, name: str) -> int:
    found: Any = connection.execute(select(CellRow.id).where(CellRow.run_id == run_id, CellRow.name == name)).scalar()
    if found is None:
        raise LookupError(f"the run {run_id} has no cell {name}")
    return int(found)
