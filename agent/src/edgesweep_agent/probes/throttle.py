"""Why a Raspberry Pi's firmware slows the CPU: `get_throttled` (raspberrypi.com, vcgencmd documentation)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_text

NAME = "throttle"

#: Bits in force now; the same bits 16 places higher say that it happened since boot.
REASONS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
SINCE_BOOT_SHIFT = 16

_FILES = (
    "sys/devices/platform/soc/soc:firmware/get_throttled",
    "sys/devices/platform/axi/axi:firmware/get_throttled",
)


def bits_file(sysroot: Path) -> Path | None:
    """The file with the bits, where the firmware has one."""
    return next((sysroot / name for name in _FILES if (sysroot / name).exists()), None)


def read(sysroot: Path) -> dict[str, Any]:
    """`throttle`: the reasons in force, `throttled_since_boot`: those at any time; empty where the firmware says none."""
    bits = _bits(sysroot)
    return {} if bits is None else {"throttle": _names(bits), "throttled_since_boot": _names(bits >> SINCE_BOOT_SHIFT)}


def _names(bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(REASONS) if bits >> place & 1)


def _bits(sysroot: Path) -> int | None:
    for name in _FILES:
        text = read_text(sysroot / name)
        if text is not None:
            try:
                return int(text, 16)
            except ValueError:
                continue
    return None
