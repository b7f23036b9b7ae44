"""Evidence that the kernel killed somebody of ours for memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OomCount:
    """How many processes the kernel has killed for memory, and where that was read."""

    kills: int
    source: str


def oom_count(sysroot: Path = Path("/")) -> OomCount | None:
    """The kernel's count of memory kills in the agent's own control group, else on the whole machine.

    cgroup v2 counts in `memory.events`, v1 in `memory.oom_control` (since Linux 4.13), the machine in /proc/vmstat.

    Returns:
        None where the kernel counts nothing.
    """
    for path in (*_group_files(sysroot), sysroot / "proc/vmstat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.strip().isdigit():
                return OomCount(int(value), f"/{path.relative_to(sysroot)}")
    return None


def _group_files(sysroot: Path) -> list[Path]:
    try:
        lines = (sysroot / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        number, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            files.append(sysroot / "sys/fs/cgroup/memory" / group.lstrip("/") / "memory.oom_control")
        elif number == "0":
            files.append(sysroot / "sys/fs/cgroup" / group.lstrip("/") / "memory.events")
    return files
