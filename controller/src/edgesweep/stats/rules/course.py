"""What the samples themselves say: no steady state, slowing down, unsteady, two modes, processes that disagree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgesweep.stats.facts import Finding, TrialFacts, doubt, is_most
from edgesweep.stats.rules.kernel import is_crowded
from edgesweep.stats.series import Course

#: Process medians that lie further apart than this (largest over smallest) do not measure the same thing.
PROCESS_SPREAD = 1.10
#: One in so many processes is left out of that on either side, the outermost first: the median outlives them.
PROCESSES_PER_ODD_ONE = 4


def from_course(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """How the times went, where most trials say the same; one odd trial is outlived by the median over trials.

    Trials that waited for a CPU are left out: what a crowd does to their times is no word on the model.
    """
    trials = [trial for trial in trials if not is_crowded(trial)]
    moving = [trial for trial in trials if "no_steady_state" in trial.tags]
    if is_most(moving, trials):
        yield doubt(
            f"no steady state: times of {_share(moving, trials)} still moved when the warm-up ended; "
            "raise measure.warmup_max_s"
        )
    # Minutes on end are asked for to see just that.
    plain = [trial for trial in trials if trial.protocol.scenario != "sustained"]
    slowing = [trial for trial in plain if trial.series.course is Course.SLOWDOWN]
    if is_most(slowing, trials):
        most = max(trial.series.change or 0.0 for trial in slowing)
        yield doubt(
            f"slowdown: {_share(slowing, trials)} got slower while measured, by {most:.0%} at the end; "
            "look for heat, or for a model that keeps what it computes"
        )
    split = [trial for trial in trials if trial.series.modes]
    if is_most(split, trials):
        faster, slower = max(
            (trial.series.modes for trial in split), key=lambda modes: min(mode.share for mode in modes)
        )
        yield doubt(
            f"two modes: {_share(split, trials)} jump between {_time(faster.median_s)} ({faster.share:.0%}) and "
            f"{_time(slower.median_s)} ({slower.share:.0%}), so a median is one of them by chance; "
            "look for inputs, clocks or cores that change"
        )
    restless = [trial for trial in plain if trial.series.course is Course.UNSTEADY and not trial.series.modes]
    if is_most(restless, trials):
        yield doubt(
            f"unsteady: times of {_share(restless, trials)} move between levels; "
            "stop other work, fix the clocks, and repeat the run"
        )


def from_spread(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """The processes of a cell do not agree."""
    medians = sorted(trial.median_s for trial in trials if trial.median_s and not is_crowded(trial))
    odd = max(0, len(medians) - 1) // PROCESSES_PER_ODD_ONE
    kept = medians[odd : len(medians) - odd]
    if len(kept) > 1 and kept[-1] > PROCESS_SPREAD * kept[0]:
        yield doubt(
            f"processes disagree: medians differ by a factor of {kept[-1] / kept[0]:.2f}; "
            "look for clocks or placement that change, and use more trials"
        )


def _share(some: Sequence[TrialFacts], trials: Sequence[TrialFacts]) -> str:
    return f"{len(some)} of {len(trials)} trials" if len(trials) > 1 else "the trial"


def _time(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
