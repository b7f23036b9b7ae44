"""`edgesweep compare --nodes` over a real store: which run it takes, and what it says where there is nothing to compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from edgesweep.cli.main import main
from edgesweep.errors import ExitCode
from edgesweep.home import find_home
from edgesweep.plan.cell import Cell, Variant
from edgesweep.store.records import CellEnd, Outcome, RunRecord, RunState, TrialRecord
from edgesweep.store.store import Store
from edgesweep_proto.execution import NodeProfile, NodeTime
from edgesweep_proto.trial import Stage, TrialOutcome, TrialResult

FIRST = RunRecord("20261123-201500-nodes-aaaa", "nodes", "ab" * 32, "", {}, "/lab", 1795600000.0, 1795600060.0)
SECOND = replace(FIRST, id="20261124-201500-nodes-bbbb", name="later", started=1795700000.0, finished=1795700060.0)
ON_CPU, ON_OPENVINO = (
    Cell(Variant("net", "none", 13, "asis"), "board", "openvino-1.24.1", (chain,)) for chain in ("cpu", "openvino")
)
PROFILES = {
    ON_CPU.name: NodeProfile(5, (NodeTime("first", "MatMul", "CPUExecutionProvider", 3e-6),)),
    ON_OPENVINO.name: NodeProfile(5, (NodeTime("OV_0", "part", "OpenVINOExecutionProvider", 2e-6, holds=("first",)),)),
}
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs of two cells; only the first one tells of nodes."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESWEEP_HOME", str(folder))
        place = find_home()
        with Store.open(place.store_url, place.samples) as store:
            for run in (FIRST, SECOND):
                store.create_run(run, (ON_CPU, ON_OPENVINO))
                for cell in (ON_CPU, ON_OPENVINO):
                    profile = PROFILES[cell.name] if run is FIRST else None
                    trial_id = f"{run.id}/{cell.key}/0/0"
                    result = TrialResult(trial_id, TrialOutcome.PASS, Stage.PLACEMENT, node_profile=profile)
                    store.save_trial(run.id, TrialRecord(trial_id, cell.name, 0, 0, result, None), b"")
                    store.end_cell(run.id, CellEnd(cell.name, Outcome.PASS, "placement"))
                store.set_run_state(run.id, RunState.COMPLETE, run.finished)
        yield folder


@pytest.fixture
def ask(home: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["compare", *args])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return run


def test_the_newest_run_that_tells_of_nodes_is_taken(ask: Ask) -> None:
    code, out, _ = ask("--nodes", ON_CPU.name, "*/openvino/*", "-o", "json")
    document = json.loads(out)
    assert code == ExitCode.OK
    assert (document["a"]["run"], document["b"]["run"]) == (FIRST.id, FIRST.id)
    assert document["b"]["cell"] == ON_OPENVINO.name
    (row,) = document["nodes"]
    assert (row["nodes_a"], row["nodes_b"], row["moved"], row["ratio"]) == (
        ["first"],
        ["OV_0"],
        True,
        pytest.approx(2 / 3),
    )


def test_a_run_may_be_named_and_every_form_is_given(ask: Ask) -> None:
    a, b = f"{FIRST.id}:{ON_CPU.name}", f"nodes:{ON_OPENVINO.name}"
    assert "cpu -> openvino" in ask("--nodes", a, b)[1]
    assert ask("--nodes", a, b, "-o", "md")[1].startswith("# Nodes of two cells")


def test_a_cell_without_times_says_what_to_do(ask: Ask) -> None:
    code, out, err = ask("--nodes", f"later:{ON_CPU.name}", ON_OPENVINO.name)
    assert (code, out) == (ExitCode.NOTHING, "")
    assert f"error: the times of the nodes of {ON_CPU.name} were not told in {SECOND.id}" in err
    assert "remedy: run it again with `measure: {node_profile: true}` in the plan" in err


def test_wrong_command_lines_are_told_from_missing_times(ask: Ask) -> None:
    code, _, err = ask(ON_CPU.name, ON_OPENVINO.name)
    assert code == ExitCode.USAGE
    assert "compare takes cells with --nodes" in err
    assert "edgesweep compat diff" in err
    code, _, err = ask("--nodes", "nowhere:x", ON_CPU.name)
    assert (code, "no run is called 'nowhere'" in err) == (ExitCode.USAGE, True)
    code, _, err = ask("--nodes", "board/nett", ON_CPU.name)
    assert (code, "no cell of any run" in err) == (ExitCode.USAGE, True)
