"""The report as one HTML file: no network, light and dark, for desk, phone and paper."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from edgesweep.report import charts, units
from edgesweep.report.agreement_text import TOLD_TAGS, agreement_sentences
from edgesweep.report.cell_charts import latency_chart, memory_chart
from edgesweep.report.conditions import COLUMNS as CONDITIONS
from edgesweep.report.conditions import MOST_LINES, conditions_of
from edgesweep.report.facts import (
    beside_the_median,
    device_facts,
    host_text,
    peak_memory,
    placement_text,
    sensors,
    short_provider,
)
from edgesweep.report.known import known_sentences, known_state
from edgesweep.report.matrix import Block, Column, matrix_blocks
from edgesweep.report.node_profiles import profile_view
from edgesweep.report.outcomes import (
    OUTCOMES,
    VERDICTS,
    Cell,
    Doc,
    Finding,
    group_findings,
    outcome_counts,
    outcome_of,
    run_seconds,
    sentence,
    session_of,
    verdict_counts,
    when,
)
from edgesweep.report.placement_texts import partial_cells
from edgesweep.report.predictions import is_skipped_as_predicted, prediction_sentences, prediction_words
from edgesweep.report.reasons import notes_of, short_reason, untold

MATRIX_COLUMNS = 12
"""Columns that fit a desk and a sheet in landscape; a wider matrix is cut between opsets."""

_BACKQUOTED = re.compile(r"`([^`]+)`")
_ROW_MESSAGE_CHARS = 120
_MESSAGE_CHARS = 400
_DETAIL_CHARS = 1_500
_DETAILS_TOTAL_CHARS = 150_000
_DETAILS_PER_FINDING = 3

MOST_PARTIAL = 200
"""Cells whose shares are shown."""
MOST_PROFILES = 20
"""Cells whose nodes are shown; those of all stand in the document."""


@dataclass(frozen=True, slots=True)
class Row:
    """A cell as a line of the results table; all texts ready to print."""

    id: str
    name: Markup
    outcome: str
    mark: str
    cause: str
    finding: str
    verdict: str
    notes: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of figures: its heading, its unit, what it holds, and the class of its squares (`n`: a number)."""

    head: str
    unit: str
    meaning: str
    kind: str = "n"


@dataclass(frozen=True, slots=True)
class Export:
    """A variant as exported: what was asked and what was produced."""

    model: str
    variant: str
    asked: int
    produced: dict[str, Any] | None
    error: str
    differs: bool
    word: str


def render_html(doc: Doc) -> str:
    """The whole report of a result document as the text of one HTML file."""
    findings = group_findings(doc)
    anchors = {cell["name"]: f"f{index}" for index, finding in enumerate(findings) for cell in finding.cells}
    row_ids = {cell["name"]: f"c{index}" for index, cell in enumerate(doc["cells"])}
    figures, rows = _rows(doc["cells"], row_ids, anchors)
    html: str = template().render(
        run=doc["run"],
        state=str(doc["run"].get("state") or ""),
        started=when(doc["run"].get("started")),
        took=run_seconds(doc),
        host=host_text(doc["run"].get("host") or {}),
        sentence=sentence(doc),
        resumable=bool(doc.get("incomplete")) or {"unfinished", "lost"} & {outcome_of(cell) for cell in doc["cells"]},
        counts=outcome_counts(doc),
        verdicts=verdict_counts(doc),
        total=len(doc["cells"]),
        devices=doc.get("devices", []),
        outcomes=OUTCOMES,
        verdict_words=VERDICTS,
        blocks=[_matrix_view(block, row_ids, anchors) for block in matrix_blocks(doc)],
        latency=latency_chart(doc["cells"], row_ids),
        memory=memory_chart(doc["cells"], row_ids),
        shared=sum(1 for cell in doc["cells"] if cell.get("same_as") and cell.get("latency_s")),
        notes=list({note.place: note for note in notes_of(doc["cells"]).values()}.values()),
        figures=figures,
        rows=rows,
        partial=partial_cells(doc["cells"]),
        most_partial=MOST_PARTIAL,
        profiles=[view for cell in doc["cells"] if not cell.get("same_as") and (view := profile_view(cell))],
        most_profiles=MOST_PROFILES,
        condition_columns=CONDITIONS,
        most_conditions=MOST_LINES,
        conditions=conditions_of(doc["cells"]),
        findings=finding_views(findings),
        predictions=prediction_sentences(doc["cells"]),
        known=known_sentences(doc["cells"]),
        agreement=agreement_sentences(doc),
        row_ids=row_ids,
        exports=_exports(doc["cells"]),
        size_unit=units.size_unit((cell.get("produced") or {}).get("size_bytes") for cell in doc["cells"]),
    )
    return html


@cache
def template(name: str = "report.html.j2") -> Any:
    """A page of this room, with the filters that its pages share."""
    environment = Environment(
        loader=PackageLoader("edgesweep.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "duration": units.duration,
        "size": units.size,
        "seconds": units.seconds,
        "count": units.count,
        "plural": units.plural,
        "breakable": breakable,
        "coded": coded,
        "words": lambda values: ", ".join(map(str, values)),
        "facts": device_facts,
        "short": short_provider,
        "sensors": sensors,
    }
    environment.globals["legend"] = charts.legend_mark
    return environment.get_template(name)


def breakable(text: str) -> Markup:
    """`text` escaped, with places where a line may break after `/`, `_` and `+`; a copy of it stays the same text."""
    broken = str(escape(text)).replace("/", "/<wbr>").replace("_", "_<wbr>").replace("+", "+<wbr>")
    return Markup(broken)  # noqa: S704 - escaped above


def coded(text: str) -> Markup:
    """`text` escaped, with what stands between backquotes set as code."""
    return Markup(_BACKQUOTED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def _matrix_view(block: Block, row_ids: dict[str, str], anchors: dict[str, str]) -> dict[str, Any]:
    shapes = {(cell["shape"], session_of(cell)) for cells in block.cells.values() for cell in cells}
    one_shape, one_session = len({shape for shape, _ in shapes}) == 1, len({session for _, session in shapes}) == 1
    precisions = {column.precision for column in block.columns}

    def entry(cell: Cell) -> dict[str, str]:
        outcome = outcome_of(cell)
        label = [] if one_shape else [cell["shape"]]
        label += [] if one_session else [session_of(cell)]
        median = (cell.get("latency_s") or {}).get("median")
        return {
            "outcome": outcome,
            "mark": OUTCOMES[outcome].mark if outcome in OUTCOMES else "",
            "href": f"#{row_ids[cell['name']]}" if outcome == "pass" else f"#{anchors[cell['name']]}",
            "label": " ".join(label),
            "say": _square_text(cell, median),
        }

    tables = []
    for columns in block.chunks(MATRIX_COLUMNS):
        rows = []
        for model in block.models:
            row = [[entry(cell) for cell in block.cells.get((model, column), [])] for column in columns]
            if any(row):
                rows.append((model, row))
        tables.append(
            {
                "exporters": _runs(column.exporter for column in columns),
                "opsets": _runs((column.exporter, column.opset) for column in columns),
                "axes": [_axes_label(column, precisions) for column in columns],
                "rows": rows,
            }
        )
    note = [] if not one_shape else [f"shape {next(iter(shapes))[0]}"]
    note += [] if not one_session else [f"session {next(iter(shapes))[1]}"]
    return {"title": block.title, "tables": tables, "note": ", ".join(note)}


def _square_text(cell: Cell, median: float | None) -> str:
    """What stands under the outcome: the median, marked unless it is trusted, or the cause; and what was predicted."""
    foreseen = prediction_words(cell)
    if is_skipped_as_predicted(cell):
        return foreseen
    known = known_state(cell)
    if median is None:
        return ", ".join(filter(None, [str(cell.get("cause") or ""), foreseen, known]))
    verdict = cell.get("verdict") or "trusted"
    mark = VERDICTS[verdict].mark if verdict in VERDICTS and verdict != "trusted" else ""
    return ", ".join(filter(None, [f"{units.seconds(median)} {mark}".strip(), foreseen, known]))


def _axes_label(column: Column, precisions: set[str]) -> str:
    return column.axes if len(precisions) == 1 else f"{column.axes} {column.precision}"


def _runs(values: Iterable[Any]) -> list[tuple[Any, int]]:
    """Equal neighbours as (value, length), for headings that span columns."""
    runs: list[tuple[Any, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    return runs


def _rows(cells: list[Cell], row_ids: dict[str, str], anchors: dict[str, str]) -> tuple[list[Figure], list[Row]]:
    measured = [cell for cell in cells if cell.get("latency_s")]
    time = units.time_unit(cell["latency_s"]["median"] for cell in measured)
    cold = units.time_unit((cell.get("cold_start_s") or {}).get("session") for cell in measured)
    size = units.size_unit(peak_memory(cell) for cell in measured)
    figures = [
        Figure("median", time.symbol, "latency of one inference"),
        Figure("±", time.symbol, "median absolute deviation"),
        Figure("p10 to p90", time.symbol, "four of five inferences lie here"),
        Figure("p99", time.symbol, "n< tells how many samples it needs"),
        Figure("n", "", "samples: each is one inference, or the mean of a batch of short ones"),
        Figure("rate", "inf/s", "inferences a second"),
        Figure("peak memory", size.symbol, "steady state, over the loaded worker"),
        Figure("session", cold.symbol, "time to make the session"),
        Figure("first run", cold.symbol, "the first inference"),
        Figure("nodes", "", "graph nodes by provider that ran them", ""),
    ]

    def row(cell: Cell) -> Row:
        outcome = outcome_of(cell)
        latency = cell.get("latency_s")
        figures = _figures(cell, latency, time, cold, size) if latency else ()
        reasons = [short_reason(str(reason)) for reason in cell.get("reasons") or []]
        # These tags are told beside the median.
        told = {"warmup_left_out", "memory_varies", *TOLD_TAGS}
        tags = [tag for tag in cell.get("tags") or [] if tag.partition(":")[0] not in told]
        notes = [*reasons, *beside_the_median(cell, placed=False), *untold(tags, reasons)]
        if cell.get("same_as"):
            notes.append(f"same artifact as {cell['same_as']}, measured once")
        if not latency and cell.get("message"):
            said_of_it = _cut(str(cell["message"]), _ROW_MESSAGE_CHARS)
            notes.insert(0, f"at {cell['stage']}: {said_of_it}" if cell.get("stage") else said_of_it)
        if cell.get("known"):
            notes.append(f"known failure: {cell['known']}")
        if cell.get("see"):
            notes.append(f"see {cell['see']}")
        return Row(
            id=row_ids[cell["name"]],
            name=breakable(cell["name"]),
            outcome=outcome,
            mark=OUTCOMES[outcome].mark if outcome in OUTCOMES else "",
            cause=cell.get("cause") or "",
            finding=anchors.get(cell["name"], ""),
            verdict=cell.get("verdict") or "",
            notes="; ".join(map(str, notes)),
            figures=figures,
        )

    return figures, [row(cell) for cell in cells]


def _figures(cell: Cell, latency: Doc, time: units.Unit, cold: units.Unit, size: units.Unit) -> tuple[str, ...]:
    median = latency["median"] / time.size
    start = cell.get("cold_start_s") or {}
    rate = (cell.get("throughput_per_s") or {}).get("inferences")
    mad = latency.get("mad")
    need = (latency.get("need") or {}).get("p99")
    p99 = latency.get("p99")
    low, high = latency.get("p10"), latency.get("p90")
    return (
        time.show(latency["median"]),
        units.spread(None if mad is None else mad / time.size, median),
        f"{time.show(low)} to {time.show(high)}" if low is not None or high is not None else units.NOTHING,
        f"n<{need}" if p99 is None and need else time.show(p99),
        units.count(latency.get("n")),
        units.NOTHING if rate is None else units.number(rate),
        size.show(peak_memory(cell)),
        cold.show(start.get("session")),
        cold.show(start.get("first_run")),
        placement_text(cell),
    )


def finding_views(findings: list[Finding]) -> list[dict[str, Any]]:
    """The findings with their messages as the page shows them, and as much of the details as it has room for."""
    budget = _DETAILS_TOTAL_CHARS
    views = []
    for finding in findings:
        messages = []
        for place, (message, cells) in enumerate(finding.by_message.items()):
            detail = next((str(cell["detail"]) for cell in cells if cell.get("detail")), "")
            shown = _shorten(detail) if place < _DETAILS_PER_FINDING and budget > 0 else ""
            budget -= len(shown)
            text = "" if message == finding.text else _cut(message, _MESSAGE_CHARS)
            messages.append({"text": text, "cells": cells, "detail": shown})
        views.append({"finding": finding, "messages": messages})
    return views


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _shorten(text: str) -> str:
    if len(text) <= _DETAIL_CHARS:
        return text
    half = _DETAIL_CHARS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out; all of them are in the JSON document …\n{text[-half:]}"


def _exports(cells: list[Cell]) -> list[Export]:
    seen: dict[tuple[str, str], Export] = {}
    for cell in cells:
        variant = f"{cell['exporter']}-opset{cell['opset']}-{cell['axes']}-{cell['precision']}"
        key = (cell["model"], variant)
        known = seen.get(key)
        if known and (known.error or not cell.get("numerics")):
            continue
        produced = cell.get("produced")
        numerics = cell.get("numerics") or {}
        error = (numerics.get("at_export") or numerics).get("max_absolute_error")
        at_export = cell.get("stage") in {"plan", "export", "check"} and outcome_of(cell) != "pass"
        word = (cell.get("cause") or outcome_of(cell)) if at_export else ("exported" if produced else "")
        seen[key] = Export(
            *key,
            asked=cell["opset"],
            produced=produced,
            error="" if error is None else f"{error:.1e}",
            differs=bool(produced and produced["opset"] != cell["opset"]),
            word=word,
        )
    return list(seen.values())
