"""Clocks of accelerators and of the memory, as a Jetson shows them (kernel: Documentation/driver-api/devfreq.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "devfreq"

#: The memory clock of a Jetson; the firmware's own folder, which only root may read.
_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"


def clocks(sysroot: Path) -> list[tuple[str, Path]]:
    """Name and file of each clock, in hertz."""
    found = [(device.name, device / "cur_freq") for device in sorted((sysroot / "sys/class/devfreq").glob("*"))]
    return [*found, ("emc", sysroot / _EMC / "rate")]


def read(sysroot: Path) -> dict[str, Any]:
    """`frequencies_hz` and their limits by device, e.g. `17000000.gpu`, and `emc` for the memory."""
    found: dict[str, Any] = {}

    def note(field: str, name: str, hz: float | None) -> None:
        if hz is not None:
            found.setdefault(field, {})[name] = hz

    for name, path in clocks(sysroot):
        note("frequencies_hz", name, read_number(path))
        if name == "emc":
            note("hardware_max_hz", name, read_number(path.with_name("max_rate")))
            continue
        note("frequency_min_hz", name, read_number(path.with_name("min_freq")))
        note("frequency_max_hz", name, read_number(path.with_name("max_freq")))
        steps = (read_text(path.with_name("available_frequencies")) or "").split()
        if steps and all(step.isdigit() for step in steps):
            note("hardware_max_hz", name, max(map(float, steps)))
    return found
