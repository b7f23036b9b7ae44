"""Presets of a measurement: how many trials, how long, and when to stop.

Both floors of a protocol (inferences and seconds) are met before a trial stops, unless a cap comes first: percentiles
need a count, drift of the clocks needs time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesweep_proto.trial import Protocol

from edgesweep.plan.cell import Session

if TYPE_CHECKING:
    from edgesweep.plan.schema import MeasureSection


@dataclass(frozen=True, slots=True)
class Preset:
    """How a cell is measured: fresh processes (`trials`), the protocol of each, and seconds allowed per stage."""

    name: str
    trials: int
    protocol: Protocol
    deadlines_s: dict[str, float] = field(default_factory=dict)

    def protocol_for(self, session: Session) -> Protocol:
        """The protocol for a cell: the session says how inputs and outputs travel."""
        return dataclasses.replace(self.protocol, io_mode=session.io_mode)


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
    min_inferences=100,
    min_duration_s=2.0,
    max_inferences=10_000,
    max_duration_s=20.0,
)
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
    "smoke": Preset("smoke", 1, _SMOKE_PROTOCOL, _SMOKE_DEADLINES_S),
    "quick": Preset("quick", 3, _FULL_PROTOCOL, _FULL_DEADLINES_S),
    "nightly": Preset("nightly", 5, _FULL_PROTOCOL, _FULL_DEADLINES_S),
    "baseline": Preset("baseline", 10, _FULL_PROTOCOL, _FULL_DEADLINES_S),
}

#: The stages that a plan may give a deadline for, in order.
DEADLINE_STAGES: tuple[str, ...] = tuple(_FULL_DEADLINES_S)

#: Protocol fields that a plan may override; `io_mode` is an axis of `session`.
PROTOCOL_FIELDS: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(Protocol) if f.name != "io_mode")


def preset_of(measure: MeasureSection) -> Preset:
    """The plan's preset with the plan's own figures in place of the preset's.

    A stage that has to last longer than its deadline gets a deadline to match, unless the plan names one.
    """
    preset = PRESETS[measure.preset]
    changed = {name: getattr(measure, name) for name in PROTOCOL_FIELDS if getattr(measure, name) is not None}
    protocol = dataclasses.replace(preset.protocol, **changed)
    deadlines_s = dict(preset.deadlines_s)
    # Twice the time asked for, so that one slow inference at the end is no time-out.
    deadlines_s["warmup"] = max(deadlines_s["warmup"], 2 * protocol.warmup_min_s)
    deadlines_s["measure"] = max(deadlines_s["measure"], 2 * protocol.max_duration_s)
    deadlines_s |= {str(stage): seconds for stage, seconds in measure.deadlines_s.items()}
    return Preset(preset.name, measure.trials or preset.trials, protocol, deadlines_s)
