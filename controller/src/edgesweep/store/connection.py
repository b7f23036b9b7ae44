"""Opening a database: drivers, SQLite's settings, and the way to its newest tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from edgesweep.errors import EdgesweepError

#: Seconds that one process waits for another's transaction.
_BUSY_TIMEOUT_S = 30
#: Names the store's migration among PostgreSQL's advisory locks.
_MIGRATION_LOCK = 0x65646765
_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str) -> Engine:
    """An engine for the store at `url`, its tables at the newest revision.

    SQLite files are made where they are missing, with their folder. `postgresql://` means the psycopg driver.

    Raises:
        EdgesweepError: store_unusable, store_newer, or missing_extra when PostgreSQL's driver is not installed.
    """
    parsed = _parse(url)
    shown = parsed.render_as_string(hide_password=True)
    with translated(f"the store {shown} cannot be opened"):
        engine = _make(parsed)
        try:
            _migrate(engine, shown)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def translated(sentence: str) -> Iterator[None]:
    """Turns a database's or a disk's own error into one sentence for the user.

    Raises:
        EdgesweepError: store_unusable, with the first line of what went wrong.
        IntegrityError: as it is: a broken constraint is no trouble with the store.
    """
    try:
        yield
    except IntegrityError:
        raise
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        raise EdgesweepError("store_unusable", f"{sentence}: {reason}") from error


def writing(engine: Engine) -> Engine:
    """The same engine, for transactions that write: SQLite then takes the lock at their beginning.

    A transaction that reads first and asks for the lock later is refused at once when another process has
    written in between, whatever the time-out.
    """
    return engine.execution_options(edgesweep_writes=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise EdgesweepError(
            "store_unusable",
            "the store's address is no database URL",
            remedy="write sqlite:///PATH or postgresql://USER@HOST/NAME",
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise EdgesweepError("store_unusable", "a store in memory would be lost", remedy="write sqlite:///PATH")
        return parsed
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    raise EdgesweepError(
        "store_unusable",
        f"a store cannot live in {backend}",
        remedy="write sqlite:///PATH or postgresql://USER@HOST/NAME",
    )


def _make(url: URL) -> Engine:
    serializer = partial(json.dumps, allow_nan=False, separators=(",", ":"))
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, json_serializer=serializer, connect_args={"timeout": _BUSY_TIMEOUT_S})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, json_serializer=serializer, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise EdgesweepError(
            "missing_extra", "a store on PostgreSQL needs psycopg", remedy="pip install 'edgesweep[postgres]'"
        ) from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Python's own implicit transactions leave DDL outside; SQLAlchemy's `begin` event starts them instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode = WAL")
        # An acknowledged trial is pruned on its board, so it must survive a power cut here.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("edgesweep_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine, shown: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return  # the usual case waits for nobody
    # One transaction, under a lock: two controllers that open a new store at once migrate it once.
    with writing(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        current = MigrationContext.configure(connection).get_current_revision()
        if current == head:
            return
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise EdgesweepError(
                "store_newer", f"the store {shown} was written by a newer Edgesweep (revision {current})"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
