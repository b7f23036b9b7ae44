"""Known failures as every form of the report tells them: those that still fail, and those that pass by now."""

from __future__ import annotations

import csv
import io

import pytest
from edgesweep.report.csv import render_csv
from edgesweep.report.html import render_html
from edgesweep.report.known import known_counts, known_sentences
from edgesweep.report.markdown import render_markdown
from edgesweep.report.outcomes import sentence
from edgesweep.report.tables import findings, results_table, summary_line
from rich.console import Console

FIXED = "fixed: 1 cell passes that the plan lists as a known failure (issue 8): "
KNOWN = "known: 2 cells do not pass, as the plan says (issue 7), which fail_on leaves out: "


@pytest.fixture
def marked(make_doc):
    """Two failures that the plan knows of, and a pass that it still calls a failure."""
    doc = make_doc(("segmenter",), (18,))
    failed = [cell for cell in doc["cells"] if cell["outcome"] == "failed"][:2]
    passed = next(cell for cell in doc["cells"] if cell["outcome"] == "pass" and cell["latency_s"])
    for cell in failed:
        cell |= {"tags": ["known"], "known": "issue 7"}
    passed |= {"tags": [*(passed.get("tags") or []), "fixed"], "known": "issue 8"}
    return doc, failed, passed


def printed(*contents) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=100, color_system=None, legacy_windows=False)
    for content in contents:
        console.print(content)
    return " ".join(stream.getvalue().split())


def test_one_sentence_per_state_and_reason_and_the_fixed_ones_first(marked):
    doc, failed, passed = marked
    assert known_sentences(doc["cells"]) == [
        f"{FIXED}{passed['name']}; take the entry out of known_failures, so that a relapse counts again",
        f"{KNOWN}{failed[0]['name']} and 1 more",
    ]
    assert known_counts(doc["cells"]) == "2 known failures, 1 fixed"
    assert "2 known failures, 1 fixed." in sentence(doc)


def test_a_reason_is_not_needed(marked):
    doc, failed, passed = marked
    failed[1] |= {"tags": [], "known": None}
    failed[0]["known"] = passed["known"] = ""
    assert known_counts(doc["cells"][:0]) == ""
    fixed, known = known_sentences([passed, failed[0]])
    assert fixed.startswith(f"fixed: 1 cell passes that the plan lists as a known failure: {passed['name']}; take")
    assert known == f"known: 1 cell does not pass, as the plan says, which fail_on leaves out: {failed[0]['name']}"
    assert known_counts([passed]) == "1 known failure fixed"


def test_the_terminal(marked):
    doc, _, _ = marked
    told = printed(findings(doc), summary_line(doc))
    assert "Known failures fixed: 1 cell passes" in told
    assert "issue 7" in told
    assert ", 2 known " in told
    assert "; 2 known failures, 1 fixed" in told
    assert " fixed" in printed(results_table(doc))


def test_markdown(marked):
    doc, _, _ = marked
    told = render_markdown(doc)
    assert "## Known failures" in told
    assert "- fixed: 1 cell passes" in told
    assert "(known)" in told
    assert "fixed)" in told


def test_html(marked):
    doc, _, _ = marked
    told = render_html(doc)
    assert 'id="known"' in told
    assert "known failure: issue 7" in told
    assert "fixed: 1 cell passes" in told


def test_csv(marked):
    doc, failed, passed = marked
    rows = list(csv.DictReader(io.StringIO(render_csv(doc))))
    assert {(row["cell"], row["known"]) for row in rows if row["known"]} == {
        (failed[0]["name"], "known"),
        (failed[1]["name"], "known"),
        (passed["name"], "fixed"),
    }


def test_nothing_is_said_where_the_plan_knows_of_nothing(make_doc):
    doc = make_doc(("segmenter",), (18,))
    assert known_sentences(doc["cells"]) == []
    assert "Known failures" not in render_markdown(doc)
    assert 'id="known"' not in render_html(doc)
