"""The matrix of a run in all its forms, and the advice drawn from it."""

from __future__ import annotations

import io
import json
import re

import pytest
from edgesweep.plan.selection import matcher
from edgesweep.report.compat.advice import Per, Why, advise, usual_per
from edgesweep.report.compat.advice_text import headline, hole_sentences, rows_of
from edgesweep.report.compat.document import compat_document
from edgesweep.report.compat.html import render_html
from edgesweep.report.compat.legend import columns_of, legend_of, said_of, sentence
from edgesweep.report.compat.markdown import render_markdown
from edgesweep.report.compat.matrix import Place, Recipe, Row, build_compat, lines_of, not_everywhere
from edgesweep.report.compat.terminal import advice_table, compat_findings, compat_summary, compat_table
from rich.console import Console

DESK = Place("quickstart", "1.23.2", ("cpu",))
KITCHEN = Place("pi5-kitchen", "1.23.2", ("cpu",))
XNNPACK = Place("pi5-kitchen", "1.23.2", ("xnnpack", "cpu"))


def printed(doc, width: int = 100, *, wide: bool = False, terminal: bool = False) -> str:
    matrix = build_compat(doc)
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, force_terminal=terminal, color_system=None)
    for part in (compat_table(matrix, wide=wide), compat_findings(matrix), advice_table(matrix, advise(matrix))):
        console.print(part)
    console.print(compat_summary(matrix))
    return stream.getvalue()


def only(doc, expression: str):
    keep = matcher(expression)
    return doc | {"cells": [cell for cell in doc["cells"] if keep(cell["name"])]}


def test_every_cell_is_in_one_square_and_rows_and_columns_are_those_of_the_plan(sample_doc):
    matrix = build_compat(sample_doc)
    assert matrix.places == (DESK, KITCHEN, XNNPACK)
    assert len(matrix.rows) == 3 * 2 * 3 * 2
    held = [cell["name"] for square in matrix.squares.values() for cell in square.cells]
    assert sorted(held) == sorted(cell["name"] for cell in sample_doc["cells"])


def test_a_square_is_called_after_the_worst_of_its_cells(sample_doc):
    matrix = build_compat(sample_doc)
    square = matrix.squares[Row("segmenter", Recipe("dynamo", 23, "batch", "fp32")), KITCHEN]
    assert (square.outcome, square.cause, square.counts) == ("failed", "oom", {"failed": 1, "lost": 1})
    assert said_of(square) == "1/2 oom"
    assert not square.runs
    both = matrix.squares[Row("mobile-cnn", Recipe("dynamo", 13, "batch", "fp32")), DESK]
    assert (both.outcome, both.share, both.runs) == ("pass", "", True)
    assert both.measured["shape"] == "example"


def test_what_the_plan_rules_out_does_not_stop_a_variant_from_running(sample_doc):
    first, second = [cell for cell in sample_doc["cells"] if "mobile-cnn/dynamo-opset13-batch" in cell["name"]][:2]
    second |= {"outcome": "skipped", "stage": "plan", "cause": "excluded"}
    (square,) = build_compat(sample_doc | {"cells": [first, second]}).squares.values()
    assert (square.outcome, square.runs) == ("skipped", True)
    second |= {"prediction": {"cause": "opset_unsupported", "state": "proven", "by": "x", "message": "m", "limit": "l"}}
    (square,) = build_compat(sample_doc | {"cells": [first, second]}).squares.values()
    assert (square.outcome, square.cause, square.runs) == ("skipped", "opset_unsupported", False)


def test_a_pass_that_is_partly_elsewhere_is_told_in_every_form(sample_doc):
    doc = only(sample_doc, "mobile-cnn and dynamo-opset18-static and pi5")
    doc["cells"][1]["tags"] = ["partial"]
    matrix = build_compat(doc)
    assert [square["partial"] for square in compat_document(matrix, advise(matrix))["squares"]] == [False, True]
    assert matrix.at(XNNPACK)[0].runs
    assert "✓ pass, partial" in printed(doc)
    assert "partial: some nodes ran on another provider" in printed(doc)
    narrow = printed(
        only(sample_doc, "pi5") | {"cells": [cell for cell in sample_doc["cells"] if "pi5" in cell["name"]]}, 60
    )
    assert "✓ partial" in narrow
    assert "(partial: cpu 65, xnnpack 12)" in render_markdown(matrix, advise(matrix))
    page = render_html(matrix, advise(matrix)).replace("<wbr>", "")
    assert "pass, partial</b>" in page
    assert "cpu 65, xnnpack 12" in page


def test_a_rewritten_variant_is_a_row_of_its_own(sample_doc):
    cell = sample_doc["cells"][0]
    other = cell | {"name": cell["name"].replace("-fp32/", "-fp32+ir8+onnxslim/")}
    rows = build_compat(sample_doc | {"cells": [cell, other]}).rows
    assert [row.recipe.extras for row in rows] == ["", "ir8+onnxslim"]
    assert rows[1].name == other["name"].split("/", 1)[1].rsplit("/", 4)[0]


def test_neighbouring_opsets_that_ended_alike_share_a_line(make_doc):
    lines = lines_of(build_compat(make_doc(("mobile-cnn",), (17, 18, 20, 23))))
    assert [(line.way, line.opsets) for line in lines if "static" in line.way] == [
        ("dynamo static", (17, 18, 20, 23)),
        ("torchscript static", (17, 18, 20)),
        ("torchscript static", (23,)),
    ]


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("wide", [False, True])
def test_the_terminal_form_fits_and_loses_nothing(sample_doc, width, wide):
    text = printed(sample_doc, width, wide=wide)
    assert max(map(len, text.splitlines())) <= width
    matrix = build_compat(sample_doc)
    assert all(f"[{column.number}]" in text for column in columns_of(matrix))
    assert all(f"\n{entry.letter}  {entry.finding.outcome}" in text for entry in legend_of(matrix).entries)
    table = " ".join(text.split("Findings")[0].split())
    assert all(mark in table for mark in ("✓ pass", "✗ failed", "↷ fallback", "? lost", "- skipped", "… unfinished"))


def test_columns_that_do_not_fit_make_further_tables(make_doc):
    doc = make_doc(("mobile-cnn",), (18,))
    cells = [
        cell | {"runtime": f"1.{minor}.0", "name": cell["name"].replace("/1.23.2/", f"/1.{minor}.0/")}
        for minor in range(10, 30)
        for cell in doc["cells"]
        if cell["device"] == "quickstart"
    ]
    text = printed(doc | {"cells": cells}, 80)
    assert max(map(len, text.splitlines())) <= 80
    tables = text.split("✓ pass   ")[0]
    assert all(f"1.{minor}.0" in tables for minor in range(10, 30))
    assert tables.count("dynamo static  18") > 1
    once = printed(doc | {"cells": cells}, 400, terminal=True)
    assert once.split("✓ pass   ")[0].count("dynamo static  18") == 1


def test_causes_are_told_in_full_where_they_fit(sample_doc):
    doc = only(sample_doc, "segmenter and torchscript and static")
    assert "✗ opset_not_honoured a" in printed(doc, 200, terminal=True)
    narrow = printed(doc, 60)
    assert "✗ opset_not_honoured a" not in narrow
    assert "✗ a" in narrow


def test_matrix_at_100_columns(sample_doc, snapshot):
    assert printed(only(sample_doc, "not mobile-cnn")) == snapshot


def test_the_end_names_the_next_command(sample_doc):
    assert printed(sample_doc).rstrip().endswith("edgesweep run --resume 20261123-0914-7f3a")
    failed = only(sample_doc, "segmenter and torchscript and quickstart")
    assert re.search(r"Next: edgesweep compat explain\s+quickstart/segmenter/torchscript-", printed(failed))
    passed = printed(only(sample_doc, "mobile-cnn and dynamo and quickstart"))
    assert "No findings: every cell passes." in passed
    assert passed.rstrip().endswith("edgesweep compat matrix 20261123-0914-7f3a -o html")


def test_the_advice_covers_every_device_at_one_of_its_places(sample_doc):
    advice = advise(build_compat(only(sample_doc, "tiny-transformer")))
    (choice,) = advice.choices
    assert (advice.per, advice.together) == (Per.DEVICE, None)
    assert [use.targets for use in choice.uses] == [("quickstart", "pi5-kitchen")]
    assert choice.holes == ()
    assert headline(advice).startswith("Use dynamo opset 13 static for tiny-transformer. ")
    assert "It runs on both devices." in headline(advice)


def test_per_place_what_runs_nowhere_is_told_with_what_came_closest(sample_doc):
    matrix = build_compat(only(sample_doc, "tiny-transformer"))
    advice = advise(matrix, Per.PLACE)
    (hole,) = advice.choices[0].holes
    assert (hole.target, hole.why, hole.closest.cause) == (XNNPACK.name, Why.FAILED, "no_nodes")
    (said,) = hole_sentences(advice)
    assert said == (
        f"No variant of tiny-transformer runs on {XNNPACK.name}; dynamo opset 13 static came closest, "
        "fallback at placement: no_nodes"
    )
    assert "at every place where any variant does" in headline(advice)


def test_what_was_lost_or_ruled_out_is_not_said_to_fail(sample_doc):
    lost = advise(build_compat(only(sample_doc, "pi5 and segmenter and dynamo-opset23 and static")))
    assert [hole.why for hole in lost.choices[0].holes] == [Why.UNKNOWN]
    assert headline(lost).startswith("So far: there is one variant, nothing to choose from: it is not known to run on")
    excluded = advise(build_compat(only(sample_doc, "pi5 and segmenter and dynamo-opset13")))
    assert [hole.why for hole in excluded.choices[0].holes] == [Why.RULED_OUT]
    assert "ruled out" in hole_sentences(excluded)[0]


def test_models_of_which_the_same_is_to_be_said_share_a_sentence(sample_doc):
    doc = only(sample_doc, "pi5 and /cpu/ and opset18 and static")
    for cell in doc["cells"]:
        cell |= {"outcome": "lost", "stage": "upload", "cause": "device_unreachable"}
    (said,) = hole_sentences(advise(build_compat(doc)))
    assert said == (
        "mobile-cnn, tiny-transformer and segmenter on pi5-kitchen: not known, since cells have no result yet "
        "(lost at upload: device_unreachable)"
    )


def with_latency(doc, seconds, verdict="trusted"):
    """The passing cells with the latency that `seconds` gives for their name."""
    return doc | {
        "cells": [
            cell | {"latency_s": cell["latency_s"] | {"median": seconds(cell["name"])}, "verdict": verdict}
            for cell in doc["cells"]
            if cell["outcome"] == "pass"
        ]
    }


def test_the_cost_is_told_against_the_fastest_on_each_device(sample_doc):
    doc = only(sample_doc, "tiny-transformer and (dynamo-opset13-static or torchscript-opset18-static) and /cpu/")
    # torchscript runs on the desk only; on the kitchen's board dynamo is alone, on the desk it takes half as long again.
    doc = doc | {
        "cells": [cell for cell in doc["cells"] if not ("pi5" in cell["name"] and "torchscript" in cell["name"])]
    }
    advice = advise(build_compat(with_latency(doc, lambda name: 3e-3 if "dynamo" in name else 2e-3)))
    (choice,) = advice.choices
    assert choice.ratio == pytest.approx(1.5**0.5)
    assert (choice.worst.target, choice.worst.ratio) == ("quickstart", pytest.approx(1.5))
    assert headline(advice) == (
        "Use dynamo opset 13 static for tiny-transformer. It runs on both devices. "
        "Median latency against the fastest variant: +22 %, +50 % at worst (on quickstart)."
    )
    (row,) = rows_of(advice)
    assert row.cost == "+22 %, at worst +50 % on quickstart"


def test_invalid_numbers_do_not_count(sample_doc):
    doc = with_latency(only(sample_doc, "tiny-transformer and static and /cpu/"), lambda _: 1e-3, "invalid")
    advice = advise(build_compat(doc))
    assert advice.choices[0].ratio is None
    assert headline(advice).endswith("No trusted or doubtful number tells what that costs in latency.")
    assert advice.choices[0].uses[0].recipe == Recipe("dynamo", 13, "static", "fp32")


def test_one_number_alone_is_compared_with_nothing(sample_doc):
    doc = with_latency(only(sample_doc, "tiny-transformer and static and /cpu/"), lambda _: 1e-3, "invalid")
    doc["cells"][0]["verdict"] = "trusted"
    assert advise(build_compat(doc)).choices[0].ratio is None
    doc["cells"][1]["verdict"] = "doubtful"
    (choice,) = advise(build_compat(doc)).choices
    assert (choice.known, choice.covered) == (1, 2)
    assert headline(advise(build_compat(doc))).endswith("Median latency: that of the fastest variant, known at 1 of 2.")


def test_one_way_for_all_models_goes_before_the_best_of_each(sample_doc):
    doc = with_latency(
        only(sample_doc, "(mobile-cnn or tiny) and static and quickstart and (opset13 or opset18)"),
        lambda name: 1e-3 if ("mobile" in name) == ("dynamo" in name) else 1.1e-3,
    )
    advice = advise(build_compat(doc))
    assert [choice.uses[0].recipe.exporter for choice in advice.choices] == ["dynamo", "torchscript"]
    assert [use.recipe.text for use in advice.together.uses] == ["dynamo opset 13 static"]
    assert advice.together.ratio == pytest.approx(1.1**0.5)
    assert headline(advice).startswith("Use dynamo opset 13 static for both models. They run on quickstart.")
    assert "(tiny-transformer on quickstart)" in headline(advice)


def test_on_one_device_every_place_counts(sample_doc):
    assert usual_per(build_compat(sample_doc)) is Per.DEVICE
    assert usual_per(build_compat(only(sample_doc, "pi5"))) is Per.PLACE


def test_the_document_is_json_that_holds_every_planned_pair(sample_doc):
    matrix = build_compat(sample_doc)
    document = json.loads(json.dumps(compat_document(matrix, advise(matrix)), allow_nan=False))
    assert document["schema_version"] == 1
    assert (
        len(document["squares"]) == len(document["rows"]) * len(document["columns"]) == document["summary"]["squares"]
    )
    names = {row["name"] for row in document["rows"]}, {column["name"] for column in document["columns"]}
    assert all(square["row"] in names[0] and square["column"] in names[1] for square in document["squares"])
    assert sorted(name for square in document["squares"] for name in square["cells"]) == sorted(
        cell["name"] for cell in sample_doc["cells"]
    )
    unfinished = [square for square in document["squares"] if square["outcome"] is None]
    assert len(unfinished) == document["summary"]["outcomes"]["unfinished"] > 0
    assert document["recommendation"]["sentence"].startswith("So far: ")


def test_markdown_says_it_in_words_and_holds_no_markup_of_models(sample_doc):
    sample_doc["cells"][0] |= {"message": "<script>alert(1)</script> | `x`", "outcome": "failed", "cause": "oom"}
    matrix = build_compat(sample_doc)
    text, page = render_markdown(matrix, advise(matrix)), render_html(matrix, advise(matrix))
    assert not {"✗", "✕", "○"} & set(text)
    assert re.search(r"^\| dynamo-opset13-static-fp32 \| failed \w \(oom\) \| pass ", text, flags=re.MULTILINE)
    assert "<script>alert" not in text + page


def test_the_page_stands_alone_and_every_letter_leads_to_its_finding(sample_doc):
    matrix = build_compat(sample_doc)
    page = render_html(matrix, advise(matrix))
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    assert {f"f{entry.letter}" for entry in legend_of(matrix).entries} <= ids
    assert not re.search(r"<link|<img|@import|url\(|src=", page)
    assert sentence(matrix) in page
    assert "What to do: ask for the opset that was produced" in page


def ready_files(doc, amount: int):
    """A run of ready files, one variant each; every fifth fails on the second board."""
    first, second = [cell for cell in doc["cells"] if "mobile-cnn/dynamo-opset18-static" in cell["name"]][:2]
    cells = []
    for number in range(amount):
        for cell in (first, second):
            model = f"test_{number}"
            ending = (
                {"outcome": "failed", "stage": "load", "cause": "unsupported_op"}
                if cell is second and number % 5 == 0
                else {}
            )
            name = cell["name"].replace("mobile-cnn/dynamo-opset18-static", f"{model}/none-opset18-asis")
            cells.append(cell | {"model": model, "exporter": "none", "axes": "asis", "name": name} | ending)
    return doc | {"cells": cells}


def test_of_ready_files_there_is_nothing_to_choose_and_each_takes_a_line(sample_doc):
    doc = ready_files(sample_doc, 100)
    text = printed(doc)
    assert "100 models, 100 variants, 2 places: 180 of 200 pairs run; 80 variants run at every place." in text
    assert len(re.findall(r"^test_\d+  as it is  18 ", text, flags=re.MULTILINE)) == 100
    assert "so that there is nothing to choose: 80 of 100 run on both devices." in " ".join(text.split())
    assert "the fewest variants" not in text
    assert "No variant of test_0, test_5, test_10, test_15 and 16 more runs on pi5-kitchen" in " ".join(text.split())
    failing = compat_document(narrow := not_everywhere(build_compat(doc)), advise(build_compat(doc)))
    assert len(narrow.rows) == len(failing["rows"]) == 20
    assert (failing["summary"]["rows"], failing["summary"]["running"]) == (100, 180)


def test_an_empty_run_is_a_sentence(sample_doc):
    assert sentence(build_compat(sample_doc | {"cells": []})) == "The run has no cell."
