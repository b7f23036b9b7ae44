"""One step of a story."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How a step went; `open` was not tried."""

    OK = "ok"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, how it went, and what there is to say of it, a sentence a line."""

    title: str
    mark: Mark
    lines: tuple[str, ...]
