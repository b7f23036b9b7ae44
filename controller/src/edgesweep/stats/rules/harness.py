"""Whether our own part was as it should be: threads where they belong, the cheapest call, a clock that is fine enough."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgesweep.stats.facts import Finding, TrialFacts, doubt, is_most

#: A median below so many times the null model's tells more of the call than of the model.
ABOVE_FLOOR = 2.0
#: Share of the median that a dearer call, or the step of the clock, may make up.
CALL_SHARE = 0.01
CLOCK_SHARE = 0.005
#: What the dearest way to call costs above the cheapest, where the device has not measured it.
DEAREST_CALL_S = 4e-6
#: Share of the inferences of a paced trial that may begin late.
LATE_SHARE = 0.01

_STARTED = re.compile(r"threads_started:([0-9]+)")


def from_threads(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """Threads were not held where they were to be, or there are more of them than were asked for."""
    loose = [trial for trial in trials if "not_pinned" in trial.tags]
    if loose:
        notes = sorted({trial.threads.note for trial in loose if trial.threads and trial.threads.note})
        why = notes[0] if notes else "threads may wander between cores"
        yield doubt(f"not pinned: {why}; ask for fewer threads, or let the agent set affinities")
    # A provider with a library of its own starts threads of its own, which has a tag of another name.
    tags = [_STARTED.fullmatch(tag) for trial in trials for tag in trial.tags]
    started = [int(found[1]) for found in tags if found]
    if started:
        yield doubt(
            f"other threads than asked: {max(started)} were found where {trials[0].threads_asked} were asked for; "
            "set session.threads to what the runtime really starts"
        )


def from_call(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """The cheapest way to call did not work on this runtime, and the other one costs too much of the median."""
    dear = []
    for trial in trials:
        if "call_fallback" in trial.tags and trial.session is not None and trial.median_s:
            cost = trial.session.call_cost_s
            dear.append(((DEAREST_CALL_S if cost is None else cost) / trial.median_s, trial.session.call))
    if dear and max(dear)[0] > CALL_SHARE:
        share, call = max(dear)
        yield doubt(
            f"call fallback: each inference is called through {call or 'a dearer way'}, which makes up {share:.1%} of the "
            "median; use a runtime on which raw_binding works"
        )


def from_clock(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """The model is as short as the call itself, or the clock's steps are as long as what they measure."""
    near = [
        (trial.median_s, trial.harness_floor_s)
        for trial in trials
        if trial.median_s and trial.harness_floor_s and trial.median_s < ABOVE_FLOOR * trial.harness_floor_s
    ]
    if is_most(near, trials):
        median, floor = min(near)
        yield doubt(
            f"near the harness floor: {median * 1e6:.2f} µs, of which an empty model takes {floor * 1e6:.2f} µs; "
            "measure larger inputs, or a larger model"
        )
    coarse = [
        trial.series.clock_step_s / (trial.median_s * trial.batch)
        for trial in trials
        if trial.series.clock_step_s is not None and trial.median_s
    ]
    if coarse and max(coarse) > CLOCK_SHARE:
        yield doubt(
            f"wrong clock: its steps are {max(coarse):.1%} of a sample; "
            "choose a finer clock source on the device, or measure larger inputs"
        )


def from_pace(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """A paced trial could not keep its period."""
    shares = [trial.late / (trial.n * trial.batch) for trial in trials if trial.n and trial.late]
    if shares and max(shares) > LATE_SHARE:
        yield doubt(f"late: {max(shares):.0%} of the inferences began after their time; ask for a longer period")
