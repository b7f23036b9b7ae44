"""The two clocks that outlive a wall-clock jump: seconds since boot (suspend included) and the boot's own id."""

from __future__ import annotations

import time
from pathlib import Path


def boottime() -> float:
    """Seconds since boot on CLOCK_BOOTTIME, which goes on through suspend and never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id(sysroot: Path = Path("/")) -> str:
    """The kernel's id of this boot; empty where it gives none."""
    try:
        return (sysroot / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None when there is no such process.

    With the boot id this names a process for good: a pid alone is given out again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command may hold spaces and brackets: the fields start after the last bracket (proc(5)).
    return int(stat[stat.rindex(b")") + 2 :].split()[19])
