"""The load average (proc_loadavg(5))."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "load"


def read(sysroot: Path) -> dict[str, Any]:
    """`load_1m`: tasks that ran or wanted to, over the last minute."""
    try:
        return {"load_1m": float((read_text(sysroot / "proc/loadavg") or "").partition(" ")[0])}
    except ValueError:
        return {}
