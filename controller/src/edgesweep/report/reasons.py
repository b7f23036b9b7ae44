"""The reasons against numbers, told once each: cells of a run share a few reasons that differ in a figure only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from edgesweep.report.outcomes import Cell

_FIGURE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_SHORT_CHARS = 40
#: What the reason is called that tells a tag in words, where it has another name than the tag.
_TOLD_AS = {
    "emulated": "emulated processor",
    "io_mode_not_honoured": "another I/O mode",
    "page_cache_not_honoured": "page cache not as asked",
    "provider_cache_not_honoured": "provider cache not primed",
    "threads_started": "other threads than asked",
}


@dataclass(slots=True)
class Note:
    """One reason of many cells. `place` numbers it from 1; `figures` holds, by position, what the cells' texts say."""

    place: int
    name: str
    pattern: list[str]
    figures: list[list[str]] = field(default_factory=list)
    cells: int = 0

    @property
    def text(self) -> str:
        """The reason in full, with the range of each figure that differs: `waited 19.2 to 57.3% of the time`."""
        parts = [self.pattern[0]]
        for figures, following in zip(self.figures, self.pattern[1:], strict=True):
            ordered = sorted(set(figures), key=float)
            parts += [ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}", following]
        return "".join(parts)

    @property
    def explanation(self) -> str:
        """The full text without the name that it begins with."""
        return self.text.removeprefix(f"{self.name}: ")


def notes_of(cells: Iterable[Cell]) -> dict[str, Note]:
    """Every reason as written in a cell, and the note that tells it; notes are numbered in the order of the cells."""
    by_pattern: dict[tuple[str, ...], Note] = {}
    notes: dict[str, Note] = {}
    for cell in cells:
        for reason in map(str, cell.get("reasons") or []):
            pattern = _FIGURE.split(reason)
            note = by_pattern.get(tuple(pattern))
            if note is None:
                note = Note(len(by_pattern) + 1, short_reason(reason), pattern, [[] for _ in pattern[1:]])
                by_pattern[tuple(pattern)] = note
            for figures, figure in zip(note.figures, _FIGURE.findall(reason), strict=True):
                figures.append(figure)
            note.cells += 1
            notes[reason] = note
    return notes


def short_reason(reason: str) -> str:
    """The name that a reason begins with: `noisy` of `noisy: the worker waited …`."""
    name = reason.split(":", 1)[0] if ":" in reason else reason
    return name if len(name) <= _SHORT_CHARS else f"{name[: _SHORT_CHARS - 1]}…"


def untold(tags: Iterable[str], names: Collection[str]) -> list[str]:
    """The tags that none of a cell's reasons, by their names, tells in words already."""
    told = {name.lower().replace(" ", "_") for name in names}
    kinds = ((tag, tag.partition(":")[0]) for tag in tags)
    return [tag for tag, kind in kinds if kind not in told and _TOLD_AS.get(kind) not in names]
