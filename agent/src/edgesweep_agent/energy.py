"""Energy of one inference: what the board took while the trial measured, above what it takes when it idles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgesweep_proto.evidence import Energy
from edgesweep_proto.trial import Protocol, Samples

from edgesweep_agent.gates import Pace
from edgesweep_agent.probes import ina3221, pmic, rapl
from edgesweep_agent.sampled import energy_source

#: Shortest window in seconds that joules per inference are told of.
MIN_WINDOW_S = 30.0

#: Seconds over which the idle board is looked at, and how often where its power can be read at any moment.
_IDLE_WINDOW_S = 2.0
_IDLE_LOOKS = 10

_PROBES = {"ina3221": ina3221, "pmic": pmic, "rapl": rapl}


def tells_joules(protocol: Protocol, sysroot: Path) -> bool:
    """Whether this trial may measure long enough for joules per inference, so that the idle power is wanted."""
    return protocol.max_duration_s >= MIN_WINDOW_S and protocol.idle_wait_s > 0 and bool(energy_source(sysroot))


async def idle_watts(sysroot: Path, pace: Pace) -> float | None:
    """Power of the board as it is now, over two seconds; None where nothing tells."""
    source = energy_source(sysroot)
    if not source:
        return None
    if source == "rapl":
        return await _counted_watts(sysroot, pace)
    looks = []
    for look in range(_IDLE_LOOKS):
        if look:
            await pace.sleep(_IDLE_WINDOW_S / _IDLE_LOOKS)
        if rails := _PROBES[source].read(sysroot).get("power_w"):
            looks.append(sum(rails.values()))
    return sum(looks) / len(looks) if looks else None


async def _counted_watts(sysroot: Path, pace: Pace) -> float | None:
    limits = {f"rapl:{label}": limit * rapl.J_PER_UJ for label, _, limit in rapl.counters(sysroot)}
    began, before = pace.clock(), rapl.read(sysroot).get("energy_j", {})
    await pace.sleep(_IDLE_WINDOW_S)
    after, seconds = rapl.read(sysroot).get("energy_j", {}), pace.clock() - began
    if not before or before.keys() != after.keys() or seconds <= 0:
        return None
    return _joules_between(before, after, limits) / seconds


def _joules_between(before: Mapping[str, float], after: Mapping[str, float], limits: Mapping[str, float]) -> float:
    """Joules between two looks at counters that start again at 0 beyond their limit."""
    total = 0.0
    for rail, value in after.items():
        total += value - before[rail] + (limits.get(rail, 0.0) if value < before[rail] else 0.0)
    return total


def told_energy(energy: Energy, before_w: float | None, after_w: float | None, samples: Samples | None) -> Energy:
    """The energy with the idle power and, where the window was long enough, with joules per inference.

    E = (joules - idle power * window) / inferences; the idle power is the mean of before and after, and both are needed.
    """
    known = [watts for watts in (before_w, after_w) if watts is not None]
    if not known:
        return energy
    idle_w = sum(known) / len(known)
    energy = replace(energy, idle_w=idle_w)
    inferences = samples.measured_count * samples.batch if samples else 0
    if before_w is None or after_w is None or energy.window_s < MIN_WINDOW_S or not inferences:
        return energy
    return replace(energy, joules_per_inference=(energy.joules - idle_w * energy.window_s) / inferences)
