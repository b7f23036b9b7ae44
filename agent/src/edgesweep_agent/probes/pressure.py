"""How long tasks wait for CPU and memory (PSI; kernel: Documentation/accounting/psi.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "pressure"

_PERCENT = 100.0
_US_PER_S = 1e6


def read(sysroot: Path) -> dict[str, Any]:
    """`cpu_pressure` and `memory_pressure` as shares from 0 to 1 over the last 10 s."""
    found: dict[str, Any] = {}
    for kind in ("cpu", "memory"):
        if (average := _some(sysroot, kind, "avg10")) is not None:
            found[f"{kind}_pressure"] = average / _PERCENT
    return found


def cpu_waited_s(sysroot: Path) -> float | None:
    """Seconds since boot in which some task waited for a CPU; two looks give the share of the time between them."""
    total = _some(sysroot, "cpu", "total")
    return None if total is None else total / _US_PER_S


def _some(sysroot: Path, kind: str, name: str) -> float | None:
    for line in (read_text(sysroot / "proc/pressure" / kind) or "").splitlines():
        what, *fields = line.split()
        values = dict(field.partition("=")[::2] for field in fields)
        if what == "some":
            try:
                return float(values.get(name, ""))
            except ValueError:
                return None
    return None
