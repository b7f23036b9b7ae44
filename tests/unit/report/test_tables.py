from __future__ import annotations

import io

import pytest
from edgesweep.report.device_tables import device_table, probed_table
from edgesweep.report.tables import (
    broken_name,
    findings,
    matrix_table,
    results_table,
    runs_table,
    summary_line,
)
from rich.console import Console


def _print(content, width: int = 100, *, terminal: bool = False) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False).print(content)
    return stream.getvalue()


ALL = (matrix_table, results_table, findings, summary_line)


@pytest.mark.parametrize("table", ALL)
@pytest.mark.parametrize("width", [60, 80, 100, 180])
def test_nothing_is_wider_than_asked_and_never_wider_than_100_off_a_terminal(sample_doc, table, width):
    lines = _print(table(sample_doc), width).splitlines()
    assert max(map(len, lines)) <= min(width, 100)


@pytest.mark.parametrize("table", ALL)
def test_nothing_is_cut_off(sample_doc, table):
    assert not [line for line in _print(table(sample_doc), 80).splitlines() if line.rstrip().endswith("…")]


def test_matrix_at_100_columns(sample_doc, snapshot):
    assert _print(matrix_table(sample_doc)) == snapshot


def test_results_at_100_columns(sample_doc, snapshot):
    assert _print(results_table(sample_doc)) == snapshot


def test_findings_at_100_columns(sample_doc, snapshot):
    assert _print(findings(sample_doc)) == snapshot


def test_matrix_says_how_many_of_several_shapes_failed(sample_doc):
    text = _print(matrix_table(sample_doc))
    assert "1/2 failed" in text
    assert "1/2 unfinished" in text
    assert "1/2 failed: one of the two shapes or sessions of that variant failed" in text.replace("\n", " ")


def test_a_wide_matrix_is_cut_between_opsets(make_doc):
    doc = make_doc(("mobile-cnn",), tuple(range(11, 24)))
    text = _print(matrix_table(doc), 80)
    for opset in range(11, 24):
        assert f"opset {opset}" in text


def test_results_carry_spread_n_unit_and_verdict(sample_doc):
    text = _print(results_table(sample_doc))
    assert "± is the median absolute deviation" in text
    row = next(line for line in text.splitlines() if "dynamo-opset13-batch " in line)
    assert row.split() == ["dynamo-opset13-batch", "0.434", "0.009", "n<1000", "240", "20.1", "trusted"]
    header = text.splitlines()[2:4]
    assert header[0].split() == ["median", "±", "p99", "peak"]
    assert header[1].split() == ["model,", "variant", "ms", "ms", "ms", "n", "MiB", "trust"]


def test_results_without_numbers(sample_doc):
    for cell in sample_doc["cells"]:
        cell["latency_s"] = None
    assert _print(results_table(sample_doc)) == "Nothing was measured.\n"


def test_findings_name_cells_whole_up_to_a_limit(sample_doc):
    text = _print(findings(sample_doc))
    assert "failed at check: opset_not_honoured  27 cells" in text
    assert "-> ask for the opset that was produced, or use the other exporter" in text
    assert "and 21 more: edgesweep report 20261123-0914-7f3a -o md" in text
    assert "`edgesweep run --resume 20261123-0914-7f3a`" in text
    assert text.index("failed at") < text.index("fallback at") < text.index("lost:") < text.index("skipped:")


def test_all_passing_has_no_findings(sample_doc):
    sample_doc["cells"] = [cell for cell in sample_doc["cells"] if cell["outcome"] == "pass"]
    assert _print(findings(sample_doc)) == "No findings: every cell passes.\n"
    assert "Next: edgesweep report 20261123-0914-7f3a -o html" in _print(summary_line(sample_doc))


def test_summary_counts_every_cell_once(sample_doc):
    text = _print(summary_line(sample_doc)).replace("\n", " ")
    assert "162 cells: 88 pass, 15 fallback, 41 failed, 12 skipped, 4 lost, 2 unfinished" in text
    assert "took 3 min 12 s" in text
    assert "Next: edgesweep run --resume 20261123-0914-7f3a" in text


def test_markup_in_names_is_text(make_doc):
    doc = make_doc(("[red]evil[/red]", "[/]"), (18,))
    for table in ALL:
        text = _print(table(doc))
    assert "[red]evil[/red]" in _print(matrix_table(doc))
    assert "[/]" in text or "[/]" in _print(results_table(doc))


def test_names_break_after_slashes_and_stay_whole():
    name = "pi5/mobile-cnn/dynamo-opset18-batch-fp32/1.23.2/cpu/example/t1"
    lines = broken_name(name, 40, indent=4)
    assert all(len(line) <= 40 for line in lines)
    assert "".join(line.strip() for line in lines) == name
    assert all(line.endswith("/") for line in lines[:-1])


def test_list_of_runs():
    run = {
        "id": "a1",
        "name": "nightly",
        "started": 1795600000.0,
        "state": "interrupted",
        "cells": 10,
        "outcomes": {"failed": 1, "pass": 7},
        "open": 2,
    }
    text = _print(runs_table({"runs": [run]}))
    assert "a1   nightly  2026-11-25 09:46  interrupted     10  7 pass, 1 failed, 2 unfinished" in text


def test_device_with_and_without_runtimes(sample_doc):
    device = sample_doc["devices"][1]
    text = _print(device_table(device))
    for part in ("Raspberry Pi 5", "Cortex-A76, 4 CPUs", "8.00 GiB", "now", "52 °C hottest", "1.23.2", "2.10 µs"):
        assert part in text
    assert "no runtime: add one with" in _print(device_table({**device, "runtimes": []}))
    broken = {**device["runtimes"][0], "fault": "import failed"}
    assert "cannot be used: import failed" in _print(device_table({**device, "runtimes": [broken]}))


def test_a_probed_runtime_tells_of_its_plug_ins_and_what_they_take(sample_doc):
    ran = {"name": "LabExecutionProvider", "nodes": 1, "message": "", "precisions": ["fp32", "fp16"], "plugin": "Lab"}
    good = {"name": "LabExecutionProvider", "distribution": "onnxruntime-ep-lab", "version": "1.0", "library": "lab.so"}
    bad = {**good, "name": "QNNExecutionProvider", "distribution": "", "version": ""}
    plugins = [
        {**good, "devices": ["LabExecutionProvider NPU Lab"], "fault": ""},
        {**bad, "devices": [], "fault": "the process died of SIGSEGV"},
    ]
    runtime = sample_doc["devices"][1]["runtimes"][0]
    text = _print(probed_table({**runtime, "providers": [*runtime["providers"], ran], "plugins": plugins}))
    for part in (
        "fp32, fp16",
        "onnxruntime-ep-lab 1.0",
        "LabExecutionProvider NPU Lab",
        "the agent's settings",
        "SIGSEGV",
    ):
        assert part in text
    assert "(not usable: qnn)" in text
    assert "plug-in" not in _print(probed_table(runtime))
