"""Power by rail from the INA3221 monitors of a Jetson (kernel: Documentation/hwmon/ina3221.rst).

Rails that others lie behind would count twice: where there is one for the whole board, it is the only one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesweep_agent.probes.sysfs import read_number, read_text

NAME = "ina3221"

_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0_IN")
_CHANNELS = (1, 2, 3)

#: Millivolts times milliamperes.
W_PER_MV_MA = 1e-6


def rails(sysroot: Path) -> list[tuple[str, Path, Path]]:
    """Name, voltage file (mV) and current file (mA) of each rail to add up."""
    found = []
    for monitor in sorted((sysroot / "sys/class/hwmon").glob("hwmon*")):
        if read_text(monitor / "name") != NAME:
            continue
        for channel in _CHANNELS:
            volts, amperes = monitor / f"in{channel}_input", monitor / f"curr{channel}_input"
            if read_number(volts) is not None and read_number(amperes) is not None:
                label = read_text(monitor / f"in{channel}_label") or f"{monitor.name}.{channel}"
                found.append((label, volts, amperes))
    whole = [rail for rail in found if rail[0] in _WHOLE_BOARD]
    return whole or found


def read(sysroot: Path) -> dict[str, Any]:
    """`power_w` by rail, e.g. `ina3221:VDD_IN`."""
    power = {}
    for label, volts, amperes in rails(sysroot):
        voltage, current = read_number(volts), read_number(amperes)
        if voltage is not None and current is not None:
            power[f"{NAME}:{label}"] = voltage * current * W_PER_MV_MA
    return {"power_w": power} if power else {}
