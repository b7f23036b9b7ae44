"""The board's sensors, one file per source. A new probe is a new file and one line in `PROBES`.

A probe is a module with `NAME` and `read(sysroot)`, which returns the fields of a `Reading` that it found;
a sensor that is not there is simply absent.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edgesweep_proto.device import Reading

from edgesweep_agent.probes import cpufreq, load, memory, power_mode, thermal, throttle

PROBES = (cpufreq, thermal, throttle, memory, load, power_mode)


def take_reading(sysroot: Path = Path("/")) -> Reading:
    """One look at every sensor below `sysroot`, a stand-in for `/` in tests."""
    fields: dict[str, Any] = {}
    for probe in PROBES:
        fields.update(probe.read(sysroot))
    return Reading(at=time.time(), **fields)


def answering(sysroot: Path = Path("/")) -> tuple[str, ...]:
    """Names of the probes that find anything on this board."""
    return tuple(probe.NAME for probe in PROBES if probe.read(sysroot))
