"""A comparison of nodes for people: on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.markdown_text import code as _code
from edgesweep.report.markdown_text import table as _table
from edgesweep.report.markdown_text import text as _text
from edgesweep.report.node_comparison import NodeComparison, OperatorPair, Pair, Side, difference, ratio
from edgesweep.report.tables import Adaptive, heading, plain_table
from edgesweep.stats.placement import short

#: So many nodes and operators are shown; the JSON has all.
SHOWN = 30

_Times = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class _Part:
    """One table: its title, its heads, which of them are numbers, its rows, and how many more there are."""

    title: str
    heads: tuple[str, ...]
    numbers: frozenset[int]
    rows: list[tuple[str, ...]]
    more: int = 0


def comparison_table(found: NodeComparison) -> RenderableType:
    """What the terminal shows."""

    def build(_width: int) -> RenderableType:
        lines: list[RenderableType] = [
            Text(f"{letter}  {_where(side)}", overflow="fold") for letter, side in _sides(found)
        ]
        for part in _parts(found):
            lines += [Text(), heading(part.title), _rich(part)]
            if part.more:
                lines.append(Text(_more(part), style="dim"))
        return Group(*lines, Text(), *(Text(note, style="dim", overflow="fold") for note in _notes(found)))

    return Adaptive(build)


def comparison_markdown(found: NodeComparison) -> str:
    """The same for a pull request."""
    parts = [
        "# Nodes of two cells",
        "\n".join(f"- {letter}: {_code(side.cell)} {_about(side)}" for letter, side in _sides(found)),
    ]
    for part in _parts(found):
        rows = [
            tuple(cell if place in part.numbers else _text(cell) for place, cell in enumerate(row)) for row in part.rows
        ]
        parts += [f"## {_text(part.title)}", _table(part.heads, rows, right=set(part.numbers))]
        parts += [_more(part)] if part.more else []
    parts += map(_text, _notes(found))
    return "\n\n".join(parts) + "\n"


def _parts(found: NodeComparison) -> Iterable[_Part]:
    unit = units.time_unit([*found.totals, *(time for pair in found.pairs for time in pair.seconds)])
    times = tuple(f"{head} {unit.symbol}" for head in ("A", "B", "B-A"))

    def figures(seconds: _Times) -> tuple[str, ...]:
        factor = ratio(seconds)
        shown = units.NOTHING if factor is None else f"{units.number(factor)}x"
        return unit.show(seconds[0]), unit.show(seconds[1]), _signed(unit, difference(seconds)), shown

    yield _Part("All nodes", (*times, "B/A"), frozenset(range(4)), [figures(found.totals)])
    yield _Part(
        "By operator",
        ("operator", "nodes A", "nodes B", *times, "B/A", "provider"),
        frozenset(range(1, 7)),
        [_operator(pair, figures(pair.seconds)) for pair in found.operators[:SHOWN]],
        max(0, len(found.operators) - SHOWN),
    )
    moved = [pair for pair in found.pairs if pair.moved]
    stayed = [pair for pair in found.pairs if not pair.moved]
    for title, pairs in (("Moved to another provider", moved), ("By node", stayed)):
        if pairs:
            yield _Part(
                title,
                ("node", "operator", *times, "B/A", "provider"),
                frozenset(range(2, 6)),
                [_node(pair, figures(pair.seconds)) for pair in pairs[:SHOWN]],
                max(0, len(pairs) - SHOWN),
            )


def _operator(pair: OperatorPair, figures: tuple[str, ...]) -> tuple[str, ...]:
    counts = tuple(units.count(count) if count else units.NOTHING for count in pair.nodes)
    return (pair.operator, *counts, *figures, _way(pair.providers))


def _node(pair: Pair, figures: tuple[str, ...]) -> tuple[str, ...]:
    mark = "~" if pair.matched_by == "order" else ""
    return (f"{mark}{pair.name}", ", ".join(pair.operators), *figures, _way(pair.providers))


def _way(providers: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    """`cpu`, or `openvino -> cpu`; which side lacks it where only one has it."""
    first, second = ("+".join(map(short, side)) for side in providers)
    if first and second:
        return first if first == second else f"{first} -> {second}"
    return f"{first}, only A" if first else f"{second}, only B"


def _signed(unit: units.Unit, seconds: float) -> str:
    return f"+{unit.show(seconds)}" if seconds > 0 else unit.show(seconds)


def _sides(found: NodeComparison) -> Sequence[tuple[str, Side]]:
    return (("A", found.first), ("B", found.second))


def _where(side: Side) -> str:
    return f"{side.cell} {_about(side)}"


def _about(side: Side) -> str:
    profile = side.profile
    told = f"{units.plural(profile['runs'], 'run')} of {units.plural(profile['trials'], 'trial')}"
    return f"(run {side.run}, {told})"


def _notes(found: NodeComparison) -> Iterable[str]:
    yield "Times are of one inference with the profiler on, which is slower than the timed session: medians over runs and trials."
    if any(pair.matched_by == "part" for pair in found.pairs):
        yield "A part that a provider compiled as one is held against all nodes that it stands for."
    if any(pair.matched_by == "order" for pair in found.pairs):
        yield "~ has another name in B: matched by operator, sizes and order."
    for letter, side in _sides(found):
        if side.profile["left_out"]:
            left = f"{units.plural(side.profile['left_out'], 'node')}, {units.seconds(side.profile['left_out_s'])} together"
            yield f"{letter} has {left}, that are in its total only."


def _more(part: _Part) -> str:
    return f"and {part.more:,} more: -o json has all of them"


def _rich(part: _Part) -> RenderableType:
    table = plain_table()
    for place, head in enumerate(part.heads):
        if place in part.numbers:
            table.add_column(head, justify="right", no_wrap=True)
        else:
            table.add_column(head, overflow="fold")
    for row in part.rows:
        table.add_row(*map(Text, row))
    return table
