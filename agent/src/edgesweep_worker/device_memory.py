"""What a model takes of an accelerator's own memory, as its driver counts it."""

from __future__ import annotations

import ctypes
import os
from typing import Any

#: The library that a driver of NVIDIA brings.
_LIBRARY = "libnvidia-ml.so.1"
_MOST_PROCESSES = 256
#: nvml.h, NVML_VALUE_NOT_AVAILABLE: the driver does not tell the memory of single processes.
_NOT_AVAILABLE = 2**64 - 1


class _Process(ctypes.Structure):
    """nvml.h, nvmlProcessInfo_v2_t."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _Memory(ctypes.Structure):
    """nvml.h, nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class DeviceMemory:
    """Bytes that this process holds on all devices together; none where nothing tells it.

    Made before the memory of the processor is looked at, for loading the driver's library takes some of that.

    Args:
        how: `device_memory` of the provider's facts: nvml, or empty for a provider whose device nothing tells of.
        library: name or path of the driver's library.
    """

    def __init__(self, how: str, library: str = _LIBRARY) -> None:
        self._library: Any = None
        self._devices: list[ctypes.c_void_p] = []
        if how == "nvml":
            self._open(library)
        self._base = self._in_use()

    def _open(self, name: str) -> None:
        count = ctypes.c_uint()
        try:
            library = ctypes.CDLL(name)
            if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
                return
            for number in range(count.value):
                device = ctypes.c_void_p()
                if not library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(device)):
                    self._devices.append(device)
        except (OSError, AttributeError):
            return
        self._library = library

    def phase(self, name: str) -> list[dict[str, Any]]:
        """MemoryPhase as JSON data: what is held now; an empty list where nothing tells it.

        A provider's arena on the device only grows, so that what it holds at the end of a phase is the phase's peak.
        """
        own = self._own()
        if own is not None:
            return [{"phase": name, "size_bytes": own, "method": "nvml, of this process with its context"}]
        in_use = self._in_use()
        if in_use is None or self._base is None:
            return []
        how = "nvml, of the whole devices over their use before the session"
        return [{"phase": name, "size_bytes": in_use - self._base, "method": how}]

    def _own(self) -> int | None:
        """What the driver counts for this process; None where it does not know it, as in another namespace of processes."""
        ask = getattr(self._library, "nvmlDeviceGetComputeRunningProcesses_v3", None)
        if ask is None:
            return None
        found = [
            processes[place].used
            for device in self._devices
            for processes, count in [_running(ask, device)]
            for place in range(count)
            if processes[place].pid == os.getpid()
        ]
        return sum(found) if found and _NOT_AVAILABLE not in found else None

    def _in_use(self) -> int | None:
        """What all processes hold on the devices; None where a device does not tell it."""
        ask = getattr(self._library, "nvmlDeviceGetMemoryInfo", None)
        if ask is None or not self._devices:
            return None
        total = 0
        for device in self._devices:
            memory = _Memory()
            if ask(device, ctypes.byref(memory)):
                return None
            total += memory.used
        return total


def _running(ask: Any, device: ctypes.c_void_p) -> tuple[Any, int]:
    """The processes that compute on a device, and their number."""
    processes = (_Process * _MOST_PROCESSES)()
    count = ctypes.c_uint(_MOST_PROCESSES)
    return processes, 0 if ask(device, ctypes.byref(count), processes) else count.value
