"""Power by rail from the power chip of a Raspberry Pi 5, which only its own program tells: `vcgencmd pmic_read_adc`.

The rails are those of the chip: what the board's 5 V feeds directly, such as USB devices, is not among them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "pmic"

#: Older boards have no such chip, and each question to them would cost a process.
_BOARDS = re.compile(r"Raspberry Pi (5|500|Compute Module 5)\b")

#: Seconds that the program may take.
_PATIENCE_S = 2.0


def command(sysroot: Path) -> list[str]:
    """The program that tells; empty where the board has none."""
    program = sysroot / "usr/bin/vcgencmd"
    model = read_text(sysroot / "proc/device-tree/model") or ""
    return [str(program), "pmic_read_adc"] if _BOARDS.search(model) and program.exists() else []


def read(sysroot: Path) -> dict[str, Any]:
    """`power_w` by rail, e.g. `pmic:VDD_CORE`."""
    asked = command(sysroot)
    if not asked:
        return {}
    # Late: only one kind of board needs them.
    import subprocess

    from edgesweep_agent.sampler import watts_by_rail

    try:
        told = subprocess.run(asked, capture_output=True, timeout=_PATIENCE_S, check=False, text=True).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return {}
    power = {f"{NAME}:{rail}": watts for rail, watts in sorted(watts_by_rail(told).items())}
    return {"power_w": power} if power else {}
