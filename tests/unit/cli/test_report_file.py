"""Where a report goes: all or nothing, and refused before any work when it cannot go there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from edgesweep.cli.output import check_report_path, write_report
from edgesweep.errors import EdgesweepError, ExitCode


def test_a_report_replaces_the_old_one_whole_and_through_a_link(tmp_path) -> None:
    real = tmp_path / "real.html"
    real.write_text("old")
    link = tmp_path / "link.html"
    link.symlink_to(real)
    check_report_path(link)
    assert real.read_text() == "old"
    write_report(link, "new µ")
    assert real.read_text(encoding="utf-8") == "new µ"
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "real.html"]


def test_what_cannot_be_encoded_leaves_the_old_report_as_it_was(tmp_path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_report(path, "x" * 100_000 + "\ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_device_is_written_to_and_not_replaced(tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_report(pipe, "page")
        assert os.read(reader, 100) == b"page"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("path", ["missing/report.html", "file/report.html", "folder"])
def test_a_path_that_cannot_be_written_is_told(tmp_path, path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for refuse in (check_report_path, lambda target: write_report(target, "page")):
        with pytest.raises(EdgesweepError, match="cannot write the report to") as caught:
            refuse(tmp_path / path)
        assert caught.value.exit_code is ExitCode.USAGE


def test_the_quickstart_refuses_a_bad_report_path_before_it_makes_anything(tmp_path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "edgesweep", "quickstart", "--report", str(tmp_path / "no" / "report.html")],
        env={**os.environ, "EDGESWEEP_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert "cannot write the report" in done.stderr
    assert "No such file" in done.stderr
    assert not home.exists()
