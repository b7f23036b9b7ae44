"""Whether a number can be trusted: rules on what the kernel and the sensors said while it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgesweep_proto.device import Reading
from edgesweep_proto.trial import Accounting

#: Samples below which a median says nothing at all.
MIN_MEANINGFUL = 5
#: Share of the wall time that the worker waited for a CPU: clean up to the first, useless beyond the second.
RUNQUEUE_CLEAN = 0.01
RUNQUEUE_LIMIT = 0.05
#: Involuntary switches a second that count as a crowded CPU where the kernel tells no run-queue wait.
SWITCHES_PER_S = 50.0
#: Major faults per sample that cannot be the odd stray page.
FAULTS_PER_SAMPLE = 0.01
#: A pinned clock that reads below this share of its start value has been throttled.
CLOCK_DROP = 0.90
#: Process medians that lie further apart than this (largest over smallest) do not measure the same thing.
PROCESS_SPREAD = 1.25


class Verdict(StrEnum):
    """Whether a passing number can be trusted."""

    TRUSTED = "trusted"
    DOUBTFUL = "doubtful"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class TrialFacts:
    """What a verdict is made from, for one completed trial.

    `n` counts measured samples, `needed` the protocol's floor of them; `median_s` is the trial's median in seconds.
    """

    n: int
    accounting: Accounting | None = None
    stop_reason: str = ""
    before: Reading | None = None
    after: Reading | None = None
    tags: tuple[str, ...] = ()
    needed: int = 10
    median_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Finding:
    verdict: Verdict
    reason: str


#: Tags that bear on a number, with their weight and what to do. Other tags are facts, not faults.
_TAGS = {
    "emulated": _Finding(
        Verdict.INVALID, "emulated processor: times of an emulator say nothing of a board; measure on the board itself"
    ),
    "shared_host": _Finding(
        Verdict.DOUBTFUL, "shared host: the controller runs on the measured machine; start it on another one"
    ),
    "busy_host": _Finding(
        Verdict.DOUBTFUL, "busy host: other work ran on the device; stop it, or measure when the device is idle"
    ),
    "hot_start": _Finding(
        Verdict.DOUBTFUL, "hot start: the device had not cooled down; give it a fan, or longer pauses"
    ),
    "no_steady_state": _Finding(
        Verdict.DOUBTFUL, "no steady state: times still moved when the warm-up ended; raise measure.warmup_min_s"
    ),
}


def judge(trials: Sequence[TrialFacts], *, planned: int) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on a passing cell, with every reason against it.

    Args:
        trials: the completed trials of the cell, one per process.
        planned: how many the preset asked for.

    Returns:
        The worst verdict that any rule gives (`trusted` without a reason), and one sentence per reason with what
        to do about it, gravest first.
    """
    findings = [
        *_from_counts(trials, planned),
        *_from_runqueue(trials),
        *_from_switches(trials),
        *_from_faults(trials),
        *_from_sensors(trials),
        *_from_spread(trials),
        *(_TAGS[tag] for tag in sorted({tag for trial in trials for tag in trial.tags}) if tag in _TAGS),
    ]
    grave = [finding.reason for finding in findings if finding.verdict is Verdict.INVALID]
    light = [finding.reason for finding in findings if finding.verdict is Verdict.DOUBTFUL]
    verdict = Verdict.INVALID if grave else Verdict.DOUBTFUL if light else Verdict.TRUSTED
    return verdict, tuple(dict.fromkeys([*grave, *light]))


def runqueue_share(accounting: Accounting | None) -> float | None:
    """The share (0 to 1) of the measured wall time in which the worker waited for a CPU; None when not known."""
    if accounting is None or accounting.runqueue_wait_s is None or accounting.wall_s <= 0:
        return None
    return accounting.runqueue_wait_s / accounting.wall_s


def _from_counts(trials: Sequence[TrialFacts], planned: int) -> Iterable[_Finding]:
    if not trials:
        yield _Finding(Verdict.INVALID, "no trial was completed; resume the run")
        return
    fewest = min(trials, key=lambda trial: trial.n)
    stopped = f" (stopped by {fewest.stop_reason})" if fewest.stop_reason else ""
    if fewest.n < MIN_MEANINGFUL:
        yield _Finding(
            Verdict.INVALID,
            f"too few samples: {fewest.n}{stopped}, {MIN_MEANINGFUL} at least; raise measure.max_duration_s",
        )
    elif fewest.n < fewest.needed:
        yield _Finding(
            Verdict.DOUBTFUL, f"few samples: {fewest.n} of {fewest.needed}{stopped}; raise measure.max_duration_s"
        )
    if len(trials) < planned:
        yield _Finding(Verdict.DOUBTFUL, f"only {len(trials)} of {planned} trials completed; resume or repeat the run")
    if len(trials) == 1:
        yield _Finding(
            Verdict.DOUBTFUL, "single trial: the spread between processes is unknown; use the preset quick or nightly"
        )


def _from_runqueue(trials: Sequence[TrialFacts]) -> Iterable[_Finding]:
    shares = [share for trial in trials if (share := runqueue_share(trial.accounting)) is not None]
    if not shares or max(shares) <= RUNQUEUE_CLEAN:
        return
    noisy = sum(share > RUNQUEUE_LIMIT for share in shares)
    # The median over processes outlives a noisy minority of them.
    verdict = Verdict.INVALID if 2 * noisy >= len(trials) else Verdict.DOUBTFUL
    yield _Finding(
        verdict,
        f"noisy: the worker waited for a CPU {max(shares):.1%} of the time (clean up to {RUNQUEUE_CLEAN:.0%}); "
        "stop other work on the device and repeat the run",
    )


def _from_switches(trials: Sequence[TrialFacts]) -> Iterable[_Finding]:
    rates = [
        trial.accounting.involuntary_switches / trial.accounting.wall_s
        for trial in trials
        if trial.accounting is not None and trial.accounting.wall_s > 0 and trial.accounting.runqueue_wait_s is None
    ]
    if rates and max(rates) > SWITCHES_PER_S:
        yield _Finding(
            Verdict.DOUBTFUL,
            f"interrupted: {max(rates):.0f} involuntary switches a second; stop other work on the device",
        )


def _from_faults(trials: Sequence[TrialFacts]) -> Iterable[_Finding]:
    worst = max(
        (
            trial.accounting.major_faults
            for trial in trials
            if trial.accounting is not None and trial.accounting.major_faults > FAULTS_PER_SAMPLE * trial.n
        ),
        default=0,
    )
    if worst:
        yield _Finding(
            Verdict.DOUBTFUL,
            f"memory pressure: {worst} page faults went to the disk while it measured; free memory on the device",
        )


def _from_sensors(trials: Sequence[TrialFacts]) -> Iterable[_Finding]:
    flags = sorted(
        {flag for trial in trials for reading in (trial.before, trial.after) if reading for flag in reading.throttle}
    )
    if flags:
        yield _Finding(Verdict.DOUBTFUL, f"throttled: {', '.join(flags)}; cool the device and check its power supply")
    drops = [drop for trial in trials if (drop := _clock_drop(trial)) is not None]
    if drops and min(drops) < CLOCK_DROP:
        yield _Finding(
            Verdict.DOUBTFUL, f"clock fell to {min(drops):.0%} of its start value; cool the device and repeat the run"
        )


def _clock_drop(trial: TrialFacts) -> float | None:
    """The smallest after/before ratio of clocks that a governor holds up; others move with the load, not with heat."""
    before, after = trial.before, trial.after
    if before is None or after is None:
        return None
    ratios = [
        after.frequencies_hz[policy] / start
        for policy, start in before.frequencies_hz.items()
        if start > 0 and policy in after.frequencies_hz and before.governors.get(policy) == "performance"
    ]
    return min(ratios, default=None)


def _from_spread(trials: Sequence[TrialFacts]) -> Iterable[_Finding]:
    medians = [trial.median_s for trial in trials if trial.median_s]
    if len(medians) > 1 and max(medians) > PROCESS_SPREAD * min(medians):
        yield _Finding(
            Verdict.DOUBTFUL,
            f"processes disagree: medians differ by a factor of {max(medians) / min(medians):.2f}; "
            "look for clocks or placement that change, and use more trials",
        )
