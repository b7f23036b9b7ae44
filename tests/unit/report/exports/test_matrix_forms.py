from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from edgesweep.report.exports.blocks import blocks_of, findings_of, opsets_text, produced_of, told_of
from edgesweep.report.exports.document import build_matrix_document
from edgesweep.report.exports.html import render_html
from edgesweep.report.exports.markdown import render_markdown
from edgesweep.report.exports.summary import sentence
from edgesweep.report.exports.tables import matrix_of_variants, matrix_summary, produced_table, variant_findings
from edgesweep.store.records import RunState
from edgesweep.store.variants import WAITING
from edgesweep_proto.trial import Stage
from rich.console import Console


@pytest.fixture
def doc(matrix_of):
    return build_matrix_document(matrix_of())


def printed(doc, width: int) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    for part in (matrix_of_variants, produced_table, variant_findings, matrix_summary):
        console.print(part(doc))
    return stream.getvalue()


def test_it_is_json_with_every_variant_in_planned_order(doc, results):
    assert json.loads(json.dumps(doc, allow_nan=False)) == doc
    assert [cell["name"] for cell in doc["cells"]] == [result.variant.name for result in results]
    assert doc["summary"] == {
        "cells": 13,
        "unfinished": 0,
        "outcomes": {"pass": 4, "failed": 7, "skipped": 1, "lost": 1},
        "artifacts": 4,
        "cached": 1,
        "export_seconds": pytest.approx(1.25 * 10),
        "known": 0,
        "fixed": 0,
    }
    assert doc["incomplete"] is True  # one was lost
    assert "resume" not in doc["cells"][-1]["remedy"]


def test_what_waits_in_an_unfinished_matrix_has_no_outcome_and_is_lost_in_a_complete_one(matrix_of, results):
    waiting = [type(result)(result.variant, Stage.PLAN, WAITING) for result in results[:2]]
    running = build_matrix_document(matrix_of(*waiting, state=RunState.INTERRUPTED))
    assert [(cell["outcome"], cell["stage"], cell["cause"]) for cell in running["cells"]] == [(None, None, None)] * 2
    assert running["summary"]["unfinished"] == 2
    assert "start the same matrix again" in printed(running, 100)
    over = build_matrix_document(matrix_of(*waiting))
    assert [(cell["outcome"], cell["cause"]) for cell in over["cells"]] == [("lost", "not_run")] * 2


def test_one_block_per_model_with_ways_of_exporting_down_and_opsets_across(doc):
    (block,) = blocks_of(doc)
    assert block.opsets == (7, 13, 18, 19, 20, 21)
    assert [line.label for line in block.lines] == [
        "dynamo static",
        "dynamo batch",
        "torchscript batch",
        "torchscript static",
        "dynamo static fp16",
        "dynamo width",
    ]


@pytest.mark.parametrize(
    ("opsets", "text"), [([13], "13"), ([18, 17], "17, 18"), ([13, 17, 18, 19, 20, 23], "13, 17-20, 23")]
)
def test_neighbouring_opsets_are_a_range(opsets, text):
    assert opsets_text(opsets) == text


def test_files_with_the_same_facts_share_a_row_and_differences_are_told(doc):
    lines = {line.label: produced_of(line) for line in blocks_of(doc)[0].lines}
    assert [(entry.mark, entry.opsets, entry.cached) for entry in lines["dynamo static"]] == [
        ("✗", "13 →18", ""),
        ("✓", "18-20", "1 of 3"),
    ]
    (batch,) = lines["dynamo batch"]
    assert (batch.dimensions, batch.domains) == ("x: batch", "com.microsoft")
    wrong, refused, static = lines["torchscript batch"]
    assert wrong.dimensions == refused.dimensions == "not proven; file claims x: batch"
    assert static.dimensions == "not proven"
    assert lines["dynamo static fp16"] == []


def test_findings_gather_what_differs_in_the_opset_only(doc):
    findings = findings_of(doc)
    assert [entry.letter for entry in findings.entries] == list("abcdefghi")
    told = {entry.finding.cause: told_of(entry.finding) for entry in findings.entries}
    (line,) = told["opset_not_honoured"]["opset N was asked for, the exporter produced opset 18"]
    assert (line.label, line.opsets, line.note) == ("dynamo static", "13", "see opset 18")


def test_new_and_known_failures_are_marked(matrix_of, results):
    names = [result.variant.name for result in results]
    doc = build_matrix_document(matrix_of(), known={names[5]: "issue 7"}, new={names[6]})
    assert [cell["name"] for cell in doc["cells"] if cell["known"] or cell["new"]] == names[5:7]
    for text in (printed(doc, 100), render_markdown(doc), render_html(doc)):
        assert "known failure: issue 7" in text
        assert "it passed in the matrix before" in text


def test_a_variant_that_passes_and_is_listed_as_a_failure_is_fixed(matrix_of, results):
    passed = next(result.variant.name for result in results if result.passed)
    failed = next(result.variant.name for result in results if result.cause == "opset_not_honoured")
    doc = build_matrix_document(matrix_of(), known={passed: "issue 8", failed: "issue 7"})
    assert (doc["summary"]["known"], doc["summary"]["fixed"]) == (1, 1)
    for form in (printed(doc, 100), render_markdown(doc), render_html(doc)):
        text = " ".join(form.replace("<wbr>", "").replace("\\", "").split())
        assert "Known failures" in text
        assert "fixed: 1 variant passes that the plan lists as a known failure (issue 8): " in text
        assert "known: 1 variant does not pass, as the plan says (issue 7)" in text


@pytest.mark.parametrize("width", [80, 100])
def test_the_tables_fit_their_width_and_lose_nothing(doc, width):
    text = printed(doc, width)
    assert max(map(len, text.splitlines())) <= width
    squares = text.split("What the files hold")[0]
    assert "✗ " in squares
    assert "→18" in squares
    files = text.split("What the files hold")[1].split("Findings")[0]
    assert "…" not in files
    assert "1.00 MiB" in files
    assert "1.2 s" in files
    assert "com.microsoft" in files
    assert "13 variants: 4 pass, 7 failed, 1 skipped, 1 lost; 4 distinct artifacts; 1 from the cache" in " ".join(
        text.split()
    )
    assert text.rstrip().endswith("Next: start the same matrix again; what is exported comes from the cache")


def test_the_end_names_the_next_command(matrix_of, results):
    failed = printed(build_matrix_document(matrix_of(*results[:2])), 100)
    assert failed.rstrip().endswith("Next: edgesweep export explain detector/dynamo-opset13-static-fp32")
    passed = printed(build_matrix_document(matrix_of(results[1])), 100)
    assert passed.rstrip().endswith("Next: edgesweep report 20261123-201500-nightly-3f2a -o html")


def test_twenty_opsets_are_cut_into_tables_that_fit(matrix_of, results):
    passed = results[1]
    many = [replace(passed, variant=replace(passed.variant, opset=opset)) for opset in range(7, 27)]
    text = printed(build_matrix_document(matrix_of(*many)), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"opset {opset}" in text for opset in range(7, 27))


def test_markdown_says_it_in_words_and_holds_no_markup_of_models(matrix_of, results):
    text = render_markdown(build_matrix_document(matrix_of()))
    (row,) = re.findall(r"^\| dynamo static \| (.+) \|$", text.split("What the files hold")[0], flags=re.MULTILINE)
    assert re.fullmatch(r". \| failed a →18 \| pass \| pass \| pass \| lost \w", row)
    assert "✗" not in text
    evil = type(results[0])(results[0].variant, Stage.CHECK, "wrong_output", "<script>alert(1)</script> | `x`")
    for rendered in (
        render_markdown(build_matrix_document(matrix_of(evil))),
        render_html(build_matrix_document(matrix_of(evil))),
    ):
        assert "<script>alert" not in rendered


def test_the_page_leads_from_every_square_to_an_anchor_of_its_own(doc):
    page = render_html(doc)
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    assert {f"c{place}" for place in range(13)} <= ids
    assert "://" not in page


def test_the_sentence_counts(doc, matrix_of, results):
    assert sentence(doc) == (
        "4 of 13 variants pass; 7 failed, 1 skipped, 1 lost. What passes comes down to 4 distinct artifacts. "
        "1 came from the cache."
    )
    assert sentence(build_matrix_document(matrix_of(results[1]))).startswith("The one variant passes.")
