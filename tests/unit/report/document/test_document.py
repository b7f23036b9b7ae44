from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from edgesweep.plan.cell import Session
from edgesweep.report.document import SCHEMA_VERSION, build_document
from edgesweep.report.runs import build_runs
from edgesweep.store.records import CellRecord, Outcome, RunState, RunSummary
from edgesweep.store.store import Store
from edgesweep_proto.blob import Blob, Tensor
from edgesweep_proto.trial import MemoryPhase

PAGE = Path(__file__).parents[4] / "docs" / "result-document.md"


@pytest.fixture
def doc(view):
    return build_document(view)


def test_it_is_json_that_every_parser_takes(doc):
    assert json.loads(json.dumps(doc, allow_nan=False)) == doc


def test_every_planned_cell_is_there_once_in_planned_order(doc, view):
    assert [cell["name"] for cell in doc["cells"]] == [record.cell.name for record in view.cells]
    assert doc["summary"] == {
        "cells": 7,
        "unfinished": 0,
        "outcomes": {"pass": 2, "fallback": 1, "failed": 2, "skipped": 1, "lost": 1},
        "verdicts": {"trusted": 0, "doubtful": 2, "invalid": 0},
        "known": 0,
        "fixed": 0,
    }


def test_what_was_asked_and_what_was_produced_stand_apart(doc):
    dishonest = doc["cells"][2]
    assert (dishonest["opset"], dishonest["shape"], dishonest["sizes"]) == (23, "batch4", {"batch": 4})
    assert (dishonest["providers"], dishonest["threads"]) == (["xnnpack", "cpu"], 2)
    assert dishonest["produced"]["dynamic"] == {"x": ["batch"]}
    assert (dishonest["outcome"], dishonest["stage"], dishonest["cause"]) == ("failed", "check", "opset_not_honoured")
    assert dishonest["see"] == doc["cells"][1]["name"]
    assert dishonest["remedy"]
    assert dishonest["export"]["passed"] is False
    assert doc["cells"][4]["produced"] is None


def test_a_measured_cell_has_figures_over_its_trials(doc):
    cell = doc["cells"][0]
    assert cell["latency_s"]["median"] == pytest.approx(0.001)  # of 0.5, 1.0 and 1.5 ms: two inferences a sample
    assert (cell["latency_s"]["n"], cell["latency_s"]["batch"], cell["latency_s"]["need"]) == (450, 2, {"p99": 662})
    assert cell["latency_s"]["p99"] is None
    assert cell["throughput_per_s"] == {"inferences": pytest.approx(1000), "items": pytest.approx(4000)}
    memory = cell["memory_bytes"]
    assert {name: memory[name] for name in ("session_peak", "first_run_peak", "steady_peak", "retained")} == {
        "session_peak": 1000, "first_run_peak": 1500, "steady_peak": 2001, "retained": 900,
    }  # fmt: skip
    assert memory["method"] == "VmHWM"
    assert memory["methods"]["retained"] == "VmRSS"
    assert memory["ranges"]["steady_peak"] == [2000, 2002]
    assert (memory["pss"], memory["private"]) == ({"steady_peak": 2000}, {"steady_peak": 1900})
    assert memory["arena"]["held"] == 4096
    cold = cell["cold_start_s"]
    assert [cold[step] for step in ("import", "provider_load", "session", "first_run", "second_run")] == [
        0.1, 0.05, 0.04, 0.003, 0.002,
    ]  # fmt: skip
    assert (cold["page_cache"], cold["resident_share"], cold["provider_cache"]) == ("warm", 1.0, "none")
    first = cell["placement"]["shares"][0]
    assert (first["provider"], first["nodes"], first["time_share"]) == ("XnnpackExecutionProvider", 60, 0.9)
    assert cell["placement"]["hashes"] == ["aa"]
    assert cell["numerics"]["max_absolute_error"] == pytest.approx(3e-6)
    assert (cell["numerics"]["where"], cell["numerics"]["sizes_tried"]) == ("device", ["batch=2", "batch=9"])
    assert cell["numerics"]["at_export"]["max_absolute_error"] == 1e-7
    environment = cell["environment"]
    assert (environment["before"]["temperatures_c"], environment["after"]["temperatures_c"]) == (
        {"cpu": 50.0},
        {"cpu": 62.0},
    )
    assert (environment["throttle"], environment["tags"], environment["boot_ids"]) == (
        ["soft_limit"],
        ["partial"],
        ["b"],
    )
    assert environment["accounting"]["wall_s"] == pytest.approx(6.0)
    assert environment["accounting"]["runqueue_share"] == pytest.approx(0.015)
    assert [trial["round"] for trial in cell["trials"]] == [0, 1, 2]
    assert cell["trials"][1]["latency_s"]["median"] == pytest.approx(0.001)
    assert cell["trials"][1]["memory_bytes"]["steady_peak"] == 2001
    assert cell["trials"][1]["samples"]["stop_reason"] == "ci"


def test_what_went_on_around_the_measurement_is_there(doc):
    cell = doc["cells"][0]
    assert cell["course"]["trials"] == {"flat": 2, "warmup": 1, "slowdown": 0, "unsteady": 0}
    assert (cell["course"]["left_out"], cell["course"]["change"]) == (12, -0.2)
    assert cell["course"]["modes"] == [{"median_s": 0.001, "share": 0.7}, {"median_s": 0.002, "share": 0.3}]
    assert cell["sustained"] == {"minutes_s": [1.0, 1.3], "ratio": 1.3}
    assert cell["energy"]["joules_per_inference"] == pytest.approx(0.02)
    assert cell["harness_floor_s"] == 1.3e-6
    environment = cell["environment"]
    assert [(gate["name"], gate["passed"], gate["value"]) for gate in environment["gates"]] == [
        ("idle", True, 0.01),
        ("thermal", False, 72.0),
    ]
    trace = environment["trace"]
    assert (trace["readings"], trace["frequency_min_hz"], trace["temperature_max_c"]) == (
        30,
        {"policy0": 2.2e9},
        {"cpu": 62.0},
    )
    assert (trace["sampler_cpus"], trace["watching_share"]) == ([3], pytest.approx(0.01))
    accounting = environment["accounting"]
    assert (accounting["foreign_cores"], accounting["steal_share"]) == (pytest.approx(0.02), pytest.approx(0.01))
    assert accounting["swapped_in_pages"] == 6
    assert cell["trials"][0]["threads"]["pool_cpus"] == ["1"]
    assert cell["trials"][0]["samples"]["warmup_stop_reason"] == "steady"


def test_memory_that_does_not_repeat_is_no_figure(view):
    record = view.cells[0]
    trials = [
        replace(trial, result=replace(trial.result, memory=(MemoryPhase("steady_peak", size * 2**20, "VmHWM"),)))
        for trial, size in zip(record.trials, (100, 104, 130), strict=True)
    ]
    doc = build_document(replace(view, cells=(replace(record, trials=tuple(trials)),)))["cells"][0]
    assert doc["memory_bytes"]["steady_peak"] is None
    assert doc["memory_bytes"]["ranges"]["steady_peak"] == [100 * 2**20, 130 * 2**20]
    assert doc["trials"][0]["memory_bytes"]["steady_peak"] == 100 * 2**20


def test_inferences_that_overlap_are_counted_over_the_time_they_took(view):
    record = view.cells[0]
    crowd = replace(record.cell, session=Session(2, concurrency=4))
    doc = build_document(replace(view, cells=(replace(record, cell=crowd, trials=record.trials),)))["cells"][0]
    assert doc["throughput_per_s"] is None  # nobody told how long it took
    timed = tuple(_timed(trial, 0.1) for trial in record.trials)
    doc = build_document(replace(view, cells=(replace(record, cell=crowd, trials=timed),)))["cells"][0]
    assert doc["throughput_per_s"]["inferences"] == pytest.approx(150 * 2 / 0.1)
    assert (doc["concurrency"], doc["scenario"], doc["scenario_s"]) == (4, "closed", None)


def _timed(trial, wall_s):
    return replace(trial, result=replace(trial.result, samples=replace(trial.result.samples, wall_s=wall_s)))


def test_a_cell_that_shares_a_measurement_has_copies_but_no_trials(doc):
    measured, sharing = doc["cells"][:2]
    assert sharing["same_as"] == measured["name"]
    for figures in ("latency_s", "throughput_per_s", "memory_bytes", "cold_start_s", "placement", "environment"):
        assert sharing[figures] == measured[figures]
    assert sharing["trials"] == []


def test_a_cell_that_was_not_measured_has_no_figures(doc):
    for index in (2, 3, 4, 5):
        cell = doc["cells"][index]
        for figures in (
            "latency_s",
            "throughput_per_s",
            "memory_bytes",
            "cold_start_s",
            "placement",
            "environment",
            "verdict",
        ):
            assert cell[figures] is None
    assert doc["cells"][5]["numerics"]["max_absolute_error"] is None  # infinite: no number of JSON's


def test_it_says_why_the_device_had_nothing_to_compare_with(view):
    record = view.cells[0]
    payload = record.export.payloads["batch4"]
    noted = replace(payload, reference_note="nothing to compare with: too slow")

    def numerics(**changes):
        export = replace(record.export, **changes)
        bare = replace(record, export=export, trials=tuple(_without_numerics(trial) for trial in record.trials))
        return build_document(replace(view, cells=(bare,)))["cells"][0]["numerics"]

    nowhere = numerics(payloads={"batch4": noted}, numerics=None)
    assert nowhere["reference_note"] == "nothing to compare with: too slow"
    figures = ("where", "max_absolute_error", "max_relative_error", "outputs_compared", "first_offender")
    assert [nowhere[key] for key in figures] == [None] * 5
    on_host = numerics(payloads={"batch4": noted})
    assert (on_host["reference_note"], on_host["where"]) == ("nothing to compare with: too slow", "export")
    reference = Tensor("y", Blob("12" * 32, 8), "float32", (2,))
    compared = numerics(payloads={"batch4": replace(noted, references=(reference,))})
    assert compared["reference_note"] == ""
    assert numerics(payloads={"example": noted}, numerics=None) is None


def _without_numerics(trial):
    return replace(trial, result=replace(trial.result, numerics=None))


def test_a_failure_says_what_it_was_told_from_and_others_say_nothing(doc):
    (crashed,) = [cell for cell in doc["cells"] if cell["cause"] == "crash"]
    diagnosis = crashed["diagnosis"]
    assert diagnosis["operator"] == {
        "domain": "ai.onnx",
        "name": "Det",
        "version": 11,
        "types": ["float16"],
        "node": "/h/Det",
    }
    assert (diagnosis["cause"], diagnosis["rule"], diagnosis["message_hash"]) == ("crash", "", "ab" * 32)
    assert all(cell["diagnosis"] is None for cell in doc["cells"] if cell["cause"] != "crash")


def test_a_crash_keeps_its_evidence(doc):
    (trial,) = doc["cells"][6]["trials"]
    assert (trial["outcome"], trial["signal"], trial["evidence"]) == ("failed", 11, "Segmentation fault")
    assert doc["cells"][6]["also"] == ["timeout", "oom"]


def test_an_artifact_is_listed_once_with_all_its_variants(doc):
    first = doc["artifacts"][0]
    assert first["variants"] == ["mobile/dynamo-opset17-batch-fp32", "mobile/dynamo-opset18-batch-fp32"]
    assert [file["size_bytes"] for file in first["files"]] == [1096, 3000]
    assert len(doc["artifacts"]) == 5


def test_a_device_that_never_answered_is_listed(doc):
    assert [(device["name"], device["facts"] is None) for device in doc["devices"]] == [("pi5", False), ("gone", True)]


def test_complete_means_that_nothing_is_missing(view, unfinished_view):
    assert build_document(view)["incomplete"] is True  # one cell was lost
    kept = tuple(record for record in view.cells if record.end.outcome is not Outcome.LOST)
    assert build_document(replace(view, cells=kept))["incomplete"] is False
    assert (
        build_document(replace(view, cells=kept, run=replace(view.run, state=RunState.RUNNING)))["incomplete"] is True
    )
    doc = build_document(unfinished_view)
    assert doc["incomplete"] is True
    assert doc["summary"]["unfinished"] == 1
    assert [doc["cells"][-1][key] for key in ("outcome", "stage", "cause", "verdict", "latency_s")] == [None] * 5


def test_the_store_changes_nothing_in_it(view, tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/store.sqlite", tmp_path / "samples") as store:
        store.create_run(view.run, [record.cell for record in view.cells])
        for device in view.devices:
            store.save_device(view.run.id, device)
        for record in view.cells:
            if record.export:
                store.save_export(view.run.id, record.export)
            for trial in record.trials:
                bare = replace(trial, samples_digest=None)
                assert store.save_trial(view.run.id, bare, b"")
            store.end_cell(view.run.id, record.end)
        again = store.load_run(view.run.id)
    bare_view = replace(view, cells=tuple(_without_samples(record) for record in view.cells))
    assert build_document(again) == build_document(bare_view)


def _without_samples(record: CellRecord) -> CellRecord:
    return replace(record, trials=tuple(replace(trial, samples_digest=None) for trial in record.trials))


def test_runs_are_listed_newest_first():
    old = RunSummary("a", "n", "d", RunState.COMPLETE, 1.0, 2.0, "0.1.0", ("pi5",), 2, {"pass": 2}, 0)
    doc = build_runs([old, replace(old, id="b", started=3.0)])
    assert doc["schema_version"] == SCHEMA_VERSION
    assert [run["id"] for run in doc["runs"]] == ["b", "a"]
    assert doc["runs"][1]["outcomes"] == {"pass": 2}
    assert json.loads(json.dumps(doc)) == doc


#: Objects whose keys are names of the lab or the model, not of the contract.
FREE_KEYS = re.compile(
    r"(\.dynamic|\.methods|\.temperatures_c|\.frequencies_hz|\.governors|\.host|\.labels|\.provider_options|\.sizes|\.need"
    r"|\.frequency_\w+_hz|\.hardware_max_hz|\.power_w|\.energy_j|\.call_costs_s|\.temperature_\w+_c|\.ranges|\.pss|\.private)$"
)


def paths(value, prefix=""):
    """Every field's path: `cells[].latency_s.median`."""
    if isinstance(value, dict):
        if FREE_KEYS.search(prefix):
            return
        for key, item in value.items():
            path = f"{prefix}.{key}" if prefix else key
            yield path
            yield from paths(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{prefix}[]")


def test_the_page_names_every_field_and_no_other(doc, unfinished_view, places_view):
    named = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    present = {*paths(doc), *paths(build_document(unfinished_view)), *paths(build_document(places_view))}
    # Trials repeat figures that the page describes once, for the cell.
    figures = ("latency_s", "throughput_per_s", "memory_bytes", "cold_start_s", "placement", "environment")
    figures = (*figures, "course", "sustained", "energy", "compile")
    repeated = {path for path in present if re.match(rf"cells\[\]\.trials\[\]\.({'|'.join(figures)})\.", path)}
    assert {path.replace("trials[].", "") for path in repeated} <= present
    readings = {path for path in present if re.search(r"(devices\[\]\.reading|environment\.(before|after))\.", path)}
    assert present - repeated - readings == named - {path for path in named if path.startswith("reading.")}
    assert {path.rsplit(".", 1)[1] for path in readings} == {
        path.removeprefix("reading.") for path in named if path.startswith("reading.")
    }
