"""Whether enough was measured: trials, samples, and how surely they know the median."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgesweep.stats.facts import Finding, TrialFacts, Verdict, doubt, is_most
from edgesweep.stats.rules.kernel import is_crowded

#: Samples below which a median says nothing at all.
MIN_MEANINGFUL = 5
#: An inference slower than this needs `SLOW_FLOOR` of them only (the protocol's section 2.4).
SLOW_S = 0.2
SLOW_FLOOR = 10
#: An interval wider than so many times what was asked for is worth a doubt; up to there it is told beside the median.
WIDE = 4.0

_CAPS = {"max_duration": "max_duration_s", "max_inferences": "max_inferences"}
#: What to raise where a trial ended with too little: the cap that ended it, or the floor that it met.
_MORE = _CAPS | {"floors_met": "min_inferences", "interval_met": "min_inferences"}


def from_counts(trials: Sequence[TrialFacts], planned: int) -> Iterable[Finding]:
    """Too few trials or samples. `planned` is how many trials the preset asked for."""
    if not trials:
        yield Finding(Verdict.INVALID, "no trial: none was completed; resume the run")
        return
    fewest = min(trials, key=lambda trial: trial.n)
    if fewest.n < MIN_MEANINGFUL:
        yield Finding(
            Verdict.INVALID,
            f"too few samples: {fewest.n}{_stopped(fewest)}, {MIN_MEANINGFUL} at least; {_more(fewest)}",
        )
    else:
        # A cap ends with the last whole batch under it.
        short = [trial for trial in trials if (trial.n + 1) * trial.batch <= _needed(trial)]
        if short:
            worst = min(short, key=lambda trial: trial.n * trial.batch)
            yield doubt(
                f"few samples: {worst.n * worst.batch} of {_needed(worst)} inferences{_stopped(worst)}; {_more(worst)}"
            )
    if len(trials) < planned:
        yield doubt(f"trials missing: {len(trials)} of {planned} completed; resume or repeat the run")
    if len(trials) == 1:
        yield doubt("single trial: the spread between processes is unknown; use the preset quick or nightly")


def from_interval(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """A cap ended most trials long before the interval was as narrow as asked; in a crowd that is no news."""
    trials = [trial for trial in trials if not is_crowded(trial)]
    wide = [
        (trial.half_width, trial)
        for trial in trials
        if trial.half_width is not None
        and trial.protocol.target_half_width > 0
        and trial.stop_reason in _CAPS
        and trial.half_width > WIDE * trial.protocol.target_half_width
    ]
    if is_most(wide, trials):
        reached, trial = max(wide, key=lambda pair: pair[0])
        yield doubt(
            f"wide interval: the median is known to ±{reached:.1%} where ±{trial.protocol.target_half_width:.1%} was asked, "
            f"stopped by {trial.stop_reason}; raise measure.{_CAPS[trial.stop_reason]} or quieten the device"
        )


def _needed(trial: TrialFacts) -> int:
    slow = (trial.median_s or 0.0) > SLOW_S or trial.protocol.period_s > SLOW_S
    return min(trial.protocol.min_inferences, SLOW_FLOOR) if slow else trial.protocol.min_inferences


def _stopped(trial: TrialFacts) -> str:
    return f" (stopped by {trial.stop_reason})" if trial.stop_reason else ""


def _more(trial: TrialFacts) -> str:
    return f"raise measure.{_MORE.get(trial.stop_reason, 'max_duration_s')}"
