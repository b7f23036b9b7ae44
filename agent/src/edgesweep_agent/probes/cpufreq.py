"""CPU clocks and governors, by frequency policy (kernel: Documentation/admin-guide/pm/cpufreq.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "cpufreq"

HZ_PER_KHZ = 1000.0

#: Field of a reading and the file that it comes from.
_CLOCKS = (
    ("frequencies_hz", "scaling_cur_freq"),
    ("frequency_min_hz", "scaling_min_freq"),
    ("frequency_max_hz", "scaling_max_freq"),
    ("hardware_max_hz", "cpuinfo_max_freq"),
)

#: Files that say whether cores may go above their rated clock, and what they hold when they may.
_BOOST = (("cpufreq/boost", "1"), ("intel_pstate/no_turbo", "0"))

_CPUS = "sys/devices/system/cpu"


def policies(sysroot: Path) -> list[Path]:
    """The folder of each policy; its name is the policy's."""
    found = (sysroot / _CPUS / "cpufreq").glob("policy*")
    return sorted(found, key=lambda policy: (len(policy.name), policy.name))


def read(sysroot: Path) -> dict[str, Any]:
    """Clocks in hertz, their limits and `governors` by policy, e.g. `policy0`; and `boost`, on or off."""
    found: dict[str, Any] = {}
    for policy in policies(sysroot):
        for field, name in _CLOCKS:
            khz = read_number(policy / name)
            if khz is not None:
                found.setdefault(field, {})[policy.name] = khz * HZ_PER_KHZ
        governor = read_text(policy / "scaling_governor")
        if governor is not None:
            found.setdefault("governors", {})[policy.name] = governor
    for name, on in _BOOST:
        if (text := read_text(sysroot / _CPUS / name)) in ("0", "1"):
            found["boost"] = "on" if text == on else "off"
            break
    return found
