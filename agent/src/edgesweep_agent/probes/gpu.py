"""Clocks, temperature, power and throttle reasons of NVIDIA GPUs, where their driver is loaded."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

NAME = "gpu"


def driver_library(sysroot: Path) -> str:
    """The driver's management library; empty where no driver is loaded."""
    if not (sysroot / "proc/driver/nvidia/version").exists():
        return ""
    return "libnvidia-ml.so.1" if sysroot == Path("/") else str(sysroot / "usr/lib/libnvidia-ml.so.1")


def read(sysroot: Path) -> dict[str, Any]:
    """`frequencies_hz`, `hardware_max_hz`, `temperatures_c`, `power_w` and `throttle` by GPU, e.g. `gpu0`."""
    name = driver_library(sysroot)
    library = _opened(name) if name else None
    found: dict[str, Any] = {}
    for gpu in library.read() if library else ():
        for field, key in (("frequencies_hz", "hz"), ("hardware_max_hz", "max_hz"), ("temperatures_c", "celsius")):
            if key in gpu:
                found.setdefault(field, {})[gpu["name"]] = gpu[key]
        if "watts" in gpu:
            found.setdefault("power_w", {})[f"nvml:{gpu['name']}"] = gpu["watts"]
        if gpu["throttle"]:
            found["throttle"] = (*found.get("throttle", ()), *gpu["throttle"])
    return found


@functools.lru_cache(maxsize=1)
def _opened(name: str) -> Any:
    # Late, and kept: a board without a GPU needs none of it, and opening the library takes some 50 ms.
    from edgesweep_agent.nvml import Nvml

    return Nvml.opened(name)
