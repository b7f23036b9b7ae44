"""What a plan knows to be broken, through a real sweep: left out, or run and kept out of the exit code."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from edgesweep.errors import ExitCode

PLAN = """
version: 1
name: trouble
models:
  - {factory: "tiny_model.py:build", name: tiny}
export: {exporters: [torchscript], opsets: [17, 18], axes: [static]}
providers: [cpu, cuda]
measure: {preset: compat}
fail_on: [failure]
"""


@pytest.fixture(scope="module")
def board(shared_lab):
    """A device with a label, so that entries can name it by that."""
    agent = shared_lab.add_agent("board")
    added = shared_lab.cli("device", "add", "board", agent.address, "--label", "site=lab1")
    assert added.returncode == 0, added.stderr
    return shared_lab


def run(lab, entries: str, code: int) -> tuple[dict[tuple[int, str], dict], dict, str]:
    lab.write("trouble.yaml", PLAN + entries)
    done = lab.cli("run", "trouble.yaml", "-o", "json", "--progress", "plain")
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    return {(cell["opset"], cell["providers"][0]): cell for cell in document["cells"]}, document, done.stderr


def test_one_entry_leaves_out_and_two_are_known_and_one_of_these_is_fixed(board) -> None:
    today = dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=1)
    entries = f"""
exclude: [{{opset: 17, providers: cuda, reason: "issue 6", until: {today}}}]
known_failures:
  - {{opset: 18, providers: cuda, device: "site=lab1", runtime: "*", reason: "issue 7", until: {today}}}
  - {{opset: "17..18", providers: cpu, device: board, reason: "issue 8"}}
"""
    cells, document, err = run(board, entries, ExitCode.OK)
    left_out = cells[17, "cuda"]
    assert (left_out["outcome"], left_out["cause"], left_out["message"]) == ("skipped", "excluded", "issue 6")
    assert left_out["trials"] == []
    known = cells[18, "cuda"]
    assert (known["outcome"], known["cause"], known["known"]) == ("failed", "provider_unavailable", "issue 7")
    assert "known" in known["tags"]
    assert known["trials"]
    for opset in (17, 18):
        fixed = cells[opset, "cpu"]
        assert (fixed["outcome"], fixed["known"], "fixed" in fixed["tags"]) == ("pass", "issue 8", True)
        assert not any("known" in reason for reason in fixed["reasons"])
    assert (document["summary"]["known"], document["summary"]["fixed"]) == (1, 2)
    assert "exit 1" not in err
    assert "fixed, though still in the plan's known_failures: board/tiny/torchscript-opset17-static-fp32/" in err

    for form in ("table", "md"):
        told = " ".join(board.cli("report", "latest", "-o", form).stdout.split())
        assert "Known failures" in told
        assert "2 cells pass that the plan lists as known failures (issue 8)" in told
        assert "1 cell does not pass, as the plan says (issue 7)" in told
    board.cli("report", "latest", "-o", "html")
    page = (board.root / "report.html").read_text()
    assert "2 cells pass that the plan lists as known failures (issue 8)" in page


def test_a_dry_run_says_what_would_be_left_out_and_what_is_known(board) -> None:
    entries = """
exclude: [{opset: 17, reason: "issue 6"}, {opset: 18, until: 2020-01-01}]
known_failures: [{providers: cuda, reason: "issue 7"}, {providers: openvino}]
"""
    board.write("trouble.yaml", PLAN + entries)
    done = board.cli("run", "trouble.yaml", "--dry-run")
    assert done.returncode == ExitCode.OK, done.stderr
    assert [line.partition("  ")[2] for line in done.stdout.splitlines()[:4]] == [
        "skipped: excluded issue 6",
        "skipped: excluded issue 6",
        "",
        "known failure: issue 7",
    ]
    assert "exclude[1] ended on 2020-01-01 and no longer counts" in done.stderr
    assert "known_failures[1] means no cell of this plan" in done.stderr


def test_both_are_armed_again_after_their_last_day(board) -> None:
    entries = """
exclude: [{opset: 17, providers: cuda, until: 2020-01-01}]
known_failures: [{opset: 18, providers: cuda, until: 2020-01-01}]
"""
    cells, document, err = run(board, entries, ExitCode.FINDING)
    assert {key: cell["outcome"] for key, cell in cells.items()} == {
        (opset, chain): "pass" if chain == "cpu" else "failed" for opset in (17, 18) for chain in ("cpu", "cuda")
    }
    assert {cell["known"] for cell in cells.values()} == {None}
    assert (document["summary"]["known"], document["summary"]["fixed"]) == (0, 0)
    for key in ("exclude", "known_failures"):
        assert f"{key}[0] ended on 2020-01-01 and no longer counts" in err
    assert "2 cells failed" in err
