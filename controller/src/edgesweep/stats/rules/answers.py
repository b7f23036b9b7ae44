"""What the outputs say of the model that was timed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgesweep.stats.facts import Finding, TrialFacts, doubt

_ALL_NAN = "all_nan:"


def from_nan(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """An output holds nothing but NaN: the time is real, but hardly that of the model at work."""
    names = sorted(
        {tag.removeprefix(_ALL_NAN) for trial in trials for tag in trial.tags if tag.startswith(_ALL_NAN)},
    )
    if names:
        yield doubt(
            f"all NaN: the output {names[0]} holds nothing else; give inputs of the range that the model was made for, "
            "and references to hold its outputs against"
        )
