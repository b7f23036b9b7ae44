"""Energy of x86 packages (kernel: Documentation/power/powercap/powercap.rst); since 2020 only root may read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "rapl"

J_PER_UJ = 1e-6


def counters(sysroot: Path) -> list[tuple[str, Path, float]]:
    """Name, file (microjoules) and range of each package's counter, which starts again at 0 beyond its range.

    The zones within a package are part of it, and the same package behind another interface is the same energy.
    """
    found = []
    for zone in sorted((sysroot / "sys/class/powercap").glob("intel-rapl:*")):
        label = read_text(zone / "name") or ""
        limit = read_number(zone / "max_energy_range_uj")
        if label.startswith("package") and limit and read_number(zone / "energy_uj") is not None:
            found.append((label, zone / "energy_uj", limit))
    return found


def read(sysroot: Path) -> dict[str, Any]:
    """`energy_j` by package, e.g. `rapl:package-0`."""
    energy = {}
    for label, path, _ in counters(sysroot):
        value = read_number(path)
        if value is not None:
            energy[f"{NAME}:{label}"] = value * J_PER_UJ
    return {"energy_j": energy} if energy else {}
