"""The catalogue of causes and the words of stored failures, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.failures.listing import Cause
from edgesweep.failures.rules import SHORT_HASH, Rule
from edgesweep.report.units import plural

if TYPE_CHECKING:
    from edgesweep.store.messages import StoredMessage

#: Cells of a stored failure that are named.
_CELLS = 10


def causes_table(causes: Iterable[Cause]) -> RenderableType:
    """One row a cause: code, kind, where it occurs, and what it means with what to do about it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("cause", "kind", "stage", "meaning"):
        table.add_column(name, no_wrap=name in {"cause", "kind"}, overflow="fold")
    for cause in causes:
        meaning = Group(Text(cause.text), Text(f"-> {cause.remedy}", style="bold"), *_see(cause))
        table.add_row(cause.code, kind(cause), stages(cause), meaning)
    return table


def causes_markdown(causes: Iterable[Cause]) -> str:
    """The same as a Markdown table."""
    lines = ["| cause | kind | stage | meaning | what to do |", "| --- | --- | --- | --- | --- |"]
    for cause in causes:
        known = f" ([more]({cause.link}))" if cause.link else ""
        cells = (f"`{cause.code}`", kind(cause), stages(cause), cause.text, f"{cause.remedy}{known}")
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def cause_text(cause: Cause) -> RenderableType:
    """One cause in full."""
    title = Text.assemble((cause.code, "bold"), f"  {kind(cause)}, at {stages(cause)}")
    return Group(title, Text(cause.text), Text(f"-> {cause.remedy}", style="bold"), *_see(cause))


def message_text(found: StoredMessage, rule: Rule | None) -> RenderableType:
    """Stored failures with the same words: what was said, where, and the command that teaches what it is."""
    amount = f"{plural(len(found.cells), 'cell')} in {plural(len(found.runs), 'run')}"
    parts: list[RenderableType] = [
        Text.assemble((found.hash[:SHORT_HASH], "bold"), f"  {found.cause} at {found.stage}, {amount}"),
        Text(found.message, overflow="fold"),
        Text(),
        Padding(Text(found.evidence or found.normalised, overflow="fold"), (0, 0, 0, 2)),
        Text(),
        *(Text(f"  {name}", style="dim", overflow="fold") for name in found.cells[:_CELLS]),
    ]
    if len(found.cells) > _CELLS:
        parts.append(Text(f"  and {len(found.cells) - _CELLS} more", style="dim"))
    if rule is not None:
        parts.append(Text(f"your rule: {rule.cause}{f' ({rule.note})' if rule.note else ''}"))
    else:
        parts.append(Text(f"-> edgesweep failure learn {found.hash[:SHORT_HASH]} --cause CODE", style="bold"))
    return Group(*parts)


def kind(cause: Cause) -> str:
    """`finding` for what says something about the model, `lab` for what may pass by itself."""
    return "finding" if cause.stable else "lab"


def stages(cause: Cause) -> str:
    """Where the cause occurs."""
    return ", ".join(cause.stages) or "any"


def _see(cause: Cause) -> list[Text]:
    return [Text(f"see {cause.link}", style="dim", overflow="fold")] if cause.link else []
