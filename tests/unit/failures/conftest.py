"""A run with failures whose words nobody knows, stored and in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from edgesweep.errors import remedy_for
from edgesweep.home import Home, find_home
from edgesweep.plan.cell import Cell, Shape, Variant
from edgesweep.store.records import CellEnd, CellRecord, Outcome, RunRecord, RunState, RunView, TrialRecord
from edgesweep.store.store import Store
from edgesweep_proto.execution import Diagnosis
from edgesweep_proto.trial import Stage, TrialOutcome, TrialResult

HASH = "3f2a91c07b1e" + "0" * 52
OTHER = "3f2a91c0ffff" + "1" * 52
WORDS = "the frob of <path> went away"
RUN = RunRecord("20261123-201500-lab-3f2a", "lab", "ab" * 32, "version: 1\n", {}, "/lab", 1795600000.25)


def make_cell(model: str) -> Cell:
    return Cell(Variant(model, "dynamo", 17, "static"), "pi5", "1.23.2", ("xnnpack", "cpu"), Shape(()))


def make_trial(cell: Cell, cause: str, message_hash: str, round_no: int = 0, **changes) -> TrialRecord:
    trial_id = f"{RUN.id}/{cell.key}/{round_no}/0"
    result = TrialResult(
        trial_id,
        TrialOutcome.FAILED,
        Stage.LOAD,
        cause=cause,
        message="words that no pattern knows",
        evidence="the frob of /dev/frob3 went away",
        diagnosis=Diagnosis("message", normalised=WORDS, message_hash=message_hash),
    )
    return TrialRecord(trial_id, cell.name, round_no, 0, replace(result, **changes))


def make_end(cell: Cell, cause: str, **changes) -> CellEnd:
    return CellEnd(
        cell.name, Outcome.FAILED, "load", cause, "words that no pattern knows", remedy_for(cause), **changes
    )


@pytest.fixture
def view() -> RunView:
    """Two cells with the same unknown words, one that shares a measurement, one with other words, one that passed."""
    one, two, same, other, good = map(make_cell, ("one", "two", "same", "other", "good"))
    passed = make_trial(good, "", "", outcome=TrialOutcome.PASS, diagnosis=None)
    return RunView(
        replace(RUN, state=RunState.COMPLETE),
        (),
        (
            CellRecord(one, make_end(one, "unknown"), None, (make_trial(one, "unknown", HASH),)),
            CellRecord(two, make_end(two, "unknown"), None, (make_trial(two, "unknown", HASH),)),
            CellRecord(same, make_end(same, "unknown", same_as=one.name), None),
            CellRecord(other, make_end(other, "unknown"), None, (make_trial(other, "unknown", OTHER),)),
            CellRecord(good, CellEnd(good.name, Outcome.PASS, "placement"), None, (passed,)),
        ),
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("EDGESWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EDGESWEEP_STORE", raising=False)
    return find_home()


@pytest.fixture
def stored(home: Home, view: RunView) -> RunView:
    """The run in the user's own store."""
    with Store.open(home.store_url, home.samples) as store:
        store.create_run(view.run, [record.cell for record in view.cells])
        for record in view.cells:
            for trial in record.trials:
                store.save_trial(RUN.id, trial, b"")
            assert record.end is not None
            store.end_cell(RUN.id, record.end)
    return view


@pytest.fixture
def cli(home: Home, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    from edgesweep.cli.main import main

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return call
