from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from edgesweep.report.csv import COLUMNS, METRICS, render_csv
from edgesweep.report.document import build_document
from edgesweep.report.markdown import render_markdown


@pytest.fixture
def doc(view):
    return build_document(view)


@pytest.fixture
def markdown(doc):
    return render_markdown(doc)


def rows_of(doc):
    return list(csv.DictReader(io.StringIO(render_csv(doc))))


def test_csv_has_a_row_per_cell_and_metric(doc):
    rows = rows_of(doc)
    assert {row["cell"] for row in rows} == {cell["name"] for cell in doc["cells"]}
    first = {row["metric"]: row for row in rows if row["cell"] == doc["cells"][0]["name"]}
    assert (float(first["latency_median"]["value"]), first["latency_median"]["unit"]) == (
        doc["cells"][0]["latency_s"]["median"],
        "s",
    )
    assert float(first["latency_ci95_low"]["value"]) == doc["cells"][0]["latency_s"]["ci95"][0]
    assert (first["memory_steady_peak"]["value"], first["memory_steady_peak"]["unit"]) == ("2001", "B")
    assert first["nodes_CPUExecutionProvider"]["value"] == "5"
    assert "latency_p99" not in first
    assert (first["latency_n"]["providers"], first["latency_n"]["verdict"]) == ("xnnpack+cpu", "doubtful")


def test_csv_keeps_a_cell_without_figures(doc):
    (row,) = [row for row in rows_of(doc) if row["cell"] == doc["cells"][4]["name"]]
    assert (row["outcome"], row["cause"], row["metric"], row["value"]) == ("skipped", "excluded", "", "")


def test_every_metric_of_the_csv_is_a_field_of_the_document(doc):
    measured = {row["metric"] for row in rows_of(doc)}
    assert {metric.name for metric in METRICS} - measured == {"latency_p99"}  # 450 samples are too few for it


def test_csv_survives_odd_names(doc):
    doc["cells"][0]["model"] = 'a "model", with\nlines'
    assert rows_of(doc)[0]["model"] == 'a "model", with\nlines'


def test_the_page_names_the_csvs_columns():
    page = Path(__file__).parents[4].joinpath("docs", "result-document.md").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"`(\w+)`", page.split("## As a table")[1]) if name in COLUMNS] == list(COLUMNS)


def test_markdown_tells_the_whole_run(markdown, doc):
    assert markdown.startswith("# nightly: `20261123-201500-nightly-3f2a`\n\n2 of 7 cells pass;")
    for heading in ("## Matrix", "## Results", "## What did not pass", "## Devices"):
        assert heading in markdown
    assert "| pass 1.00 ms (doubtful) |" in markdown
    assert "failed: opset_not_honoured" in markdown
    assert "1.00 ms ±" in markdown
    assert "needs n=662" in markdown
    assert f"measured once, as {doc['cells'][0]['name']}" in markdown
    assert "| pi5 | Raspberry Pi 5 | Cortex-A76, 4 CPUs | 8.00 GiB |" in markdown


def test_markdown_tells_reasons_that_differ_in_a_figure_once(doc):
    cells = [cell for cell in doc["cells"] if cell["latency_s"]]
    for cell, share in zip(cells, ("19.2", "57.3"), strict=False):
        cell["reasons"] = [f"noisy: the worker waited for a CPU {share}% of the time"]
    said = [line for line in render_markdown(doc).splitlines() if line.startswith("- noisy: the worker waited")]
    assert said == ["- noisy: the worker waited for a CPU 19.2 to 57.3% of the time (2 cells)"]


def test_markdown_groups_failures_by_cause_with_the_remedy(markdown, doc):
    findings = markdown.split("## What did not pass")[1].split("## Devices")[0]
    titles = re.findall(r"^### (.*) \(1 cell\)$", findings, flags=re.MULTILINE)
    assert sorted(titles) == [
        "failed at check: opset_not_honoured",
        "failed at first_run: crash",
        "fallback at placement: no_nodes",
        "lost: device_unreachable",
        "skipped: excluded",
    ]
    assert findings.count("Remedy: ") == 5
    for cell in doc["cells"][2:]:
        assert f"`{cell['name']}`" in findings


def test_markdown_tables_are_rectangular(markdown):
    for table in re.findall(r"(?:^\|.*\|$\n?)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_text_of_others_cannot_become_markup(view):
    doc = build_document(view)
    doc["cells"][0]["model"] = "a|b <img src=x> **bold** [link](x) `code`"
    doc["cells"][2]["message"] = "# heading\n| cell"
    text = render_markdown(doc)
    assert r"a\|b \<img src=x\> \*\*bold\*\* \[link\](x) \`code\`" in text
    assert r"- \# heading \| cell" in text


def test_a_run_that_goes_on_says_so(unfinished_view):
    text = render_markdown(build_document(unfinished_view))
    assert "state: interrupted" in text
    assert f"edgesweep run --resume {unfinished_view.run.id}" in text


def test_a_run_without_cells_is_still_a_report(view):
    doc = build_document(view) | {"cells": [], "devices": []}
    assert "The run has no cell." in render_markdown(doc)
    assert render_csv(doc) == ",".join(COLUMNS) + "\n"
