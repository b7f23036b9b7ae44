"""The board's power mode: nvpmodel's status on a Jetson, else the ACPI platform profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "power_mode"

_FILES = ("var/lib/nvpmodel/status", "sys/firmware/acpi/platform_profile")


def status_file(sysroot: Path) -> Path | None:
    """The file that tells the mode, where there is one."""
    return next((sysroot / name for name in _FILES if read_text(sysroot / name) is not None), None)


def read(sysroot: Path) -> dict[str, Any]:
    """`power_mode` in the source's own words, e.g. `pmode:0002` or `balanced`."""
    path = status_file(sysroot)
    text = read_text(path) if path else None
    return {} if text is None else {"power_mode": text}
