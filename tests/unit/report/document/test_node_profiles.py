"""Times of single nodes: over the trials of a cell, by operator, and in a line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.report.document import build_document
from edgesweep.report.html import render_html
from edgesweep.report.node_profiles import node_line, node_profile, operator_times, profile_view
from edgesweep.report.placement_texts import partial_cells, partial_text
from edgesweep.report.units import NOTHING

XNNPACK, CPU = "XnnpackExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def cell(view):
    """The first measured cell of the view: three trials, in which the convolution takes 0.6, 0.7 and 0.8 ms."""
    return next(found for found in build_document(view)["cells"] if found["node_profile"])


def test_each_node_has_its_median_over_the_trials(view, cell):
    profile = cell["node_profile"]
    measured = next(record for record in view.cells if record.cell.name == cell["name"])
    assert (profile["trials"], profile["runs"]) == (len(measured.trials), 5)
    assert [node["name"] for node in profile["nodes"]] == ["conv", "soft"]
    conv = sorted(trial.result.node_profile.nodes[0].seconds for trial in measured.trials)
    assert profile["nodes"][0]["seconds"] == pytest.approx(conv[len(conv) // 2])
    assert profile["total_s"] == pytest.approx(profile["nodes"][0]["seconds"] + 2e-4 + 1e-5)
    assert (profile["left_out"], profile["left_out_s"]) == (3, 1e-5)
    assert (profile["nodes"][0]["parameter_bytes"], profile["nodes"][0]["holds"]) == (1200, [])


def test_a_cell_that_was_not_asked_has_none(view):
    def silent(trial):
        return replace(trial, result=replace(trial.result, node_profile=None))

    cells = [replace(record, trials=tuple(map(silent, record.trials))) for record in view.cells]
    doc = build_document(replace(view, cells=tuple(cells)))
    assert {cell["node_profile"] for cell in doc["cells"]} == {None}
    assert node_profile(()) is None
    assert 'id="nodes"' not in render_html(doc)


def test_operators_are_told_by_provider_slowest_first(cell):
    times = operator_times(cell["node_profile"])
    assert [(time.operator, time.provider, time.nodes) for time in times] == [("Conv", XNNPACK, 1), ("Softmax", CPU, 1)]
    # Of all nodes: those that are left out have their part too.
    assert sum(time.share for time in times) < 1
    line = node_line(cell)
    assert line.startswith("slowest operators: Conv 7")
    assert "% on xnnpack, Softmax " in line
    assert node_line({**cell, "node_profile": None}) == ""


def test_the_page_shows_operators_and_nodes_with_their_provider(view, cell):
    shown = profile_view(cell)
    assert shown is not None
    assert [row[:2] for row in shown["operators"]] == [("Conv", "xnnpack"), ("Softmax", "cpu")]
    assert shown["more_nodes"] == 3
    html = render_html(build_document(view))
    assert 'id="nodes"' in html
    assert "By operator" in html
    assert 'id="placement"' in html


def test_only_a_partial_cell_says_its_shares(cell):
    assert partial_text(cell) == "xnnpack 60 of 65 nodes (90 % of the time), cpu 5 nodes (10 %)"
    assert partial_text({**cell, "tags": []}) == ""
    assert partial_text({**cell, "placement": None}) == ""


def test_the_page_has_what_each_provider_of_a_partial_cell_has(cell):
    (partial,) = partial_cells([cell, {**cell, "name": "copy", "same_as": cell["name"]}, {**cell, "tags": []}])
    assert (partial.name, partial.method) == (cell["name"], "assignment")
    assert [row[:5] for row in partial.shares] == [
        ("xnnpack", "60", "92 %", NOTHING, "90 %"),
        ("cpu", "5", "8 %", NOTHING, "10 %"),
    ]
