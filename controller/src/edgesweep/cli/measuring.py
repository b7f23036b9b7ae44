"""The progress of `edgesweep measure`: one line per trial on stderr, and not a word while times are taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings

if TYPE_CHECKING:
    from edgesweep.sweep.measure import Progress

#: What a trial waits for before it begins, by the gate's name.
_WAITS = {"idle": "nothing else uses this machine", "thermal": "this machine has cooled down"}


def shown_steps(settings: Settings) -> Progress:
    """Sentences for whoever waits; with `-v` every stage of a trial too, with `-q` nothing."""
    from edgesweep_proto.trial import TrialEvent, TrialOutcome, TrialState

    from edgesweep.report.units import latency
    from edgesweep.store.records import TrialRecord
    from edgesweep.sweep.measure import Progress

    started = time.monotonic()

    def say(sentence: str) -> None:
        if not settings.quiet:
            click.echo(f"[{time.monotonic() - started:5.1f} s] {sentence}", err=True)

    def step(event: TrialEvent) -> None:
        if event.waits_for:
            say(f"waiting until {_WAITS.get(event.waits_for, event.waits_for)}")
            return
        # The line of `measure` is written before the first time is taken: the worker announces it, then begins.
        if settings.verbose and event.state is TrialState.RUNNING:
            say(f"  {event.stage.value}")

    def ended(trial: TrialRecord, number: int) -> None:
        found, result = trial.latency, trial.result
        figures = latency(found.median, found.mad, found.n) if found else ""
        words = figures if result.outcome is TrialOutcome.PASS else " ".join([str(result.outcome), result.cause])
        say(f"trial {number}: {words}")

    return Progress(say, step, ended)
