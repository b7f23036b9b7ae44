"""Outputs of one artifact in several places: in the document, and in every form that people read."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from edgesweep.report.agreement_text import agreement_sentences, answers_beside
from edgesweep.report.document import build_document
from edgesweep.report.html import render_html
from edgesweep.report.markdown import render_markdown
from edgesweep.report.tables import findings
from edgesweep.store.records import Outcome
from rich.console import Console

from .conftest import elsewhere, trial


@pytest.fixture
def doc(places_view):
    return build_document(places_view)


def test_the_cell_nearest_to_the_reference_is_what_the_others_are_held_against(doc):
    json.dumps(doc, allow_nan=False)
    first, sharing, close, off = doc["cells"][0], doc["cells"][1], doc["cells"][-2], doc["cells"][-1]
    assert (first["agreement"]["with"], first["agreement"]["agrees"]) == (None, True)
    assert sharing["agreement"] == first["agreement"]  # it shares the measurement
    assert close["agreement"] == {
        "with": first["name"], "output": "y", "max_difference": pytest.approx(1e-4), "relative": pytest.approx(2.5e-5),
        "limit": 1e-4, "agrees": True, "bitwise": False,
    }  # fmt: skip
    assert (off["agreement"]["agrees"], off["agreement"]["relative"]) == (False, 0.125)
    assert ("disagrees" in off["tags"], "disagrees" in close["tags"]) == (True, False)
    assert off["outcome"] == "pass"  # its time is what it was


def test_one_element_tells_of_all_cells_that_ran_an_artifact_on_the_same_inputs(doc):
    (group,) = doc["agreement"]
    assert (group["cells"], group["shape"], group["agrees"], group["bitwise"]) == (3, "batch4", False, False)
    assert group["variants"] == ["mobile/dynamo-opset17-batch-fp32", "mobile/dynamo-opset18-batch-fp32"]
    assert group["reference"] == doc["cells"][0]["name"]
    assert group["worst"] == {"cell": doc["cells"][-1]["name"], **doc["cells"][-1]["agreement"]}


def test_cells_that_failed_or_ran_something_else_are_held_against_nothing(view):
    failed = elsewhere(view, "rock", 1.0, 2.0, 3.5, 4.0)
    failed = replace(failed, end=replace(failed.end, outcome=Outcome.FAILED, cause="wrong_output"))
    other = elsewhere(view, "nano", 1.0, 2.0, 3.5, 4.0)
    other = replace(other, export=replace(other.export, produced=replace(other.export.produced, digest="ff" * 32)))
    doc = build_document(replace(view, cells=(*view.cells, failed, other)))
    assert doc["agreement"] == []
    assert [cell["agreement"] for cell in doc["cells"]] == [None] * len(doc["cells"])
    assert agreement_sentences(doc) == []
    assert doc["cells"][-1]["outputs"][0]["max_absolute"] == 4.0


def test_a_provider_that_computes_in_half_precision_may_lie_further_off(view):
    half = elsewhere(view, "mac", 1.0, 2.0, 3.0, 4.02)
    cell = replace(half.cell, providers=("coreml", "cpu"))
    half = replace(half, cell=cell, end=replace(half.end, cell_name=cell.name))
    doc = build_document(replace(view, cells=(*view.cells, half)))
    found = doc["cells"][-1]
    assert (found["agreement"]["limit"], found["agreement"]["agrees"]) == (1e-2, True)
    assert found["numerics"]["tolerance"] == {"absolute": 1e-2, "relative": 1e-2, "sqnr_db": None}
    assert (found["numerics"]["tolerance_from"], found["numerics"]["tolerance_note"]) == (
        "provider",
        "coreml computes in fp16",
    )


def test_what_the_plan_allows_is_told_as_the_plans(view):
    plan = {"version": 1, "models": [{"zoo": "mobile-cnn", "name": "mobile", "verify": {"absolute": 0.5}}]}
    found = build_document(replace(view, run=replace(view.run, plan=plan)))["cells"][0]["numerics"]
    assert (found["tolerance"]["absolute"], found["tolerance_from"]) == (0.5, "plan")


def test_outputs_tell_how_much_they_moved_between_runs_and_trials(view):
    first, second, third = view.cells[0].trials
    (output,) = first.result.outputs
    moved = replace(output, sha256="moved", values=(1.0, 2.0, 3.0, 4.25), run_difference=0.125)
    trials = (first, replace(second, result=replace(second.result, outputs=(moved,))), third)
    record = replace(view.cells[0], trials=trials)
    (found,) = build_document(replace(view, cells=(record,)))["cells"][0]["outputs"]
    assert (found["sha256"], found["run_difference"], found["trial_difference"]) == ("77" * 32, 0.125, 0.25)
    (found,) = build_document(view)["cells"][0]["outputs"]
    assert (found["run_difference"], found["trial_difference"]) == (0, 0)
    (found,) = build_document(replace(view, cells=(replace(record, trials=trials[:1]),)))["cells"][0]["outputs"]
    assert found["trial_difference"] is None


def test_nothing_is_known_of_outputs_that_an_older_agent_did_not_tell(view):
    record = replace(view.cells[0], trials=(trial(view.cells[0].cell, 0, outputs=()),))
    cell = build_document(replace(view, cells=(record,)))["cells"][0]
    assert (cell["outputs"], cell["agreement"]) == ([], None)


# In words


def test_the_first_sentence_counts_artifacts_and_names_the_worst_that_agree(view, doc):
    close = build_document(replace(view, cells=(*view.cells, elsewhere(view, "rock", 1.0, 2.0, 3.0, 4.0001))))
    (sentence,) = agreement_sentences(close)
    names = [cell["name"] for cell in close["cells"]]
    assert sentence == (
        f"1 of 1 artifact that ran in several places agrees within 0.0001 of the largest value (at most 2.5e-05: {names[-1]} against {names[0]})"
    )
    head, off = agreement_sentences(doc)
    assert head == "0 of 1 artifact that ran in several places agrees within 0.0001 of the largest value (none does)"
    names = [cell["name"] for cell in doc["cells"]]
    assert off == f"output y of {names[-1]} differs from {names[0]} by 0.12 of the largest value; 0.0001 is allowed"


def test_each_limit_has_a_sentence_of_its_own(doc):
    group = doc["agreement"][0]
    worst = {**group["worst"], "limit": 1e-2, "relative": 5e-3}
    half = {**group, "digest": "half", "agrees": True, "worst": worst}
    other = {**half, "digest": "other", "worst": {**worst, "relative": 2e-3}}
    first, second, _ = agreement_sentences({"agreement": [half, group, other]})
    assert first.startswith("0 of 1 artifact that ran in several places agrees within 0.0001 of the largest value ")
    assert second.startswith(
        "2 of 2 artifacts that ran in several places agree within 0.01 of the largest value (at most 0.005: "
    )


def test_an_artifact_agrees_when_it_does_at_every_shape(doc):
    group = doc["agreement"][0]
    right = {**group, "shape": "example", "agrees": True}
    assert agreement_sentences({"agreement": [right, group]})[0].startswith("0 of 1 artifact ")
    assert agreement_sentences({"agreement": [right, {**right, "shape": "batch8"}]})[0].startswith("1 of 1 artifact ")


def test_equal_bits_are_said_to_be_equal(view):
    same = elsewhere(view, "rock", 1.0)
    outputs = view.cells[0].trials[0].result.outputs
    same = replace(same, trials=(replace(same.trials[0], result=replace(same.trials[0].result, outputs=outputs)),))
    doc = build_document(replace(view, cells=(*view.cells, same)))
    assert doc["agreement"][0]["bitwise"] is True
    assert agreement_sentences(doc)[0].endswith("(bit for bit the same)")


def test_every_form_tells_it(doc):
    screen = io.StringIO()
    Console(file=screen, width=2000).print(findings(doc))
    for text in (screen.getvalue(), render_markdown(doc), render_html(doc)):
        assert "Agreement across devices" in text
        assert "0.0001 is allowed" in text
    assert "outputs disagree by 0.12 of the largest value with" in render_html(doc)


def test_beside_a_cells_numbers_stands_what_is_odd_about_its_outputs(doc):
    assert answers_beside(doc["cells"][0]) == []
    assert answers_beside(doc["cells"][-1]) == [
        f"outputs disagree by 0.12 of the largest value with {doc['cells'][0]['name']}"
    ]
    output = {"run_difference": 1.5e-7, "trial_difference": None}
    odd = {"tags": ["nondeterministic:y", "outputs_differ"], "outputs": [output]}
    assert answers_beside(odd) == [
        "outputs not the same from run to run, up to 1.5e-07 apart",
        "outputs not the same from trial to trial",
    ]
