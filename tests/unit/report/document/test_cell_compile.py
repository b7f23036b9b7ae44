"""What was compiled and what the state of a cell is, in the document and in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.report.document import build_document
from edgesweep.report.facts import beside_the_median
from edgesweep_proto.trial import TrialOutcome


def with_compile(view, *changes):
    """The view's measured cell with one trial for each set of changes to what it compiled."""
    record, *others = view.cells
    trials = tuple(
        replace(trial, result=replace(trial.result, compile=replace(trial.result.compile, **change)))
        for trial, change in zip(record.trials, changes, strict=False)
    )
    return build_document(replace(view, cells=(replace(record, trials=trials), *others)))["cells"][0]


def test_compiling_stands_apart_from_the_steady_times(view):
    cell = build_document(view)["cells"][0]
    found = cell["compile"]
    assert (found["provider"], found["part_of"], found["seconds"]) == ("XnnpackExecutionProvider", "session", 0.04)
    assert (found["files_before"], found["files_after"], found["bytes_after"]) == (0, 1, 4096)
    assert (found["engine_hash"], found["engine_hashes"]) == ("ab" * 32, ["ab" * 32])
    assert found["rebuilds"] == 2
    assert found["shape_changes"] == [
        {"from": "batch4", "to": "batch8", "first_run": 0.5, "next_run": 0.01, "rebuilt": True},
        {"from": "batch8", "to": "batch4", "first_run": 0.006, "next_run": 0.005, "rebuilt": False},
    ]
    assert [trial["compile"]["seconds"] for trial in cell["trials"]] == [0.02, 0.04, 0.06]


def test_people_read_it_with_its_units(view):
    texts = beside_the_median(build_document(view)["cells"][0])
    assert "xnnpack compiles in making the session, 40.0 ms (1 file of 4.00 KiB written, abababababab)" in texts
    assert "changing from batch4 to batch8: 500 ms, then 10.0 ms; rebuilt" in texts
    assert "changing from batch8 to batch4: 6.00 ms, then 5.00 ms" in texts
    assert "compiled again 1 time after the first run" in texts


def test_other_shapes_of_a_provider_that_compiles_nothing_are_told_without_a_compilation(view):
    cell = with_compile(view, {"part_of": "", "seconds": 0.0, "files_after": 0, "engine_hash": "", "rebuilds": 1})
    assert cell["compile"]["seconds"] is None
    texts = [text for text in beside_the_median(cell) if "compile" in text or "changing" in text]
    assert texts == [
        "changing from batch4 to batch8: 500 ms, then 10.0 ms; rebuilt",
        "changing from batch8 to batch4: 6.00 ms, then 5.00 ms",
    ]


def test_a_cache_that_was_found_and_not_taken_is_no_warm_start(view):
    cell = with_compile(view, {"files_before": 1})
    assert any("1 file of 4.00 KiB found, ab" in text for text in beside_the_median(cell))
    cell["tags"] = [*cell["tags"], "provider_cache_not_honoured"]
    assert any("found and written anew" in text for text in beside_the_median(cell))


def test_nothing_compiled_is_null_and_says_nothing(view):
    doc = build_document(view)
    assert [cell["compile"] for cell in doc["cells"][2:5]] == [None, None, None]
    assert not [text for text in beside_the_median(doc["cells"][3]) if "compil" in text]


def test_different_compiled_models_are_all_named_and_none_of_them_is_the_one(view):
    cell = with_compile(view, {"engine_hash": "1" * 64}, {"engine_hash": "2" * 64}, {"engine_hash": ""})
    assert (cell["compile"]["engine_hash"], len(cell["compile"]["engine_hashes"])) == ("", 2)
    assert cell["state"]["engine_hash"] == "varies"


def test_a_cell_that_shares_a_measurement_has_the_state_of_it(view):
    measured, sharing, dishonest, *_ = build_document(view)["cells"]
    assert measured["state"] == {
        "digest": "cd" * 32,
        "build": "1.23.2 info",
        "driver": "",
        "engine_hash": "ab" * 32,
        "power_mode": "",
    }
    assert sharing["state_key"] == measured["state_key"]
    assert len(measured["state_key"]) == 64
    assert (dishonest["state"], dishonest["state_key"]) == (None, None)


@pytest.mark.parametrize("outcome", [TrialOutcome.INTERRUPTED, TrialOutcome.CANCELLED])
def test_trials_that_say_nothing_of_the_model_have_no_part_in_it(view, outcome):
    record, *others = view.cells
    odd = replace(record.trials[0].result, outcome=outcome)
    odd = replace(odd, compile=replace(odd.compile, engine_hash="9" * 64))
    trials = (replace(record.trials[0], result=odd), *record.trials[1:])
    cell = build_document(replace(view, cells=(replace(record, trials=trials), *others)))["cells"][0]
    assert cell["compile"]["engine_hashes"] == ["ab" * 32]
