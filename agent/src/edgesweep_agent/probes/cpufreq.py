"""CPU clocks and governors, by frequency policy (kernel: Documentation/admin-guide/pm/cpufreq.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "cpufreq"

_HZ_PER_KHZ = 1000.0


def read(sysroot: Path) -> dict[str, Any]:
    """`frequencies_hz` and `governors` by policy, e.g. `policy0`."""
    frequencies, governors = {}, {}
    for policy in sorted((sysroot / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        khz = read_number(policy / "scaling_cur_freq")
        if khz is not None:
            frequencies[policy.name] = khz * _HZ_PER_KHZ
        governor = read_text(policy / "scaling_governor")
        if governor is not None:
            governors[policy.name] = governor
    found: dict[str, Any] = {}
    if frequencies:
        found["frequencies_hz"] = frequencies
    if governors:
        found["governors"] = governors
    return found
