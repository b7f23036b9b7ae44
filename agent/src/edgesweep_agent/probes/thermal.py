"""Temperatures by thermal zone (kernel: Documentation/driver-api/thermal/sysfs-api.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "thermal"

_PER_DEGREE = 1000.0


def read(sysroot: Path) -> dict[str, Any]:
    """`temperatures_c` by the zone's own type; zones of the same type are told apart by their number."""
    temperatures: dict[str, float] = {}
    for zone in sorted((sysroot / "sys/class/thermal").glob("thermal_zone*")):
        value = read_number(zone / "temp")
        if value is None:
            continue
        kind = read_text(zone / "type") or zone.name
        name = f"{kind}:{zone.name.removeprefix('thermal_zone')}" if kind in temperatures else kind
        temperatures[name] = value / _PER_DEGREE
    return {"temperatures_c": temperatures} if temperatures else {}
