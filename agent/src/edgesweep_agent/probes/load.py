"""Load average and CPU pressure (kernel: Documentation/accounting/psi.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "load"

_PERCENT = 100.0


def read(sysroot: Path) -> dict[str, Any]:
    """`load_1m`, and `cpu_pressure` as a share from 0 to 1 over the last 10 s."""
    found: dict[str, Any] = {}
    load = (read_text(sysroot / "proc/loadavg") or "").partition(" ")[0]
    if (value := _number(load)) is not None:
        found["load_1m"] = value
    for line in (read_text(sysroot / "proc/pressure/cpu") or "").splitlines():
        kind, *fields = line.split()
        shares = dict(field.partition("=")[::2] for field in fields)
        if kind == "some" and (value := _number(shares.get("avg10", ""))) is not None:
            found["cpu_pressure"] = value / _PERCENT
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
