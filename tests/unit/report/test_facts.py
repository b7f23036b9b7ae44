"""What people read beside the median, in every renderer."""

from __future__ import annotations

import csv
import io

import pytest
from edgesweep.report.conditions import COLUMNS, conditions_of
from edgesweep.report.csv import render_csv
from edgesweep.report.facts import beside_the_median, device_facts, peak_memory
from edgesweep.report.html import render_html
from edgesweep.report.markdown import render_markdown
from edgesweep.report.tables import results_table
from rich.console import Console

MIB = 2**20
TEXTS = (
    "minute 10 is 1.23 times the first",
    "21.5 mJ an inference by pmic",
    "memory varies from 100 MiB to 130 MiB",
    "started from a cold page cache",
    "12 samples of a late warm-up left out",
)


@pytest.fixture
def noted(sample_doc):
    """A cell of the sample that ran for minutes on a warm board with meters."""
    cell = next(cell for cell in sample_doc["cells"] if cell.get("latency_s"))
    cell["sustained"] = {"minutes_s": [0.001] * 10, "ratio": 1.2345}
    cell["energy"] = {"source": "pmic", "rails": ["VDD"], "joules_per_inference": 0.0215}
    cell["memory_bytes"] |= {"steady_peak": None, "ranges": {"steady_peak": [100 * MIB, 130 * MIB]}}
    cell["cold_start_s"] |= {"page_cache": "cold", "provider_cache": "none"}
    cell["course"] = {"trials": {"warmup": 1}, "left_out": 12}
    cell["tags"] = ["warmup_left_out", "memory_varies"]
    return sample_doc, cell


def test_a_cell_tells_what_no_column_has_room_for(noted):
    _, cell = noted
    assert tuple(beside_the_median(cell)) == TEXTS
    assert beside_the_median({"cold_start_s": {"page_cache": "warm", "provider_cache": "primed"}}) == [
        "started with the provider's cache primed"
    ]
    assert beside_the_median({}) == []


def test_memory_that_varies_is_no_figure_and_no_other_phase_stands_in(noted):
    _, cell = noted
    assert peak_memory(cell) is None
    assert peak_memory({"memory_bytes": {"steady_peak": None, "first_run_peak": 5}}) == 5


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_form_for_people_tells_it(noted, width):
    doc, _ = noted
    console = Console(file=io.StringIO(), width=width)
    console.print(results_table(doc))
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    for page in (" ".join(shown.split()), render_markdown(doc), render_html(doc)):
        for text in TEXTS:
            assert text in page.replace("\\", "").replace("<wbr>", "")
    assert "memory_varies" not in render_html(doc).replace("<wbr>", "")


def test_the_table_of_figures_has_them(noted):
    doc, cell = noted
    rows = csv.DictReader(io.StringIO(render_csv(doc)))
    figures = {row["metric"]: row["value"] for row in rows if row["cell"] == cell["name"]}
    assert (figures["sustained_ratio"], figures["energy_per_inference"]) == ("1.2345", "0.0215")
    assert "memory_steady_peak" not in figures


def test_a_device_tells_its_clusters_and_what_can_be_fixed():
    facts = dict(
        device_facts(
            {
                "facts": {
                    "clusters": [{"cpus": [4, 5], "max_hz": 2.4e9}, {"cpus": [0, 1, 2, 3], "max_hz": None}],
                    "clock_control": "cpufreq",
                    "unified_memory": True,
                    "memory_total_bytes": 8 * 2**30,
                }
            }
        )
    )
    assert facts["clusters"] == "CPUs 4, 5 up to 2.40 GHz; CPUs 0, 1, 2, 3"
    assert facts["clocks"] == "can be fixed through cpufreq"
    assert facts["memory"] == "8.00 GiB, shared with the accelerator"


def test_the_conditions_of_a_measurement_are_one_line(sample_doc):
    cells = [cell for cell in sample_doc["cells"] if cell.get("latency_s")][:2]
    busy = cells[0]
    busy["latency_s"]["half_width"] = 0.0042
    busy["course"] = {"trials": {"flat": 2, "warmup": 0, "slowdown": 1, "unsteady": 0}}
    busy["environment"] = {
        "gates": [
            {"name": "idle", "passed": True, "waited_s": 0.2},
            {"name": "thermal", "passed": False, "waited_s": 300.0},
        ],
        "trace": {
            "temperature_max_c": {"cpu": 71.4, "gpu": 60.0},
            "frequency_start_hz": {"policy0": 2.4e9},
            "frequency_min_hz": {"policy0": 1.8e9},
        },
        "accounting": {"runqueue_share": 0.0123, "foreign_cores": 0.4},
    }
    busy["trials"] = [
        {
            "threads": {"pinned": True, "main_cpus": [2], "pool_cpus": ["3"]},
            "session": {"call": "raw_binding"},
        }
    ]
    (line,) = conditions_of(cells)  # nothing is known of the other one
    full = line.texts
    assert full == (
        "2 flat, 1 slowdown", "0.420", "1.23", "0.40", "idle, not thermal after 300 s", "71", "75.0", "CPUs 2, 3", "raw_binding",
    )  # fmt: skip
    assert len(full) == len(COLUMNS)
    page = render_html(sample_doc)
    for text in full:
        assert f"<td>{text}</td>" in page


def test_a_large_run_shows_some_lines_and_counts_the_others(sample_doc):
    cell = next(cell for cell in sample_doc["cells"] if cell.get("latency_s"))
    cell["course"] = {"trials": {"flat": 1}}
    doc = {**sample_doc, "cells": [{**cell, "name": f"{cell['name']}{number}"} for number in range(230)]}
    page = render_html(doc)
    assert page.count("<td>1 flat</td>") == 200
    assert "and 30 cells more" in page


def test_a_run_that_measured_nothing_has_no_conditions(sample_doc):
    doc = {**sample_doc, "cells": [cell for cell in sample_doc["cells"] if not cell.get("latency_s")]}
    assert conditions_of(doc["cells"]) == []
    assert 'id="conditions"' not in render_html(doc)
