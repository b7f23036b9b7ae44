"""Temperatures by thermal zone (kernel: Documentation/driver-api/thermal/sysfs-api.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "thermal"

PER_DEGREE = 1000.0


def zones(sysroot: Path) -> list[tuple[str, Path]]:
    """Name and file of each zone that reads now, in thousandths of a degree.

    Zones go by their own type; those of the same type are told apart by their number.
    """
    found: dict[str, Path] = {}
    for zone in sorted((sysroot / "sys/class/thermal").glob("thermal_zone*")):
        if read_number(zone / "temp") is None:
            continue
        kind = read_text(zone / "type") or zone.name
        name = f"{kind}:{zone.name.removeprefix('thermal_zone')}" if kind in found else kind
        found[name] = zone / "temp"
    return list(found.items())


def read(sysroot: Path) -> dict[str, Any]:
    """`temperatures_c` by zone."""
    found = {name: value / PER_DEGREE for name, path in zones(sysroot) if (value := read_number(path)) is not None}
    return {"temperatures_c": found} if found else {}
