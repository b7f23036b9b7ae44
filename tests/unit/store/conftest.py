"""Stores on a real SQLite file and, where its programs are installed, on a real PostgreSQL server."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgesweep.plan.cell import Cell, Shape, Variant
from edgesweep.stats.summary import summarise
from edgesweep.store.records import RunRecord, TrialRecord
from edgesweep.store.store import Store
from edgesweep_proto.blob import Blob
from edgesweep_proto.trial import Samples, Stage, TrialOutcome, TrialResult


@dataclass(frozen=True)
class Postgres:
    """A running server on a Unix socket in `folder`."""

    folder: Path
    user: str

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self.folder}"

    def empty(self) -> str:
        """The address of the server's one database, with nothing in it: a new database costs seconds on a slow disk."""
        import psycopg

        with psycopg.connect(host=str(self.folder), user=self.user, dbname="postgres", autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url("postgres")


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip(
        "psycopg", reason="PostgreSQL is not tested: psycopg is missing (pip install 'edgesweep[postgres]')"
    )
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not tested: initdb and pg_ctl are not installed on this machine")
    # PostgreSQL refuses root, and its user must be able to enter the folder, which pytest's own are closed to.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    folder = Path(tempfile.mkdtemp(prefix="edgesweep-pg-"))
    os.chown(folder, account.pw_uid, account.pw_gid)
    rights = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}

    def run(program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [binaries / program, *arguments],
            check=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **rights,
        )

    data = folder / "data"
    user = "edgesweep"
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=40"
    try:
        run("initdb", "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        try:
            yield Postgres(folder, user)
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'store.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.empty()


@pytest.fixture
def samples_dir(tmp_path: Path) -> Path:
    return tmp_path / "samples"


@pytest.fixture
def store(url: str, samples_dir: Path) -> Iterator[Store]:
    with Store.open(url, samples_dir) as opened:
        yield opened


def make_run(run_id: str = "20261123-201500-quickstart-3f2a", **changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "id": run_id,
        "name": "quickstart",
        "plan_digest": "ab" * 32,
        "plan_text": "version: 1\n",
        "plan": {"version": 1, "models": [{"zoo": "tiny-mlp"}]},
        "base_dir": "/lab/plans",
        "started": 1795600000.25,
        "seed": 2**40,
    }
    return RunRecord(**(fields | changes))


def make_cells(count: int = 3) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            Variant(f"model{index}", "dynamo", 17, "batch"), "pi5", "1.23.2", ("xnnpack", "cpu"), Shape((("batch", 4),))
        )
        for index in range(count)
    )


def make_trial(
    cell: Cell, data: bytes, *, run_id: str = make_run().id, round_no: int = 0, attempt: int = 0
) -> TrialRecord:
    """A passing trial whose samples, three of them warm-up, are `data`."""
    trial_id = f"{run_id}/{cell.key}/{round_no}/{attempt}"
    times = np.frombuffer(data, dtype="<i8")
    samples = Samples(Blob(hashlib.sha256(data).hexdigest(), len(data)), 3, len(times) - 3, 1, "ci")
    result = TrialResult(trial_id, TrialOutcome.PASS, Stage.PLACEMENT, samples=samples, started=1.5, finished=2.5)
    return TrialRecord(trial_id, cell.name, round_no, attempt, result, summarise(times[3:]), samples.blob.sha256)


def make_samples(seed: int, count: int = 103) -> bytes:
    return np.random.default_rng(seed).integers(900_000, 1_100_000, count, dtype="<i8").tobytes()


class Make:
    """The makers above, for tests that may not import this file."""

    run = staticmethod(make_run)
    cells = staticmethod(make_cells)
    trial = staticmethod(make_trial)
    samples = staticmethod(make_samples)


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make
