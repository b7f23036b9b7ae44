"""What the provider's compiled models say: whether all trials ran the same one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgesweep.stats.facts import Finding, TrialFacts, doubt


def from_engines(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """The trials of a cell ran models that were compiled differently, so their spread is the compiler's as well."""
    engines = {trial.engine_hash for trial in trials if trial.engine_hash}
    if len(engines) > 1:
        yield doubt(
            f"another compiled model: its compiled model changed between trials, {len(engines)} different ones in all; "
            "the provider chooses anew each time it compiles, so use more trials"
        )
