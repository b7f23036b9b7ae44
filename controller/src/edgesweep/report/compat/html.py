"""The compatibility matrix as one HTML file: no network, light and dark, in the look of the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from edgesweep.report.compat.advice import Advice
from edgesweep.report.compat.advice_text import headline, hole_sentences, rows_of
from edgesweep.report.compat.legend import (
    PREDICTED,
    REMARKS,
    Column,
    Entry,
    Legend,
    columns_of,
    counts_of,
    legend_of,
    mark_of,
    said_of,
    sentence,
    short_names,
    time_of,
    word_of,
)
from edgesweep.report.compat.matrix import CompatMatrix, Row, Square, case_of
from edgesweep.report.exports.blocks import opsets_text
from edgesweep.report.facts import placement_text
from edgesweep.report.html import template
from edgesweep.report.outcomes import OUTCOMES, VERDICTS, outcome_of, run_seconds, when
from edgesweep.report.placement_texts import partial_text

_MESSAGES = 4
_MESSAGE_CHARS = 400
_TITLE_CELLS = 6


def render_html(matrix: CompatMatrix, advice: Advice) -> str:
    """The whole matrix as the text of one HTML file."""
    legend, columns = legend_of(matrix), columns_of(matrix)
    names = short_names(matrix, "{}")
    amounts = Counter(square.outcome for square in matrix.squares.values())
    measured = [square.measured for square in matrix.squares.values() if square.measured]
    html: str = template("compat.html.j2").render(
        run=matrix.doc["run"],
        started=when(matrix.doc["run"].get("started")),
        took=run_seconds(matrix.doc),
        sentence=sentence(matrix),
        headline=headline(advice, names),
        choices=list(rows_of(advice, names)),
        holes=hole_sentences(advice, names),
        counts=counts_of(matrix),
        outcomes=OUTCOMES,
        remarks=REMARKS,
        seen=[word for word in OUTCOMES if amounts[word]],
        amounts=amounts,
        verdict_words=VERDICTS,
        verdicts=[
            word for word in VERDICTS if any(cell.get("verdict") == word for cell in measured) and word != "trusted"
        ],
        columns=columns,
        devices=_spans(column.place.device for column in columns),
        runtimes=_spans((column.place.device, column.place.runtime) for column in columns),
        blocks=[_block(matrix, model, columns, legend) for model in matrix.models],
        findings=[_finding(entry, len(columns)) for entry in legend.entries],
    )
    return html


def _spans(values: Iterable[Any]) -> list[tuple[Any, int]]:
    """Equal neighbours as (value, length), for headings that span columns."""
    return [(value, len(list(group))) for value, group in groupby(values)]


def _block(matrix: CompatMatrix, model: str, columns: list[Column], legend: Legend) -> dict[str, Any]:
    rows = [row for row in matrix.rows if row.model == model]
    return {"model": model, "rows": [_row(matrix, row, columns, legend) for row in rows]}


def _row(matrix: CompatMatrix, row: Row, columns: list[Column], legend: Legend) -> dict[str, Any]:
    ready = row.recipe.exporter == "none"
    return {
        "label": "the file as it is" if ready else row.recipe.way,
        "opset": f"opset {row.recipe.opset}",
        "squares": [_square(matrix.squares.get((row, column.place)), legend) for column in columns],
    }


def _square(square: Square | None, legend: Legend) -> dict[str, str] | None:
    if square is None:
        return None
    letter, word = legend.letter(square), word_of(square)
    return {
        "outcome": square.outcome,
        "mark": mark_of(square),
        "word": " ".join(filter(None, [square.share, ", ".join([word, *square.remarks])])),
        "letter": letter,
        "href": f"#f{letter}" if letter else "",
        "say": _say(square),
        "title": _title(square),
    }


def _say(square: Square) -> str:
    """What stands under the outcome: the cause, or the time and, where it is not all on one provider, the nodes by provider."""
    if square.outcome != "pass":
        return square.cause
    return ", ".join(filter(None, [time_of(square), placement_text(square.partial) if square.partial else ""]))


def _title(square: Square) -> str:
    """What a square says when it is pointed at: the message and the remedy of its worst cell, then its cells."""
    worst = square.worst
    lines = [f"{square.row.name} at {square.place.name}: {said_of(square)}"]
    if word_of(square) == PREDICTED:
        lines.append(str(worst["prediction"]["message"]))
    elif worst.get("message"):
        lines.append(f"at {worst['stage']}: {worst['message']}" if worst.get("stage") else str(worst["message"]))
    lines += [f"What to do: {worst['remedy']}"] if worst.get("remedy") else []
    lines += [partial_text(square.partial)] if square.partial else []
    for cell in square.cells[:_TITLE_CELLS]:
        lines.append(f"{' '.join(case_of(cell))}: {outcome_of(cell)} {cell.get('cause') or ''}".rstrip())
    left = len(square.cells) - _TITLE_CELLS
    return "\n".join([*lines, f"and {left} more"] if left > 0 else lines)


def _finding(entry: Entry, total: int) -> dict[str, Any]:
    finding = entry.finding
    messages = [
        {"text": "" if message == finding.text else _cut(message), "cells": cells}
        for message, cells in list(finding.by_message.items())[:_MESSAGES]
    ]
    every = len(entry.columns) == total and total > 1
    where = "every column" if every else f"column {opsets_text(entry.columns)}"
    return {
        "entry": entry,
        "where": where,
        "messages": messages,
        "left": max(0, len(finding.by_message) - _MESSAGES),
    }


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARS else f"{text[: _MESSAGE_CHARS - 1]}…"
