"""CPU time of the whole machine since boot (proc_stat(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

NAME = "cpu_time"

#: Places in the first line: user, nice, system, irq and softirq; what guests use is part of user.
_BUSY = (1, 2, 3, 6, 7)
_STEAL = 8


def read(sysroot: Path) -> dict[str, Any]:
    """`cpu_busy_s` and `steal_s`, over all CPUs."""
    try:
        with (sysroot / "proc/stat").open("rb") as file:
            fields = file.readline().split()
        ticks = float(os.sysconf("SC_CLK_TCK"))
        return {
            "cpu_busy_s": sum(int(fields[place]) for place in _BUSY) / ticks,
            "steal_s": int(fields[_STEAL]) / ticks,
        }
    except (OSError, ValueError, IndexError):
        return {}


def cpu_count(sysroot: Path) -> int:
    """CPUs that /proc/stat counts; 0 where it tells nothing."""
    try:
        lines = (sysroot / "proc/stat").read_bytes().splitlines()
    except OSError:
        return 0
    return sum(line.startswith(b"cpu") and line[3:4].isdigit() for line in lines)
