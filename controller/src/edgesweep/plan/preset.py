"""Presets of a measurement: how many trials, how long, and when to stop.

Both floors of a protocol (inferences and seconds) are met before a trial stops, unless a cap comes first: percentiles
need a count, drift of the clocks needs time. Beyond the floors a full trial goes on until its interval is narrow.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesweep_proto.trial import Protocol
from edgesweep_worker.providers import facts_of

from edgesweep.plan.cell import Session
from edgesweep.plan.providers import full_name
from edgesweep.plan.scenario import PACED, SUSTAINED

if TYPE_CHECKING:
    from edgesweep.plan.measuring import MeasureSection

#: Of inferences slower than this the worker measures so many at least (edgesweep_worker.measure).
SLOW_S = 0.2
SLOW_FLOOR = 10
#: A sustained trial ends by its time alone; so many inferences stand for no limit of their number.
NO_LIMIT = 2**31 - 1
#: The worker gives inferences slower than 1 s so many times the caps of time (edgesweep_worker.measure).
VERY_SLOW_CAPS = 3


@dataclass(frozen=True, slots=True)
class Preset:
    """How a cell is measured: fresh processes (`trials`), the protocol of each, and seconds allowed per stage.

    `named_deadlines` are those stages whose deadline the plan itself names. With `shape_changes` each trial also tells what
    it costs to change to the other shapes of its variant.
    """

    name: str
    trials: int
    protocol: Protocol
    deadlines_s: dict[str, float] = field(default_factory=dict)
    named_deadlines: frozenset[str] = frozenset()
    shape_changes: bool = False

    def protocol_for(self, session: Session) -> Protocol:
        """The protocol for a cell: the session says how inputs and outputs travel, and how inferences follow each other."""
        scenario = session.scenario
        protocol = dataclasses.replace(
            self.protocol,
            io_mode=session.io_mode,
            scenario=scenario.kind,
            period_s=scenario.seconds if scenario.kind == PACED else 0.0,
            concurrency=session.concurrency,
            page_cache=session.page_cache,
            provider_cache=session.provider_cache,
            pin_threads=session.pin_threads,
        )
        if scenario.kind == SUSTAINED:
            return dataclasses.replace(
                protocol,
                min_duration_s=scenario.seconds,
                max_duration_s=scenario.seconds,
                max_inferences=NO_LIMIT,
                target_half_width=0.0,
            )
        if scenario.kind == PACED:
            # A period is slow on purpose: the cap must leave room for the least that the worker measures, and one more.
            slow = scenario.seconds > SLOW_S
            fewest = min(SLOW_FLOOR, protocol.min_inferences) if slow else protocol.min_inferences
            longest = scenario.seconds * (fewest + 1)
            return dataclasses.replace(protocol, max_duration_s=max(protocol.max_duration_s, longest))
        return protocol

    def deadlines_for(self, session: Session, provider: str = "cpu") -> dict[str, float]:
        """Seconds allowed per stage for a cell whose chain begins with `provider`.

        A longer scenario gets more, and a provider that compiles what it is known to need for that, unless the plan
        names the deadline.
        """
        protocol = self.protocol_for(session)
        longer = {
            # Steady windows of a paced warm-up hold some dozens of inferences.
            "warmup": _longest_warmup_s(protocol) + 60 * protocol.period_s,
            "measure": _longest_measure_s(protocol) + protocol.period_s,
        }
        facts = facts_of(full_name(provider))
        if facts.compile_step:
            compile_s = self.deadlines_s["compile"]
            if facts.compile_deadline_s is not None and "compile" not in self.named_deadlines:
                longer["compile"] = compile_s = facts.compile_deadline_s
            # Placement is asked of another session, which may compile all over again.
            longer["placement"] = self.deadlines_s["placement"] + compile_s
        return self.deadlines_s | {
            stage: seconds if stage == "compile" else max(seconds, self.deadlines_s.get(stage, 0.0))
            for stage, seconds in longer.items()
            if stage not in self.named_deadlines
        }


_SMOKE_PROTOCOL = Protocol(
    warmup_min_runs=3,
    warmup_min_s=0.1,
    min_inferences=100,
    min_duration_s=1.0,
    max_inferences=10_000,
    max_duration_s=2.0,
)
_FULL_PROTOCOL = Protocol(
    warmup_min_runs=3,
    warmup_min_s=0.5,
    warmup_max_s=15.0,
    min_inferences=100,
    min_duration_s=2.0,
    max_inferences=10_000,
    max_duration_s=20.0,
    target_half_width=0.005,
    idle_wait_s=60.0,
    thermal_wait_s=300.0,
)
# Somebody waits for a quick run: a board that takes longer than this to cool down is measured and told to be hot.
_QUICK_PROTOCOL = dataclasses.replace(_FULL_PROTOCOL, thermal_wait_s=60.0)

# One run shows whether the outputs are right; without a time there is nothing to wait for.
_COMPAT_PROTOCOL = Protocol(untimed=True)

# Loading and compiling may build an engine on the board; the others are a few inferences each.
_SMOKE_DEADLINES_S = {
    "load": 120.0,
    "compile": 120.0,
    "first_run": 60.0,
    "verify": 60.0,
    "warmup": 60.0,
    "measure": 60.0,
    "placement": 60.0,
}
_FULL_DEADLINES_S = {
    "load": 600.0,
    "compile": 900.0,
    "first_run": 300.0,
    "verify": 300.0,
    "warmup": 120.0,
    "measure": 120.0,
    "placement": 120.0,
}

PRESETS: dict[str, Preset] = {
    "compat": Preset("compat", 1, _COMPAT_PROTOCOL, _FULL_DEADLINES_S),
    "smoke": Preset("smoke", 1, _SMOKE_PROTOCOL, _SMOKE_DEADLINES_S),
    "quick": Preset("quick", 3, _QUICK_PROTOCOL, _FULL_DEADLINES_S),
    "nightly": Preset("nightly", 5, _FULL_PROTOCOL, _FULL_DEADLINES_S),
    "baseline": Preset("baseline", 10, _FULL_PROTOCOL, _FULL_DEADLINES_S),
}

#: The stages that a plan may give a deadline for, in order.
DEADLINE_STAGES: tuple[str, ...] = tuple(_FULL_DEADLINES_S)

#: Protocol fields that are axes of `session`, since they give a number another meaning.
SESSION_FIELDS: tuple[str, ...] = (
    "io_mode",
    "scenario",
    "period_s",
    "concurrency",
    "page_cache",
    "provider_cache",
    "pin_threads",
)
#: Protocol fields that the preset alone decides.
PRESET_FIELDS: tuple[str, ...] = ("untimed",)
#: Those that say what is told beside the times, and so mean something where nothing is timed.
BESIDE_FIELDS: tuple[str, ...] = ("node_profile",)
#: Protocol fields that a plan may override in `measure`.
PROTOCOL_FIELDS: tuple[str, ...] = tuple(
    f.name for f in dataclasses.fields(Protocol) if f.name not in {*SESSION_FIELDS, *PRESET_FIELDS}
)


def preset_of(measure: MeasureSection) -> Preset:
    """The plan's preset with the plan's own figures in place of the preset's.

    A stage that has to last longer than its deadline gets a deadline to match, unless the plan names one.
    """
    preset = PRESETS[measure.preset]
    changed = {name: getattr(measure, name) for name in PROTOCOL_FIELDS if getattr(measure, name) is not None}
    protocol = dataclasses.replace(preset.protocol, **changed)
    if 0 < protocol.warmup_max_s < protocol.warmup_min_s:
        protocol = dataclasses.replace(protocol, warmup_max_s=protocol.warmup_min_s)
    deadlines_s = dict(preset.deadlines_s)
    deadlines_s["warmup"] = max(deadlines_s["warmup"], _longest_warmup_s(protocol))
    deadlines_s["measure"] = max(deadlines_s["measure"], _longest_measure_s(protocol))
    named = {str(stage): seconds for stage, seconds in measure.deadlines_s.items()}
    return Preset(
        preset.name,
        measure.trials or preset.trials,
        protocol,
        deadlines_s | named,
        frozenset(named),
        shape_changes=measure.shape_changes,
    )


def _longest_warmup_s(protocol: Protocol) -> float:
    """Twice the time asked for, so that one slow inference at the end is no time-out; see `_longest_measure_s`."""
    return max(2 * protocol.warmup_min_s, (VERY_SLOW_CAPS + 1) * protocol.warmup_max_s)


def _longest_measure_s(protocol: Protocol) -> float:
    """The same; where the worker goes on until the times are steady or the interval narrow, slow inferences get longer caps."""
    return (VERY_SLOW_CAPS + 1 if protocol.target_half_width else 2) * protocol.max_duration_s
