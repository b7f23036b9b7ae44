"""The board's sensors, one file per source. A new probe is a new file and one line in `PROBES`.

A probe is a module with `NAME` and `read(sysroot)`, which returns the fields of a `Reading` that it found;
a sensor that is not there is simply absent. Several probes may add to one field, each under names of its own.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edgesweep_proto.device import Reading

from edgesweep_agent.probes import (
    cpu_time,
    cpufreq,
    devfreq,
    gpu,
    ina3221,
    load,
    memory,
    pmic,
    power_mode,
    pressure,
    rapl,
    thermal,
    throttle,
)

PROBES = (
    cpufreq, thermal, throttle, memory, load, pressure, cpu_time, power_mode, devfreq, gpu, ina3221, rapl, pmic,
)  # fmt: skip


def take_reading(sysroot: Path = Path("/")) -> Reading:
    """One look at every sensor below `sysroot`, a stand-in for `/` in tests."""
    fields: dict[str, Any] = {}
    for probe in PROBES:
        for name, value in probe.read(sysroot).items():
            fields[name] = _joined(fields[name], value) if name in fields else value
    return Reading(at=time.time(), **fields)


def temperatures(sysroot: Path = Path("/")) -> dict[str, float]:
    """Degrees Celsius by zone, of every source that has any."""
    found: dict[str, float] = {}
    for probe in (thermal, gpu):
        found.update(probe.read(sysroot).get("temperatures_c", {}))
    return found


def answering(sysroot: Path = Path("/")) -> tuple[str, ...]:
    """Names of the probes that find anything on this board."""
    return tuple(probe.NAME for probe in PROBES if probe.read(sysroot))


def _joined(one: Any, other: Any) -> Any:
    return {**one, **other} if isinstance(one, dict) else (*one, *other)
