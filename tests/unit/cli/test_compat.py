"""`edgesweep compat` over a real store that holds two runs of one plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from edgesweep.cli.main import main
from edgesweep.export.result import ExportResult, Produced
from edgesweep.home import find_home
from edgesweep.plan.cell import Cell, Variant
from edgesweep.stats.summary import summarise
from edgesweep.store.records import CellEnd, DeviceRecord, Outcome, RunKind, RunRecord, RunState, Verdict
from edgesweep.store.store import Store
from edgesweep_proto.trial import Stage

PAGE = Path(__file__).parents[3] / "docs" / "compat.md"
FIRST = RunRecord("20261123-201500-nightly-aaaa", "nightly", "ab" * 32, "", {}, "/lab", 1795600000.0, 1795600060.0)
SECOND = replace(FIRST, id="20261124-201500-nightly-bbbb", started=1795700000.0, finished=1795700060.0)
CELLS = tuple(
    Cell(Variant("mlp", exporter, opset, "static"), device, "1.23.2", ("cpu",))
    for device in ("pi4", "pi5")
    for exporter in ("dynamo", "torchscript")
    for opset in (17, 20)
)
BROKEN = "pi4/mlp/dynamo-opset17-static-fp32/1.23.2/cpu/example/t1"


def end_of(cell: Cell, run: RunRecord) -> CellEnd:
    """On pi4 opset 20 does not load; in the second run nothing of dynamo's comes through its first inference there."""
    if cell.device == "pi4" and cell.variant.opset == 20:
        return CellEnd(
            cell.name, Outcome.FAILED, "load", "opset_unsupported", "up to 19", "use a lower opset", "the words"
        )
    if cell.device == "pi4" and cell.variant.exporter == "dynamo" and run is SECOND:
        return CellEnd(cell.name, Outcome.FAILED, "first_run", "crash", "killed by signal 11")
    slow = 2 if cell.variant.exporter == "torchscript" else 1
    latency = summarise([slow * 1_000_000] * 60, batch=1)
    return CellEnd(cell.name, Outcome.PASS, "placement", verdict=Verdict.TRUSTED, latency=latency)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESWEEP_HOME", str(folder))
        place = find_home()
        with Store.open(place.store_url, place.samples) as store:
            for run in (FIRST, SECOND):
                store.create_run(run, CELLS)
                for device in ("pi4", "pi5"):
                    store.save_device(run.id, DeviceRecord(device, f"{device}:50051", {}, None))
                for variant in dict.fromkeys(cell.variant for cell in CELLS):
                    produced = Produced(variant.opset, 8, {}, "cd" * 32, "ef" * 32, 4096, 6)
                    store.save_export(run.id, ExportResult(variant, Stage.CHECK, produced=produced))
                for cell in CELLS:
                    store.end_cell(run.id, end_of(cell, run))
                store.set_run_state(run.id, RunState.COMPLETE, run.finished)
            store.create_run(replace(FIRST, id="20261120-matrix", name="matrix", kind=RunKind.MATRIX), ())
        yield folder


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def ask(home, capsys) -> Callable[..., Ended]:
    def run(*args: str) -> Ended:
        with pytest.raises(SystemExit) as end:
            main(["compat", *args])
        told = capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    return run


def test_the_matrix_of_the_latest_run_recommends_what_runs_on_both(ask):
    ended = ask("matrix", "latest")
    assert ended.code == 0
    assert f"run {SECOND.id}" in ended.out
    assert "Use torchscript opset 17 static for mlp. It runs on both devices." in ended.out
    # On pi5 dynamo takes half as long; on pi4 nothing of it runs.
    assert "+41 %, 2.0 times at worst (on pi5)" in " ".join(ended.out.split())
    first = ask("matrix", FIRST.id, "-o", "json").json["recommendation"]["models"][0]
    assert [use["variant"] for use in first["variants"]] == ["dynamo-opset17-static-fp32"]
    assert first["latency_ratio"] == pytest.approx(1.0)


def test_every_form_is_given_on_stdout_or_in_a_file(ask, tmp_path):
    path = tmp_path / "compat.html"
    written = ask("matrix", "latest", "-o", "html", "--output", str(path))
    assert (written.code, written.out) == (0, "")
    assert "opset_<wbr>unsupported" in path.read_text(encoding="utf-8")
    assert ask("matrix", "latest", "-o", "md").out.startswith("# nightly: what runs where")
    chosen = ask("matrix", "latest", "-k", "pi5", "-o", "json", "--output", "-").json
    assert {column["device"] for column in chosen["columns"]} == {"pi5"}
    assert chosen["recommendation"]["per"] == "place"
    assert "2.00 ms" in ask("matrix", "latest", "-o", "wide").out


def test_a_cell_is_found_by_its_name_a_glob_or_a_part_in_the_newest_run(ask):
    whole = ask("explain", BROKEN)
    assert f"in run {SECOND.id} of nightly" in whole.out
    assert "✗ failed at first_run: crash" in whole.out
    assert "It passes by torchscript, on pi5. At this place torchscript opset 17 static passes." in whole.out
    assert ask("explain", "pi4*dynamo-opset17*").out == ask("explain", "PI4/mlp/dynamo-opset17").out == whole.out
    before = ask("explain", BROKEN, "--run", FIRST.id[:12], "-o", "json").json
    assert (before["run"]["id"], before["outcome"]) == (FIRST.id, "pass")
    assert ask("explain", BROKEN, "-o", "md").out.startswith(f"# `{BROKEN}`")


def test_a_difference_for_the_worse_is_exit_1(ask, tmp_path):
    worse = ask("diff", FIRST.id, "latest")
    assert (worse.code, worse.err) == (1, "exit 1: 1 cell newly failing or moved to fallback\n")
    assert "pass -> failed at first_run: crash" in worse.out
    assert f"edgesweep compat explain {BROKEN} --run {SECOND.id}" in " ".join(worse.out.split())
    better = ask("diff", "latest", FIRST.id, "-o", "json")
    assert (better.code, better.json["counts"]["newly_passing"]) == (0, 1)
    assert "the first run is the later one" in better.json["remarks"]
    assert ask("diff", "latest", "latest").code == 0
    assert ask("diff", FIRST.id, "latest", "-k", "pi5").code == 0
    path = tmp_path / "d.html"
    assert ask("diff", FIRST.id, "latest", "-o", "html", "--output", str(path)).code == 1
    assert "newly failing" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("matrix", "nothing"), 2, "nothing"),
        (("matrix", "latest", "-k", "pi9"), 3, "pi9"),
        (("matrix", "latest", "-k", "and"), 2, "and"),
        (("matrix", "latest", "--output", "x"), 2, "--output"),
        (("matrix", "20261120-matrix"), 2, "export matrix"),
        (("explain", "mlp"), 2, "fits 8 cells of the run"),
        (("explain", "pi4/mlq/dynamo-opset17-static-fp32/1.23.2/cpu/example/t1"), 2, f"did you mean '{BROKEN}'"),
        (("explain", "x" * 30, "--run", "latest"), 2, f"no cell of the run {SECOND.id}"),
        (("diff", "latest"), 2, "RUN2"),
        (("diff", "latest", "latest", "-k", "pi9"), 3, "pi9"),
    ],
)
def test_misuse_is_one_sentence_a_remedy_and_a_code(ask, args, code, word):
    ended = ask(*args)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert ended.err.startswith("error: ")
    assert word in ended.err
    assert "remedy: " in ended.err


def test_an_empty_store_says_how_to_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EDGESWEEP_HOME", str(tmp_path))
    for args in (["matrix", "latest"], ["explain", "x"], ["diff", "latest", "latest"]):
        with pytest.raises(SystemExit) as end:
            main(["compat", *args])
        assert end.value.code == 3
        assert "edgesweep run PLAN" in capsys.readouterr().err


#: Objects whose keys are not ours to name, and those that the page describes once, elsewhere.
_FOREIGN = re.compile(
    r"\.nodes$|\.outcomes$|\.counts$|\.remedies$|^story\.cell$|^story\.run$|^diff\.(?:before|after)$|^diff\..*\.after$"
    r"|^recommendation\.together$|^story\.nearest_passing\[\]$"
)


def paths(value: Any, at: str) -> set[str]:
    """The path of every field."""
    if _FOREIGN.search(at):
        return set()
    if isinstance(value, dict):
        inner = {f"{at}.{key}" if at else key: item for key, item in value.items()}
        return set(inner) | {path for name, item in inner.items() for path in paths(item, name)}
    if isinstance(value, list):
        return {path for item in value for path in paths(item, f"{at}[]")}
    return set()


def test_the_page_documents_every_field(ask):
    named = set(re.findall(r"^\| `([a-z_\[\].]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    present = paths(ask("matrix", "latest", "-o", "json").json, "")
    # With a target on which nothing runs.
    present |= paths(ask("matrix", "latest", "-k", "pi4 and opset20", "-o", "json").json, "")
    present |= paths(ask("explain", "pi4*torchscript-opset20*", "-o", "json").json, "story")
    present |= paths(ask("explain", "pi5*torchscript-opset20*", "-o", "json").json, "story")
    present |= paths(ask("diff", FIRST.id, "latest", "-o", "json").json, "diff")
    assert named == present
