"""A matrix that is run for real: stopped in the middle, and short of a word for every variant never."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.export.service import ExportService
from edgesweep.plan.load import LoadedPlan, parse_plan
from edgesweep.store.records import RunKind, RunState
from edgesweep.store.store import Store
from edgesweep.store.variants import WAITING
from edgesweep.sweep.events import ExportFinished, ExportStarted, SweepEvent, SweepFinished, SweepStarted
from edgesweep.sweep.matrix import prepare_matrix, run_matrix

MODELS = """
import threading

import torch


def quick():
    return torch.nn.Linear(4, 3), (torch.randn(2, 4),)


def endless():
    threading.Event().wait()
"""
PLAN = """
version: 1
name: lab
models:
  - {factory: 'models.py:quick', dynamic: {input: {0: batch}}}
  - {factory: 'models.py:endless', dynamic: {input: {0: batch}}}
export: {exporters: torchscript, opsets: 17, axes: [static, nowhere]}
exclude: [{model: quick, opset: 13, until: 2020-01-01}]
"""


@pytest.fixture
def loaded(tmp_path) -> LoadedPlan:
    (tmp_path / "models.py").write_text(MODELS, encoding="utf-8")
    return parse_plan(PLAN, tmp_path, "lab.yaml")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'data' / 'store.sqlite'}", tmp_path / "samples")


async def test_a_stopped_matrix_keeps_what_it_has_and_says_what_waits(loaded, store, tmp_path):
    seen: list[SweepEvent] = []
    stuck = asyncio.Event()

    def emit(event: SweepEvent) -> None:
        seen.append(event)
        finished = {each.variant for each in seen if isinstance(each, ExportFinished)}
        begun = {each.variant for each in seen if isinstance(each, ExportStarted)}
        if finished and begun - finished:
            stuck.set()

    async with ExportService(tmp_path / "exports", slots=2) as exports:
        prepared = await prepare_matrix(loaded, exports)
        work = asyncio.create_task(run_matrix(prepared, exports, store, emit, again="edgesweep export matrix lab.yaml"))
        await stuck.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    view = store.load_run(prepared.run.id)
    assert (view.run.kind, view.run.state) == (RunKind.MATRIX, RunState.INTERRUPTED)
    assert [(result.variant.name, result.cause) for result in view.exports] == [
        ("quick/torchscript-opset17-static-fp32", ""),
        ("quick/torchscript-opset17-nowhere-fp32", "no_such_dimension"),
        ("endless/torchscript-opset17-static-fp32", WAITING),
        ("endless/torchscript-opset17-nowhere-fp32", "no_such_dimension"),
    ]
    first, last = seen[0], seen[-1]
    assert isinstance(first, SweepStarted)
    assert (first.cells, first.variants, first.resume_command) == ({}, 2, "edgesweep export matrix lab.yaml")
    assert isinstance(last, SweepFinished)
    assert (last.outcomes, last.complete) == ({"pass": 1, "skipped": 2}, False)
    assert store.list_runs() == ()
    assert [run.open for run in store.list_runs(kind=RunKind.MATRIX)] == [1]
    assert prepared.notes == ("exclude[0] ended on 2020-01-01 and no longer counts",)


async def test_an_expression_chooses_variants_and_one_that_chooses_none_is_refused(loaded, tmp_path):
    async with ExportService(Path(tmp_path) / "exports", slots=1) as exports:
        chosen = await prepare_matrix(loaded, exports, expression="QUICK and not nowhere")
        assert [entry.variant.name for entry in chosen.variants] == ["quick/torchscript-opset17-static-fp32"]
        with pytest.raises(EdgesweepError, match="selects no variant") as caught:
            await prepare_matrix(loaded, exports, expression="dynamo")
        assert (caught.value.exit_code, "quick/torchscript-opset17-static-fp32" in caught.value.remedy) == (3, True)
