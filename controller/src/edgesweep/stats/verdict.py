"""Whether a number can be trusted: the rules of `stats.rules` on what the kernel and the sensors said meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from edgesweep.stats.facts import Finding, Rule, TrialFacts, Verdict
from edgesweep.stats.rules import answers, compiled, course, device, enough, harness, kernel
from edgesweep.stats.rules.kernel import runqueue_share

__all__ = ["TrialFacts", "Verdict", "judge", "runqueue_share"]

#: In the order in which reasons of the same weight are told.
RULES: tuple[Rule, ...] = (
    enough.from_interval,
    kernel.from_waiting,
    kernel.from_others,
    kernel.from_memory,
    kernel.from_gaps,
    device.from_gates,
    device.from_sensors,
    device.from_watching,
    harness.from_threads,
    harness.from_call,
    harness.from_clock,
    harness.from_pace,
    course.from_course,
    course.from_spread,
    answers.from_nan,
    compiled.from_engines,
    device.from_tags,
)


def judge(trials: Sequence[TrialFacts], *, planned: int) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on a passing cell, with every reason against it.

    Args:
        trials: the completed trials of the cell, one per process.
        planned: how many the preset asked for.

    Returns:
        The worst verdict that any rule gives (`trusted` without a reason), and one sentence per reason with what
        to do about it, gravest first.
    """
    findings: list[Finding] = [*enough.from_counts(trials, planned)]
    for rule in RULES:
        findings += rule(trials)
    grave = [finding.reason for finding in findings if finding.verdict is Verdict.INVALID]
    light = [finding.reason for finding in findings if finding.verdict is Verdict.DOUBTFUL]
    verdict = Verdict.INVALID if grave else Verdict.DOUBTFUL if light else Verdict.TRUSTED
    return verdict, tuple(dict.fromkeys([*grave, *light]))
