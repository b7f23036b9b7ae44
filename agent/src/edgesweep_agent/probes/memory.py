"""Free memory and used swap, from /proc/meminfo (proc_meminfo(5))."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAME = "memory"

_BYTES_PER_KB = 1024


def meminfo(sysroot: Path) -> dict[str, int]:
    """Every figure of /proc/meminfo that has a size, in bytes."""
    sizes = {}
    try:
        lines = (sysroot / "proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        name, _, rest = line.partition(":")
        value, _, unit = rest.strip().partition(" ")
        if unit == "kB" and value.isdigit():
            sizes[name] = int(value) * _BYTES_PER_KB
    return sizes


def read(sysroot: Path) -> dict[str, Any]:
    """`memory_available_bytes` and `swap_used_bytes`."""
    sizes = meminfo(sysroot)
    found: dict[str, Any] = {}
    if "MemAvailable" in sizes:
        found["memory_available_bytes"] = sizes["MemAvailable"]
    if "SwapTotal" in sizes and "SwapFree" in sizes:
        found["swap_used_bytes"] = sizes["SwapTotal"] - sizes["SwapFree"]
    return found
