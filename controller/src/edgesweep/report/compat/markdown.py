"""The compatibility matrix as Markdown, for a pull request or a chat: words, not colours, and no HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgesweep.report import units
from edgesweep.report.compat.advice import Advice
from edgesweep.report.compat.advice_text import headline, hole_sentences, rows_of
from edgesweep.report.compat.legend import (
    PREDICTED,
    Column,
    Legend,
    columns_of,
    legend_of,
    sentence,
    short_names,
    time_of,
    word_of,
)
from edgesweep.report.compat.matrix import DISAGREES, PARTIAL, CompatMatrix, Row, Square
from edgesweep.report.facts import placement_text
from edgesweep.report.markdown_text import code, table, text
from edgesweep.report.outcomes import run_seconds, when

_COLUMNS = 8
_EXAMPLES = 3


def render_markdown(matrix: CompatMatrix, advice: Advice) -> str:
    """The recommendation, the matrix by model, its columns, and the findings with their remedies."""
    legend, columns = legend_of(matrix), columns_of(matrix)
    parts = [
        *_head(matrix),
        *_advice(matrix, advice),
        *_places(columns),
        *_squares(matrix, columns, legend),
        *_findings(legend),
    ]
    return "\n\n".join(parts) + "\n"


def _head(matrix: CompatMatrix) -> Iterator[str]:
    run = matrix.doc["run"]
    yield f"# {text(run['name'])}: what runs where, run {code(run['id'])}"
    yield sentence(matrix)
    started, took = when(run.get("started")), run_seconds(matrix.doc)
    facts = [
        f"started {started:%Y-%m-%d %H:%M} UTC" if started else "",
        f"took {units.duration(took)}" if took is not None else f"state: {run['state']}",
    ]
    yield " · ".join(filter(None, facts))


def _advice(matrix: CompatMatrix, advice: Advice) -> Iterator[str]:
    names = short_names(matrix, "{}")
    yield "## Recommendation"
    if headline(advice, names):
        yield f"**{text(headline(advice, names))}**"
    rows = [(text(row.model), text(row.use), text(row.where), text(row.cost)) for row in rows_of(advice, names)]
    if rows:
        yield table(("model", "the fewest variants", "run on", "latency over the fastest"), rows)
    holes = hole_sentences(advice, names)
    if holes:
        yield "\n".join(f"- {text(hole)}" for hole in holes)


def _places(columns: Sequence[Column]) -> Iterator[str]:
    yield "## Where"
    header = ("column", "device", "runtime", "providers", "variants")
    rows = [
        (
            str(column.number),
            text(column.place.device),
            text(column.place.runtime),
            text(column.place.chain),
            column.tally,
        )
        for column in columns
    ]
    yield table(header, rows)


def _squares(matrix: CompatMatrix, columns: Sequence[Column], legend: Legend) -> Iterator[str]:
    if matrix.rows:
        yield "## Matrix"
        yield "A letter names the finding below; a time is the median of one inference, with its verdict unless it is trusted."
    for model in matrix.models:
        yield f"### {text(model)}"
        rows = [row for row in matrix.rows if row.model == model]
        for start in range(0, len(columns), _COLUMNS):
            yield _table(matrix, rows, columns[start : start + _COLUMNS], legend)


def _table(matrix: CompatMatrix, rows: Sequence[Row], columns: Sequence[Column], legend: Legend) -> str:
    header = ["variant"] + [
        f"{column.number}. {text(column.place.device)}, {text(column.place.runtime)}, {text(column.place.chain)}"
        for column in columns
    ]
    body = [
        [text(row.recipe.slug), *(_square(matrix.squares.get((row, column.place)), legend) for column in columns)]
        for row in rows
    ]
    return table(header, body)


def _square(square: Square | None, legend: Legend) -> str:
    if square is None:
        return units.NOTHING
    said = [square.share, word_of(square), legend.letter(square)]
    if square.cause and word_of(square) in {"failed", "fallback", PREDICTED}:
        said.append(f"({square.cause})")
    if square.partial:
        said.append(f"({PARTIAL}: {placement_text(square.partial)})")
    if square.disagrees:
        said.append(f"({DISAGREES})")
    return text(" ".join(filter(None, [*said, time_of(square, words=True) if square.outcome == "pass" else ""])))


def _findings(legend: Legend) -> Iterator[str]:
    if legend.entries:
        yield "## Findings"
    for entry in legend.entries:
        finding = entry.finding
        yield f"### {entry.letter}. {text(finding.title)} ({units.plural(len(finding.cells), 'cell')})"
        if finding.text:
            yield text(finding.text[0].upper() + finding.text[1:]) + "."
        if finding.remedy:
            yield f"Remedy: {text(finding.remedy)}."
        if finding.link:
            yield f"What is known: <{finding.link}>"
        if finding.operators:
            yield "\n".join(f"- {text(line)}" for line in finding.operators)
        yield f"Columns: {', '.join(map(str, entry.columns))}."
        lines = []
        for message, cells in list(finding.by_message.items())[:_EXAMPLES]:
            lines += [f"- {text(message)}"] if message else []
            indent = "  " if message else ""
            lines += [f"{indent}- {code(cell['name'])}" for cell in cells[:_EXAMPLES]]
            left = len(cells) - _EXAMPLES
            lines += [f"{indent}- and {units.plural(left, 'more cell')}"] if left > 0 else []
        left = len(finding.by_message) - _EXAMPLES
        lines += [f"- and {units.plural(left, 'other message')}"] if left > 0 else []
        yield "\n".join(lines)
