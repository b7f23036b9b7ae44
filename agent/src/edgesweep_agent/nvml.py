"""NVIDIA's management library, as far as it tells whether a GPU was slowed down.

Stands alone: the agent loads it only where a driver is, and the sampler without the rest of the agent.
"""

from __future__ import annotations

import ctypes

#: Reasons that slow a GPU down against somebody's wish (nvml.h, nvmlClocksEventReason*). Idle (0x1) and clocks that the
#: user asked for (0x2) are no faults.
REASONS = {0x4: "power_cap", 0x8: "hw_slowdown", 0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "power_brake"}

_CLOCK_SM = 1
_TEMPERATURE_GPU = 0
_HZ_PER_MHZ = 1e6
_W_PER_MW = 1e-3


class Nvml:
    """The library, opened for good."""

    def __init__(self, library: ctypes.CDLL, devices: list[ctypes.c_void_p]) -> None:
        self._library = library
        self._devices = devices

    @classmethod
    def opened(cls, name: str) -> Nvml | None:
        """The library of that name or path; None where there is none or it does not answer."""
        try:
            library = ctypes.CDLL(name)
            count = ctypes.c_uint()
            if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
                return None
            devices = []
            for number in range(count.value):
                device = ctypes.c_void_p()
                if not library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(device)):
                    devices.append(device)
        except (OSError, AttributeError):
            return None
        return cls(library, devices)

    def read(self) -> list[dict[str, object]]:
        """Per GPU its `name` and `throttle` reasons, and where it tells them `hz`, `max_hz`, `celsius` and `watts`."""
        return [self._gpu(f"gpu{number}", device) for number, device in enumerate(self._devices)]

    def _gpu(self, name: str, device: ctypes.c_void_p) -> dict[str, object]:
        found: dict[str, object] = {"name": name}
        for key, function, scale, *which in (
            ("hz", "nvmlDeviceGetClockInfo", _HZ_PER_MHZ, _CLOCK_SM),
            ("max_hz", "nvmlDeviceGetMaxClockInfo", _HZ_PER_MHZ, _CLOCK_SM),
            ("celsius", "nvmlDeviceGetTemperature", 1.0, _TEMPERATURE_GPU),
            ("watts", "nvmlDeviceGetPowerUsage", _W_PER_MW),
        ):
            value = self._ask(str(function), device, ctypes.c_uint(), *(ctypes.c_uint(int(item)) for item in which))
            if value is not None:
                found[str(key)] = value * float(scale)
        bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", device, ctypes.c_ulonglong()) or 0
        found["throttle"] = tuple(f"{name}:{reason}" for bit, reason in REASONS.items() if bits & bit)
        return found

    def _ask(
        self, function: str, device: ctypes.c_void_p, answer: ctypes._SimpleCData[int], *which: ctypes.c_uint
    ) -> int | None:
        try:
            status = getattr(self._library, function)(device, *which, ctypes.byref(answer))
        except AttributeError:  # an older driver
            return None
        return None if status else answer.value
