"""Matrices beside sweeps, and names looked up over all runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Variant
from edgesweep.store.records import Outcome, RunKind, RunState, outcome_of_export
from edgesweep.store.store import Store
from edgesweep.store.variants import WAITING, Named
from edgesweep_proto.trial import Stage


def result(model: str, opset: int = 17, stage: Stage = Stage.CHECK, cause: str = "") -> ExportResult:
    return ExportResult(Variant(model, "dynamo", opset, "batch"), stage, cause)


def waiting(*models: str) -> tuple[ExportResult, ...]:
    return tuple(result(model, stage=Stage.PLAN, cause=WAITING) for model in models)


def add_matrix(store: Store, make, run_id: str, started: float, *results: ExportResult) -> None:
    store.create_run(make.run(run_id, started=started, kind=RunKind.MATRIX), (), results)
    store.set_run_state(run_id, RunState.COMPLETE, started + 1)


@pytest.mark.parametrize(
    ("stage", "cause", "outcome"),
    [
        (Stage.CHECK, "", Outcome.PASS),
        (Stage.EXPORT, "export_error", Outcome.FAILED),
        (Stage.PLAN, "excluded", Outcome.SKIPPED),
        (Stage.PLAN, "package_missing", Outcome.SKIPPED),
        (Stage.CHECK, "export_host_trouble", Outcome.LOST),
        (Stage.PLAN, WAITING, Outcome.LOST),
    ],
)
def test_every_end_of_an_export_is_one_outcome(stage, cause, outcome):
    assert outcome_of_export(stage, cause) is outcome


def test_a_matrix_is_stored_whole_from_its_first_moment_and_keeps_its_order(store, make):
    run = make.run(kind=RunKind.MATRIX)
    store.create_run(run, (), waiting("c", "a", "b"))
    assert [summary.open for summary in store.list_runs(kind=RunKind.MATRIX)] == [3]
    store.save_export(run.id, result("b"))
    store.save_export(run.id, result("c", cause="wrong_output"))
    view = store.load_run(run.id)
    assert view.run.kind is RunKind.MATRIX
    assert [(export.variant.model, export.cause) for export in view.exports] == [
        ("c", "wrong_output"),
        ("a", WAITING),
        ("b", ""),
    ]
    (summary,) = store.list_runs(kind=RunKind.MATRIX)
    assert (summary.cells, summary.open, summary.outcomes) == (3, 1, {"failed": 1, "pass": 1})
    assert summary.kind is RunKind.MATRIX


def test_latest_and_names_mean_sweeps_unless_asked_and_ids_mean_either(store, make):
    store.create_run(make.run("20261101-a"), make.cells())
    add_matrix(store, make, "20261102-b", 1795600100.0, result("m"))
    assert store.find_run("latest") == "20261101-a"
    assert store.find_run("latest", RunKind.MATRIX) == "20261102-b"
    assert store.find_run("latest", None) == "20261102-b"
    assert store.find_run("quickstart") == "20261101-a"
    assert store.find_run("20261102") == "20261102-b"
    assert [run.id for run in store.list_runs()] == ["20261101-a"]
    assert [run.id for run in store.list_runs(kind=None)] == ["20261102-b", "20261101-a"]


def test_a_store_of_matrices_alone_has_no_latest_sweep(store, make):
    add_matrix(store, make, "20261102-b", 1795600100.0, result("m"))
    for text in ("latest", "nothing"):
        with pytest.raises(EdgesweepError, match="there is no run yet"):
            store.find_run(text)
    assert store.find_run("20261102-b") == "20261102-b"


def test_the_matrix_before_is_the_last_complete_one_that_tells_of_a_variant(store, make):
    add_matrix(store, make, "1", 100.0, result("a"), result("b"), result("c", cause="wrong_output"))
    add_matrix(store, make, "2", 200.0, result("a", cause="wrong_output"))
    add_matrix(store, make, "3", 300.0, result("b", cause="export_host_trouble"))
    store.create_run(make.run("4", started=400.0, kind=RunKind.MATRIX), (), (result("c"),))
    add_matrix(store, make, "other", 450.0, result("c"))
    store.create_run(make.run("now", started=500.0, kind=RunKind.MATRIX), (), waiting("a", "b", "c"))
    now = replace(store.load_run("now").run, started=440.0)
    name = "{}/dynamo-opset17-batch-fp32".format
    assert store.earlier_outcomes(now) == {
        name("a"): Outcome.FAILED,
        name("b"): Outcome.PASS,
        name("c"): Outcome.FAILED,
    }
    assert store.earlier_outcomes(replace(now, name="somebody-else")) == {}


@pytest.fixture
def both(store, make) -> Store:
    """A sweep of three models, and a newer matrix of two of them."""
    store.create_run(make.run("20261101-sweep", started=100.0), make.cells(3))
    store.save_export("20261101-sweep", result("model0"))
    add_matrix(store, make, "20261102-matrix", 200.0, result("model0"), result("model1"))
    return store


@pytest.mark.parametrize(
    ("text", "run", "found"),
    [
        # A whole name: the newest run that holds it.
        ("model0/dynamo-opset17-batch-fp32", None, ("20261102-matrix", "model0/dynamo-opset17-batch-fp32", "")),
        (
            "model0/dynamo-opset17-batch-fp32",
            "20261101-sweep",
            ("20261101-sweep", "model0/dynamo-opset17-batch-fp32", ""),
        ),
        (
            "pi5/model1/dynamo-opset17-batch-fp32/1.23.2/xnnpack+cpu/batch4/t1",
            None,
            (
                "20261101-sweep",
                "model1/dynamo-opset17-batch-fp32",
                "pi5/model1/dynamo-opset17-batch-fp32/1.23.2/xnnpack+cpu/batch4/t1",
            ),
        ),
        # A part: the newest run of which it is a part, in whatever case.
        ("MODEL1/dyn", None, ("20261102-matrix", "model1/dynamo-opset17-batch-fp32", "")),
        (
            "model2",
            None,
            (
                "20261101-sweep",
                "model2/dynamo-opset17-batch-fp32",
                "pi5/model2/dynamo-opset17-batch-fp32/1.23.2/xnnpack+cpu/batch4/t1",
            ),
        ),
        # One variant with its one cell: the cell's story holds the variant's.
        (
            "model0",
            "20261101-sweep",
            (
                "20261101-sweep",
                "model0/dynamo-opset17-batch-fp32",
                "pi5/model0/dynamo-opset17-batch-fp32/1.23.2/xnnpack+cpu/batch4/t1",
            ),
        ),
    ],
)
def test_a_name_or_a_part_of_one_is_found(both, text, run, found):
    assert both.find_named(text, run) == Named(*found)


def test_a_part_of_several_names_is_refused_with_them(both):
    with pytest.raises(EdgesweepError, match="model0/dynamo-opset17-batch-fp32, model1/dynamo") as caught:
        both.find_named("opset17")
    assert (caught.value.code, caught.value.remedy) == ("unknown_cell", "write more of the name")


def test_a_name_that_no_run_holds_is_refused_with_the_nearest(both):
    with pytest.raises(EdgesweepError, match="did you mean 'model1/dynamo-opset17-batch-fp32'"):
        both.find_named("modul1/dynamo-opset17-batch-fp32")
    with pytest.raises(EdgesweepError, match=r"of the run 20261102-matrix is called 'zzz'$"):
        both.find_named("zzz", "20261102-matrix")


def test_an_empty_store_has_no_name(store):
    with pytest.raises(EdgesweepError) as caught:
        store.find_named("x")
    assert caught.value.code == "no_runs"
