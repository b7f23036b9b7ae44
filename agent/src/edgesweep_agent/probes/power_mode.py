"""The board's power mode: nvpmodel's status on a Jetson, else the ACPI platform profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "power_mode"

_FILES = ("var/lib/nvpmodel/status", "sys/firmware/acpi/platform_profile")


def read(sysroot: Path) -> dict[str, Any]:
    """`power_mode` in the source's own words, e.g. `pmode:0002` or `balanced`."""
    for name in _FILES:
        text = read_text(sysroot / name)
        if text is not None:
            return {"power_mode": text}
    return {}
