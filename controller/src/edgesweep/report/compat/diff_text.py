"""The difference of two runs for people: on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group as Rendered
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.compat.diff import CompatDiff, Kind
from edgesweep.report.compat.diff_words import (
    WORDS,
    Group,
    from_to,
    groups_of,
    next_of,
    note_of,
    remarks_of,
    remedy_of,
    runs_of,
    sentence,
)
from edgesweep.report.markdown_text import code, text
from edgesweep.report.outcomes import OUTCOMES
from edgesweep.report.tables import STYLES, Adaptive, broken_name, heading

_SHOWN, _SHOWN_OF_FEW = 8, 3
#: Kinds of which a few names do: they say more of the plans than of the models.
_FEW = frozenset({Kind.NOT_RUN, Kind.MISSING, Kind.ADDED})


def render_diff(diff: CompatDiff) -> RenderableType:
    """The difference on the terminal, most urgent first."""

    def build(width: int) -> RenderableType:
        parts = list(_head(diff))
        for kind in Kind:
            if diff.of(kind):
                parts += _kind(diff, kind, width)
        return Rendered(*parts, Text(f"\nNext: {next_of(diff)}", overflow="fold"))

    return Adaptive(build)


def _head(diff: CompatDiff) -> Iterator[RenderableType]:
    yield Text()
    yield heading("What changed")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold", style="dim")
    for word, run, facts in runs_of(diff):
        grid.add_row(word, run, facts)
    yield grid
    for remark in remarks_of(diff):
        yield Text(remark, style=STYLES["fallback"])
    yield Text(sentence(diff), style="bold")


def _kind(diff: CompatDiff, kind: Kind, width: int) -> Iterator[RenderableType]:
    told = WORDS[kind]
    amount = units.plural(len(diff.of(kind)), "cell")
    yield Text()
    mark = OUTCOMES[told.outcome].mark
    yield Text.assemble((f"{mark} {told.title}", f"bold {STYLES.get(told.outcome, '')}".strip()), f"  {amount}")
    yield Padding(Text(told.meaning), (0, 0, 0, 2))
    yield Padding(Text(f"-> {remedy_of(kind, diff)}", style="bold", overflow="fold"), (0, 0, 0, 2))
    for group in groups_of(diff, kind):
        yield Padding(
            Text(f"{from_to(group)}  ({units.plural(len(group.changes), 'cell')})", overflow="fold"), (0, 0, 0, 4)
        )
        yield from _names(group, width, _SHOWN_OF_FEW if kind in _FEW else _SHOWN)


def _names(group: Group, width: int, shown: int) -> Iterator[RenderableType]:
    for change in group.changes[:shown]:
        note = f" ({note_of(change)})" if note_of(change) else ""
        yield Text("\n".join(broken_name(change.name + note, width, indent=6)), style="dim", overflow="fold")
    left = len(group.changes) - shown
    if left > 0:
        yield Padding(Text(f"and {left} more: -o md lists all", style="dim"), (0, 0, 0, 6))


def render_markdown(diff: CompatDiff) -> str:
    """The difference as Markdown, every cell named."""
    parts = ["# What changed between two runs"]
    parts.append("\n".join(f"- {word}: {code(run)}, {text(facts)}" for word, run, facts in runs_of(diff)))
    parts += [text(remark) for remark in remarks_of(diff)]
    parts.append(f"**{text(sentence(diff))}**")
    for kind in Kind:
        if not diff.of(kind):
            continue
        told = WORDS[kind]
        parts.append(f"## {told.title[0].upper()}{told.title[1:]} ({units.plural(len(diff.of(kind)), 'cell')})")
        parts.append(f"{told.meaning[0].upper()}{told.meaning[1:]}. Remedy: {text(remedy_of(kind, diff))}.")
        lines = []
        for group in groups_of(diff, kind):
            lines.append(f"- {text(from_to(group))}")
            lines += [
                f"  - {code(change.name)}" + (f" ({note_of(change)})" if note_of(change) else "")
                for change in group.changes
            ]
        parts.append("\n".join(lines))
    parts.append(f"Next: {code(next_of(diff))}")
    return "\n\n".join(parts) + "\n"
