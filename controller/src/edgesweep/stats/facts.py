"""What a verdict is made from, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edgesweep_proto.device import Reading
from edgesweep_proto.evidence import DeviceTrace, Gate, ThreadFacts
from edgesweep_proto.trial import Accounting, Protocol, SessionFacts

from edgesweep.stats.series import Series


class Verdict(StrEnum):
    """Whether a passing number can be trusted."""

    TRUSTED = "trusted"
    DOUBTFUL = "doubtful"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class TrialFacts:
    """What is known of one completed trial beside its figures.

    `n` counts measured samples of `batch` inferences each; `median_s` is the trial's median in seconds per inference and
    `half_width` half the width of its 95 % interval over it. `protocol` and `threads_asked` are what was asked, all else
    is what was found. `late` counts inferences of a paced trial that began late. `tags` are the trial's own.
    `engine_hash` names the model that the provider compiled, empty where it keeps none.
    """

    n: int
    accounting: Accounting | None = None
    stop_reason: str = ""
    before: Reading | None = None
    after: Reading | None = None
    tags: tuple[str, ...] = ()
    median_s: float | None = None
    batch: int = 1
    half_width: float | None = None
    late: int = 0
    protocol: Protocol = field(default_factory=Protocol)
    threads_asked: int = 1
    session: SessionFacts | None = None
    threads: ThreadFacts | None = None
    gates: tuple[Gate, ...] = ()
    trace: DeviceTrace | None = None
    harness_floor_s: float | None = None
    series: Series = field(default_factory=Series)
    engine_hash: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason against a number: its name, what was found, and behind the semicolon what to do about it."""

    verdict: Verdict
    reason: str


Rule = Callable[[Sequence[TrialFacts]], Iterable[Finding]]


def doubt(reason: str) -> Finding:
    """A reason for which the number is doubtful."""
    return Finding(Verdict.DOUBTFUL, reason)


def is_most(some: Sequence[object], trials: Sequence[object]) -> bool:
    """Whether half of the trials or more are among `some`: the median over trials outlives a smaller part."""
    return bool(some) and 2 * len(some) >= len(trials)
