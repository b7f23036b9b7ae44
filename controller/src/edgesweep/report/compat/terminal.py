"""The compatibility matrix on the terminal: it adapts to the width, and columns that do not fit make further tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.compat.advice import Advice
from edgesweep.report.compat.advice_text import headline, hole_sentences, rows_of
from edgesweep.report.compat.legend import (
    MARKS,
    PREDICTED,
    REMARKS,
    Column,
    Entry,
    Legend,
    columns_of,
    legend_of,
    mark_of,
    said_of,
    sentence,
    short_names,
    time_of,
    word_of,
)
from edgesweep.report.compat.matrix import CompatMatrix, Line, Place, Row, Square, lines_of
from edgesweep.report.exports.blocks import opsets_text
from edgesweep.report.outcomes import OUTCOMES, UNFINISHED, VERDICTS
from edgesweep.report.tables import STYLES, Adaptive, broken_name, heading, plain_table, styled

#: A column's padding and its divider.
_GAP = 2
_LEAST_LABEL = 16
#: A part of a head that is longer is broken: as it is in the table with causes, and where columns are short of room.
_LONG_HEAD, _SHORT_HEAD = 22, 10
_HEAD = "variant"

_Say = Callable[[Square], Text]

#: The most that is told of advice here; -o md tells all.
_CHOICES, _HOLES = 40, 12


@dataclass(frozen=True, slots=True)
class _Shown:
    """A line of the table: a model's name, or a variant with what to print in each column."""

    label: str
    squares: dict[Place, Text] | None


def compat_table(matrix: CompatMatrix, *, wide: bool = False) -> RenderableType:
    """The whole matrix with its legend. `wide` gives each variant a line of its own, with its latency."""
    legend, columns = legend_of(matrix), columns_of(matrix)

    def build(width: int) -> RenderableType:
        lines = _lines(matrix, wide=wide)
        tables = list(_tables(lines, matrix, columns, legend, width, wide=wide))
        return Group(Text(), *_head(matrix), *tables, *_keys(matrix, wide=wide), Text(), *_columns(columns))

    return Adaptive(build)


def _head(matrix: CompatMatrix) -> Iterable[RenderableType]:
    run = matrix.doc["run"]
    yield Text.assemble(("What runs where", "bold underline"), f"  {run['name']}, run {run['id']}", overflow="fold")
    yield Text(sentence(matrix))
    yield Text()


def _lines(matrix: CompatMatrix, *, wide: bool) -> list[Line]:
    return [Line(row.model, row.recipe.way, (row,)) for row in matrix.rows] if wide else lines_of(matrix)


def _tables(
    lines: Sequence[Line], matrix: CompatMatrix, columns: Sequence[Column], legend: Legend, width: int, *, wide: bool
) -> Iterable[RenderableType]:
    """Squares with their cause where that fits into one table, else with the letter of the finding and narrow heads."""
    amounts = Counter(line.model for line in lines)
    labels = [_label(line, alone=amounts[line.model] == 1) for line in lines]
    label_width = max(map(len, [_HEAD, *labels]))

    def full(square: Square) -> Text:
        letter = legend.letter(square)
        said = " ".join(filter(None, [mark_of(square), said_of(square), letter, time_of(square) if wide else ""]))
        return styled(word_of(square), said)

    def short(square: Square) -> Text:
        letter = legend.letter(square)
        words = [
            square.share,
            mark_of(square),
            letter,
            " ".join(square.remarks),
            time_of(square) if wide else "",
        ]
        said = " ".join(filter(None, words))
        return styled(word_of(square), said)

    for say, longest in ((full, _LONG_HEAD), (short, _LONG_HEAD), (short, _SHORT_HEAD)):
        shown, widths = _printed(lines, matrix, columns, say, longest)
        if label_width + sum(widths) + _GAP * len(widths) <= width:
            break
    label_width = min(label_width, max(_LEAST_LABEL, width - max(widths, default=0) - _GAP))
    by_place = dict(zip((column.place for column in columns), widths, strict=True))
    for place, part in enumerate(_fitting(columns, widths, width - label_width)):
        if place:
            yield Text()
        yield _table(shown, {column: by_place[column.place] for column in part}, label_width, longest)


def _printed(
    lines: Sequence[Line], matrix: CompatMatrix, columns: Sequence[Column], say: _Say, longest: int
) -> tuple[list[_Shown], list[int]]:
    """The lines as printed, and the width that each column needs."""
    shown: list[_Shown] = []
    amounts = Counter(line.model for line in lines)
    model = ""
    for line in lines:
        if line.model != model and amounts[line.model] > 1:
            shown.append(_Shown(line.model, None))
        model = line.model
        row: Row = line.rows[0]
        found = {column.place: matrix.squares.get((row, column.place)) for column in columns}
        squares = {place: say(square) if square else Text(".", style="dim") for place, square in found.items()}
        shown.append(_Shown(_label(line, alone=amounts[line.model] == 1), squares))
    widths = [
        max(
            [
                *map(len, _heads(column, longest)),
                *(len(entry.squares[column.place]) for entry in shown if entry.squares is not None),
            ]
        )
        for column in columns
    ]
    return shown, widths


def _label(line: Line, *, alone: bool) -> str:
    """`  dynamo batch  17-20`, or `resnet50  as it is  17` for the only line of a model."""
    way = "as it is" if line.rows[0].recipe.exporter == "none" else line.way
    return f"{line.model if alone else ''}  {way}  {opsets_text(line.opsets)}"


def _heads(column: Column, longest: int) -> list[str]:
    """The lines of a column's head: its number, device, runtime and providers, broken after `-`, `+` or `.` where long."""
    lines = [f"[{column.number}]"]
    for part in (column.place.device, column.place.runtime, column.place.chain):
        line = ""
        for piece in re.split(r"(?<=[-+.])", part):
            if line and len(line) + len(piece) > longest:
                lines.append(line)
                line = ""
            line += piece
        lines.append(line)
    return lines


def _fitting(columns: Sequence[Column], widths: Sequence[int], width: int) -> Iterable[list[Column]]:
    """The columns in groups that fit `width`; one that is wider by itself is a group."""
    part: list[Column] = []
    used = 0
    for column, needed in zip(columns, widths, strict=True):
        if part and used + needed + _GAP > width:
            yield part
            part, used = [], 0
        part.append(column)
        used += needed + _GAP
    if part:
        yield part


def _table(shown: Sequence[_Shown], columns: dict[Column, int], label_width: int, longest: int) -> Table:
    table = plain_table()
    table.add_column(f"{_HEAD}\n  and opset", width=label_width, overflow="fold")
    for column, width in columns.items():
        table.add_column(Text("\n".join(_heads(column, longest))), width=width, overflow="fold")
    for entry in shown:
        if entry.squares is None:
            table.add_row(Text(entry.label, style="bold"))
        else:
            table.add_row(Text(entry.label), *(entry.squares[column.place] for column in columns))
    return table


def _keys(matrix: CompatMatrix, *, wide: bool) -> Iterable[Text]:
    """What the marks and letters mean."""
    squares = list(matrix.squares.values())
    seen = {square.outcome for square in squares}
    words = [f"{MARKS[word]} {word}" for word in OUTCOMES if word in seen]
    words += ["a, b, …: the finding below"] if seen - {"pass"} else []
    words += ["1/2: of several shapes or sessions"] if any(square.share for square in squares) else []
    words += [f"{word}: {meaning}" for word, meaning in REMARKS.items() if any(word in one.remarks for one in squares)]
    words += [". not planned"] if len(squares) < len(matrix.rows) * len(matrix.places) else []
    verdicts = {square.measured.get("verdict") for square in squares if square.measured} if wide else set()
    words += [f"{word.mark} {name} number" for name, word in VERDICTS.items() if name in verdicts and name != "trusted"]
    yield Text("   ".join(words), style="dim", overflow="fold")
    if not wide and any(len(line.rows) > 1 for line in lines_of(matrix)):
        yield Text("opsets on one line ended alike in every column; -o wide lists each, with its latency", style="dim")


def _columns(columns: Sequence[Column]) -> Iterable[RenderableType]:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for column in columns:
        grid.add_row(f"[{column.number}]", Text(column.place.title), Text(column.tally, style="dim"))
    yield grid


def compat_findings(matrix: CompatMatrix) -> RenderableType:
    """The legend of the letters: what went wrong, where, and what to do."""
    legend = legend_of(matrix)
    if not legend.entries:
        return Text("\nNo findings: every cell passes.")

    def build(width: int) -> RenderableType:
        parts: list[RenderableType] = [Text(), heading("Findings")]
        for entry in legend.entries:
            parts += [Text(), *_finding(entry, len(matrix.places), width)]
        return Group(*parts)

    return Adaptive(build)


def _finding(entry: Entry, total: int, width: int) -> Iterable[RenderableType]:
    finding = entry.finding
    amount = units.plural(len(finding.cells), "cell")
    where = columns_text(entry.columns, total)
    known = f", {entry.known} of them known" if entry.known else ""
    style = STYLES.get(PREDICTED if finding.about else finding.outcome, "")
    yield Text.assemble(
        (f"{entry.letter}  ", "bold"), (finding.title, style), f"  {amount}, {where}{known}", overflow="fold"
    )
    if finding.text:
        yield Padding(Text(finding.text), (0, 0, 0, 3))
    if finding.remedy:
        yield Padding(Text(f"-> {finding.remedy}", style="bold"), (0, 0, 0, 3))
    if finding.link:
        yield Padding(Text(f"see {finding.link}", style="dim", overflow="fold"), (0, 0, 0, 3))
    for line in finding.operators:
        yield Padding(Text(line, overflow="fold"), (0, 0, 0, 5))
    messages = [message for message in finding.by_message if message and message != finding.text]
    if messages:
        more = f" (and {units.plural(len(messages) - 1, 'other message')})" if len(messages) > 1 else ""
        yield Padding(Text(f"{messages[0]}{more}", overflow="fold"), (0, 0, 0, 5))
    example = "\n".join(broken_name(finding.cells[0]["name"], width, indent=5))
    yield Text(example, style="dim", overflow="fold")


def columns_text(numbers: Sequence[int], total: int) -> str:
    """`in every column`, or `in 1, 3-5`."""
    return "in every column" if len(numbers) == total and total > 1 else f"in [{opsets_text(numbers)}]"


def advice_table(matrix: CompatMatrix, advice: Advice) -> RenderableType:
    """The recommendation: in a sentence for all models, in a table for each, and what runs nowhere."""
    names = short_names(matrix, "[{}]")

    def build(_width: int) -> RenderableType:
        parts: list[RenderableType] = [Text(), heading("Recommendation")]
        said = headline(advice, names)
        if said:
            parts.append(Text(said, style="bold"))
        rows = list(rows_of(advice, names))
        if len(rows) > 1:
            table = plain_table()
            for head in ("model", "the fewest variants", "run on", "latency over the fastest"):
                table.add_column(head, overflow="fold", min_width=len(head) if head == "model" else 9)
            for row in rows[:_CHOICES]:
                table.add_row(Text(row.model, style="bold"), Text(row.use), Text(row.where), Text(row.cost))
            parts += [Text(), table]
        holes = hole_sentences(advice, names)
        parts += [Text(hole, style=STYLES["failed"], overflow="fold") for hole in holes[:_HOLES]]
        left = max(0, len(rows) - _CHOICES) + max(0, len(holes) - _HOLES)
        parts += [Text(f"and {units.plural(left, 'line')} more: -o md lists all", style="dim")] if left else []
        return Group(*parts)

    return Adaptive(build)


def compat_summary(matrix: CompatMatrix) -> RenderableType:
    """The next command: to resume what is open, else the story of a cell that does not pass, else the page."""
    run = matrix.doc["run"]["id"]
    squares = matrix.squares.values()
    failed = next((square.worst["name"] for square in squares if square.outcome in {"failed", "fallback"}), None)
    if any(square.outcome in {"lost", UNFINISHED} for square in squares):
        command = f"edgesweep run --resume {run}"
    elif failed:
        command = f"edgesweep compat explain {failed}"
    else:
        command = f"edgesweep compat matrix {run} -o html"
    return Text(f"\nNext: {command}", overflow="fold")
