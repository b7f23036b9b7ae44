"""What a check is made from and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgesweep_proto.device import Reading

from edgesweep.fleet.description import Description


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    ADVICE = "advice"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was read, with its unit, and what to do about it (empty where it is in order)."""

    level: Level
    subject: str
    read: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a device said of itself.

    `readings` are two looks at its state some seconds apart, taken while nothing of ours ran on it; empty where it was
    measuring. `held_by` is the owner of its lease.
    """

    found: Description
    readings: tuple[Reading, ...] = ()
    held_by: str = ""

    @property
    def now(self) -> Reading:
        """The last reading."""
        return self.readings[-1] if self.readings else self.found.reading

    @property
    def seconds(self) -> float:
        """How far the readings lie apart."""
        return self.readings[-1].at - self.readings[0].at if self.readings else 0.0

    def grown(self, counter: str) -> float | None:
        """By how much a counter of the readings grew in a second, in its own unit; None where that is not known."""
        if self.seconds <= 0:
            return None
        first, last = (getattr(reading, counter) for reading in (self.readings[0], self.readings[-1]))
        return None if first is None or last is None else max(0.0, last - first) / self.seconds


def ok(subject: str, read: str) -> Finding:
    """Something in order."""
    return Finding(Level.OK, subject, read)


def advice(subject: str, read: str, remedy: str) -> Finding:
    """Something that could be better."""
    return Finding(Level.ADVICE, subject, read, remedy)


def problem(subject: str, read: str, remedy: str) -> Finding:
    """Something that makes numbers untrustworthy."""
    return Finding(Level.PROBLEM, subject, read, remedy)


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def size(size_bytes: float) -> str:
    """Bytes as people read them: `512 MiB`, `3.7 GiB`."""
    mebibytes = size_bytes / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.1f} GiB"  # noqa: PLR2004 - MiB in a GiB
