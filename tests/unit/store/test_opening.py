from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.store.connection import open_engine, writing
from edgesweep.store.store import Store
from edgesweep.store.tables import Base
from sqlalchemy import create_engine, inspect, text


def test_newest_revision_and_tables_are_the_same(url):
    engine = open_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_sqlite_survives_power_cuts_and_checks_references(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/deep/er/store.sqlite")
    with engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]
    engine.dispose()


def test_opening_again_keeps_everything(url, samples_dir, make):
    with Store.open(url, samples_dir) as store:
        store.create_run(make.run(), make.cells())
    with Store.open(url, samples_dir) as store:
        assert store.load_run(make.run().id).run == make.run()


def test_a_store_of_a_newer_edgesweep_is_left_alone(url, samples_dir):
    engine = open_engine(url)
    with writing(engine).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EdgesweepError, match="newer Edgesweep") as caught:
        Store.open(url, samples_dir)
    assert (caught.value.code, caught.value.exit_code) == ("store_newer", ExitCode.STORE)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_a_migration_that_was_killed_leaves_nothing_behind(url, monkeypatch):
    """The revision fails in the middle, after it made tables: they must be gone, and the next opening succeed."""
    from alembic import op

    plain = op.create_index

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(op, "create_index", fail)
    with pytest.raises(KeyboardInterrupt):
        open_engine(url)
    monkeypatch.setattr(op, "create_index", plain)
    bare = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    assert inspect(bare).get_table_names() == []
    bare.dispose()
    open_engine(url).dispose()


def test_two_controllers_open_a_new_store_at_once(url, samples_dir):
    script = "import sys; from pathlib import Path; from edgesweep.store.store import Store; Store.open(sys.argv[1], Path(sys.argv[2])).close()"
    both = [
        subprocess.Popen([sys.executable, "-c", script, url, str(samples_dir)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite://", "in memory"),
        ("mysql://root@localhost/x", "cannot live in mysql"),
        ("no address at all", "no database URL"),
        ("sqlite:///{tmp}/file/store.sqlite", "cannot be opened"),
        ("sqlite:///{tmp}/file", "not a database"),
        ("sqlite:////proc/store.sqlite", "cannot be opened"),
        ("postgresql://me:hunter2@127.0.0.1:1/lab?connect_timeout=2", "cannot be opened"),
    ],
)
def test_what_cannot_be_a_store_is_told_in_one_sentence(tmp_path, address, words):
    (tmp_path / "file").write_text("I am a letter, not a database, and long enough to say so. " * 30)
    with pytest.raises(EdgesweepError, match=words) as caught:
        Store.open(address.format(tmp=tmp_path), tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("store_unusable", ExitCode.STORE)
    assert "\n" not in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.remedy


def test_postgresql_without_its_driver_names_the_extra(tmp_path):
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from edgesweep.store.store import Store; from edgesweep.errors import EdgesweepError\n"
        "try: Store.open('postgresql://localhost/lab', Path('.'))\n"
        "except EdgesweepError as error: print(error.code, error.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "missing_extra pip install 'edgesweep[postgres]'"


def test_a_report_opens_the_store_while_a_sweep_writes(tmp_path, make):
    address = f"sqlite:///{tmp_path}/store.sqlite"
    with Store.open(address, tmp_path) as sweep:
        sweep.create_run(make.run(), make.cells())
        with sweep._write() as connection:
            connection.execute(text("UPDATE runs SET state = 'interrupted'"))
            with Store.open(address, tmp_path) as report:
                assert report.load_run(make.run().id).run == make.run()
