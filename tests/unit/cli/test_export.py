"""An export matrix from the command line, on real models, and the stories of its variants."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from edgesweep.cli.main import main

PAGE = Path(__file__).parents[3] / "docs" / "export-matrix.md"

MODELS = """
import torch
from torch import nn


def linear():
    return nn.Linear(4, 3), (torch.randn(2, 4),)


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return nn.functional.gelu(self.conv(x)).mean((2, 3))


def conv():
    return Conv(), (torch.randn(2, 3, 8, 8),)


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1


def branch():
    return Branch(), (torch.randn(2, 4),)
"""

PLAN = """
version: 1
name: lab
models:
  - {factory: 'models.py:linear', dynamic: {input: {0: batch}}, ranges: {batch: [1, 8]}}
  - {factory: 'models.py:conv', dynamic: {x: {0: batch}}, export: {exporters: dynamo, opsets: [13, 18], axes: static}}
  - {factory: 'models.py:branch', dynamic: {x: {0: batch}}, export: {exporters: dynamo, opsets: 18, axes: static}}
export: {exporters: torchscript, opsets: [17, 24], axes: [static, batch, nowhere]}
exclude: [{model: linear, opset: 24, axes: static, reason: issue 7}, {opset: 17, device: pi4}]
known_failures: [{model: branch, reason: issue 8}]
fail_on: [failure]
"""


@dataclass(frozen=True)
class Ended:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass(frozen=True)
class Lab:
    """A folder with models and a plan, a home of its own, and the matrix that was run there first."""

    plan: Path
    first: Ended
    document: dict[str, Any]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "models.py").write_text(textwrap.dedent(MODELS), encoding="utf-8")
    plan, result = folder / "lab.yaml", folder / "matrix.json"
    plan.write_text(PLAN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESWEEP_HOME", str(folder / "home"))
        with pytest.raises(SystemExit) as end:
            main(["-q", "export", "matrix", str(plan), "-o", "json", "--output", str(result)])
        document = json.loads(result.read_text(encoding="utf-8"))
        yield Lab(plan, Ended(int(end.value.code or 0), "", ""), document)


@pytest.fixture
def ask(lab, capsys) -> Callable[..., Ended]:
    """Runs a command in the lab's home."""

    def run(*args: str) -> Ended:
        with pytest.raises(SystemExit) as end:
            main(list(args))
        told = capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    return run


def outcomes(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {cell["name"]: (cell["outcome"], cell["cause"]) for cell in document["cells"]}


def test_every_planned_variant_has_one_outcome_in_planned_order(lab):
    assert outcomes(lab.document) == {
        "linear/torchscript-opset17-static-fp32": ("pass", ""),
        "linear/torchscript-opset17-batch-fp32": ("pass", ""),
        "linear/torchscript-opset17-nowhere-fp32": ("skipped", "no_such_dimension"),
        "linear/torchscript-opset24-static-fp32": ("skipped", "excluded"),
        "linear/torchscript-opset24-batch-fp32": ("failed", "export_unsupported_opset"),
        "linear/torchscript-opset24-nowhere-fp32": ("skipped", "no_such_dimension"),
        "conv/dynamo-opset13-static-fp32": ("failed", "opset_not_honoured"),
        "conv/dynamo-opset18-static-fp32": ("pass", ""),
        "branch/dynamo-opset18-static-fp32": ("failed", "export_data_dependent"),
    }
    assert list(outcomes(lab.document)) == [cell["name"] for cell in lab.document["cells"]]
    assert lab.document["summary"]["outcomes"] == {"pass": 3, "failed": 3, "skipped": 3, "lost": 0}
    assert lab.document["incomplete"] is False
    assert (lab.document["run"]["kind"], lab.document["run"]["state"]) == ("matrix", "complete")


def test_asked_and_produced_stand_apart(lab):
    cells = {cell["name"]: cell for cell in lab.document["cells"]}
    dishonest = cells["conv/dynamo-opset13-static-fp32"]
    assert (dishonest["opset"], dishonest["produced"]["opset"]) == (13, 18)
    assert dishonest["see"] == "conv/dynamo-opset18-static-fp32"
    assert dishonest["remedy"]
    proven = cells["linear/torchscript-opset17-batch-fp32"]
    assert proven["produced"]["dynamic"] == {"input": ["batch"]}
    assert proven["produced"]["declared"] == {"input": ["batch", "4"]}
    assert proven["produced"]["operators"] == ["Gemm"]
    assert proven["numerics"]["max_absolute_error"] <= proven["tolerance"]["absolute"]
    assert len(proven["proof"]) >= 3
    assert all(size["agreed"] for size in proven["proof"])
    assert cells["branch/dynamo-opset18-static-fp32"]["known"] == "issue 8"
    assert cells["branch/dynamo-opset18-static-fp32"]["produced"] is None


def test_the_cache_answers_the_second_time_with_a_line_for_every_variant(lab, ask):
    again = ask("export", "matrix", str(lab.plan), "-o", "json", "--progress", "plain")
    assert again.code == lab.first.code == 1
    assert outcomes(again.json) == outcomes(lab.document)
    assert all(cell["cached"] for cell in again.json["cells"] if cell["produced"])
    assert again.json["run"]["id"] != lab.document["run"]["id"]
    assert re.search(r"^matrix \S+: lab, 6 exports$", again.err, flags=re.MULTILINE)
    assert len(re.findall(r"^export \[[1-6]/6\] (?:ok|failed) +\w+/\S+", again.err, flags=re.MULTILINE)) == 6
    assert "9 variants: 3 pass, 3 failed, 3 skipped" in again.err
    assert "exit 1: 2 variants failed" in again.err  # the third is known
    assert "device" not in again.err


def test_every_form_tells_the_same(lab, ask, tmp_path):
    run_id, page = lab.document["run"]["id"], tmp_path / "matrix.html"
    assert ask("report", run_id, "-o", "html", "--output", str(page)).code == 0
    assert "://" not in page.read_text(encoding="utf-8")
    assert ask("report", run_id, "-o", "json").json == lab.document
    for told in (ask("report", run_id, "-o", "md").out, page.read_text(encoding="utf-8"), ask("report", run_id).out):
        text = told.replace("<wbr>", "").replace("\\_", "_")
        for word in ("linear", "opset_not_honoured", "export_unsupported_opset", "issue 8", "input: batch"):
            assert word in text


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("matrix", "{plan}", "-k", "nothing-like-it"), 3, "linear/torchscript-opset17-static-fp32"),
        (("matrix", "{plan}", "-k", "and"), 2, "and"),
        (("matrix", "missing.yaml"), 2, "missing.yaml"),
        (("matrix", "{plan}", "--output", "x"), 2, "--output"),
        (("explain", "conf/dynamo-opset18-static-fp32"), 2, "did you mean 'conv/dynamo-opset18-static-fp32'"),
        (("explain", "linear"), 2, "write more of the name"),
        (("explain", "conv", "--run", "nowhere"), 2, "nowhere"),
    ],
)
def test_misuse_is_one_sentence_and_a_code(lab, ask, args, code, word):
    ended = ask("-q", "export", *(arg.replace("{plan}", str(lab.plan)) for arg in args))
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("error: ")
    assert word in ended.err


def test_a_matrix_is_not_a_sweep(lab, ask):
    run_id = lab.document["run"]["id"]
    assert ask("runs", "-o", "json").json["runs"] == []
    listed = ask("runs", "--kind", "matrix", "-o", "json").json["runs"]
    assert {run["kind"] for run in listed} == {"matrix"}
    oldest = listed[-1]
    assert (oldest["id"], oldest["cells"], oldest["open"]) == (run_id, 9, 0)
    assert oldest["outcomes"] == {"pass": 3, "failed": 3, "skipped": 3}
    assert ask("report", "latest").code == 3
    refused = ask("run", "--resume", run_id)
    assert refused.code == 2
    assert "export matrix" in refused.err


def test_a_story_leads_from_the_request_to_the_remedy(lab, ask):
    told = ask("export", "explain", "conv/dynamo-opset13-static-fp32").out
    steps = re.findall(r"^\d\. (.+?)  .$", told, flags=re.MULTILINE)
    assert steps == ["asked for", "export", "file, read back", "check", "proof against torch"]
    assert "opset 18, not the 13 asked for" in told
    assert "the honest request in the same plan: conv/dynamo-opset18-static-fp32" in told
    assert told.rstrip().endswith("Next: edgesweep export explain conv/dynamo-opset18-static-fp32")


def test_a_part_of_a_name_is_enough_and_full_prints_the_whole_diagnosis(lab, ask):
    short = ask("export", "explain", "branch")
    assert "models.py:" in short.out
    assert "if x.sum() > 0:" in short.out
    assert "torch.onnx" not in short.out
    assert len(short.out.splitlines()) < 25
    whole = ask("export", "explain", "branch", "--full").out
    assert "The whole diagnosis" in whole
    assert "This is step 1/3" in whole
    as_json = ask("export", "explain", "branch", "-o", "json").json
    assert (as_json["cause"], as_json["outcome"]) == ("export_data_dependent", "failed")
    assert as_json["detail"].count("Traceback") >= 1
    assert as_json["diagnosis"][0].startswith("your code: models.py:")


def test_the_page_documents_every_field(lab, ask):
    named = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    story = ask("export", "explain", "conv/dynamo-opset13-static-fp32", "-o", "json").json
    # The variant in a story is the cell of the document, which the page describes once.
    variant = story["variant"]
    assert set(variant) == {
        path.removeprefix("cells[].") for path in named if re.fullmatch(r"cells\[\]\.\w+", path)
    } - {
        "known",
        "new",
    }
    present = paths(lab.document) | {f"story.{path}" for path in paths(story | {"variant": None})}
    assert present == named


def paths(value: Any, at: str = "") -> set[str]:
    """The path of every field; what a plan, model or host names by itself has no fields of ours."""
    if at in {"run.host", "cells[].produced.dynamic", "cells[].produced.declared"}:
        return set()
    if isinstance(value, dict):
        inner = {f"{at}.{key}" if at else key: item for key, item in value.items()}
        return set(inner) | {path for name, item in inner.items() for path in paths(item, name)}
    if isinstance(value, list):
        return {path for item in value for path in paths(item, f"{at}[]")}
    return set()
