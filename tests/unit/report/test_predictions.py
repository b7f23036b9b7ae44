"""Predicted failures as every form of the report tells them."""

from __future__ import annotations

import copy
import csv
import io

import pytest
from edgesweep.report.csv import render_csv
from edgesweep.report.device_tables import device_table
from edgesweep.report.html import render_html
from edgesweep.report.markdown import render_markdown
from edgesweep.report.outcomes import group_findings
from edgesweep.report.predictions import prediction_sentences, prediction_words
from edgesweep.report.tables import findings, matrix_table
from rich.console import Console

OPSET = {
    "cause": "opset_unsupported",
    "message": "the artifact has opset 20, and onnxruntime 1.23.2 takes up to 19",
    "state": "proven",
    "by": "",
    "limit": "opset 19",
}
TYPE = {
    "cause": "unsupported_op",
    "message": "the artifact holds int4, and onnxruntime 1.23.2 has no such element type",
    "state": "predicted",
    "by": "",
    "limit": "type int4",
}


@pytest.fixture
def foreseen(make_doc):
    """Opset 20 proves the limit for 21 and 22; opset 23 was not tried."""
    doc = copy.deepcopy(make_doc(("mobile-cnn",), (18, 20, 21, 22, 23)))
    place = next((cell["device"], cell["runtime"], cell["providers"]) for cell in doc["cells"])
    doc["cells"] = [
        cell
        for cell in doc["cells"]
        if (cell["device"], cell["runtime"], cell["providers"]) == place and cell["shape"] == doc["cells"][0]["shape"]
    ]
    proof = next(cell for cell in doc["cells"] if cell["opset"] == 20)
    for cell in doc["cells"]:
        cell["prediction"] = None
        if cell is proof:
            cell |= {"outcome": "failed", "stage": "load", "cause": "opset_unsupported", "message": "too old"}
            cell |= {"prediction": {**OPSET, "by": proof["name"]}, "latency_s": None, "verdict": None, "same_as": None}
        elif cell["opset"] > 19:
            why = {**OPSET, "by": proof["name"]} if cell["opset"] < 23 else TYPE
            cell |= {"outcome": "skipped", "stage": "load", "cause": "predicted_failure", "message": "predicted"}
            cell |= {"prediction": why, "latency_s": None, "verdict": None, "same_as": None}
    return doc


def of_opset(doc, opset):
    return [cell for cell in doc["cells"] if cell["opset"] == opset]


def printed(content) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100, color_system=None, legacy_windows=False).print(content)
    return stream.getvalue()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_words_of_a_cell(foreseen):
    proof = of_opset(foreseen, 20)[0]
    assert prediction_words(proof) == "as predicted"
    assert prediction_words(of_opset(foreseen, 21)[0]) == "predicted opset_unsupported, proven"
    assert prediction_words(of_opset(foreseen, 23)[0]) == "predicted unsupported_op, not tried"
    assert prediction_words(of_opset(foreseen, 18)[0]) == ""
    proof["prediction"]["state"] = "refuted"
    assert prediction_words(proof) == "not opset_unsupported as predicted"


def test_a_sentence_for_each_limit(foreseen):
    skipped = len(of_opset(foreseen, 21)) + len(of_opset(foreseen, 22))
    proof = of_opset(foreseen, 20)[0]
    opset, types = prediction_sentences(foreseen["cells"])
    assert "takes up to opset 19" in opset
    assert f"proven by {proof['name']}; " in opset
    assert f"{skipped + len(of_opset(foreseen, 20)) - 1} cells skipped for it" in opset
    assert "lacks the type int4" in types
    assert "without a try" in types


def test_a_refuted_prediction_is_told_although_its_cells_pass(foreseen):
    for cell in foreseen["cells"]:
        if cell["prediction"]:
            cell |= {"outcome": "pass", "prediction": {**cell["prediction"], "state": "refuted", "by": cell["name"]}}
    sentence = prediction_sentences(foreseen["cells"])[0]
    assert "refuted by" in sentence
    assert "skipped for it" not in sentence.replace("none was skipped for it", "")
    for text in (printed(findings(foreseen)), render_markdown(foreseen), render_html(foreseen)):
        assert "refuted by" in flat(text)


def test_skipped_cells_are_a_finding_by_what_was_predicted(foreseen):
    titles = {group.title: group for group in group_findings(foreseen)}
    proven = titles["skipped: predicted opset_unsupported, proven"]
    assert of_opset(foreseen, 20)[0]["name"] in proven.text
    assert list(proven.by_message) == [OPSET["message"]]
    assert "skipped: predicted unsupported_op, not tried" in titles
    assert "failed at load: opset_unsupported" in titles


def test_every_form_says_so_in_words(foreseen):
    skipped = "predicted opset_unsupported, proven"
    assert skipped in flat(printed(findings(foreseen)))
    markdown = render_markdown(foreseen).replace("\\", "")
    assert f"skipped: {skipped}" in markdown
    assert "failed: opset_unsupported (as predicted)" in markdown
    assert "## Predicted failures" in markdown
    page = render_html(foreseen).replace("<wbr>", "")
    assert skipped in page
    assert "opset_unsupported, as predicted" in page
    assert '<section id="predictions">' in page


def test_the_terminal_s_matrix_marks_them_and_says_what_the_mark_means(foreseen):
    text = printed(matrix_table(foreseen))
    assert "predicted" in text.split("limits say")[0]
    assert "predicted: skipped, since the runtime's own limits say" in flat(text)
    assert max(map(len, text.splitlines())) <= 100


def test_the_table_has_cause_and_state(foreseen):
    rows = list(csv.DictReader(io.StringIO(render_csv(foreseen))))
    by_name = {row["cell"]: row for row in rows}
    skipped, plain = by_name[of_opset(foreseen, 22)[0]["name"]], by_name[of_opset(foreseen, 18)[0]["name"]]
    assert (skipped["predicted"], skipped["prediction"]) == ("opset_unsupported", "proven")
    assert (plain["predicted"], plain["prediction"]) == ("", "")


def test_a_device_shows_its_runtimes_limits(foreseen):
    device = copy.deepcopy(foreseen["devices"][0])
    for runtime in device["runtimes"]:
        runtime |= {"max_opset": 19, "max_ir_version": 9, "types": ["float32", "int8"], "domains": ["ai.onnx"]}
        runtime["wheel_tag"] = "cp311-cp311-manylinux_2_36_aarch64"
    text = flat(printed(device_table(device)))
    assert " 19 9" in text
    assert "takes the types float32, int8" in text
    assert "knows the operators of ai.onnx" in text
    assert "takes wheels up to cp311-cp311-manylinux_2_36_aarch64" in text
    foreseen["devices"] = [device]
    assert "takes opsets up to 19; IR versions up to 9" in render_html(foreseen)
