"""Memory by phase: the kernel's own high-water mark, reset before each phase, over the loaded worker.

Polling misses short peaks; `VmHWM` does not. Writing 5 to `/proc/self/clear_refs` resets it (man proc_pid_clear_refs(5)).
"""

from __future__ import annotations

import ctypes
import gc
from typing import Any

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
#: glibc's own starting value; it grows with every freed block unless it is set, and then hides freed memory.
_FIXED_THRESHOLD = 128 * 1024
#: Where glibc's moving threshold ends up after large blocks were freed (DEFAULT_MMAP_THRESHOLD_MAX on 64 bit).
_GROWN_THRESHOLD = 32 * 1024 * 1024


class MemoryMeter:
    """Extra resident bytes over the worker as it was when the meter was made."""

    def __init__(self) -> None:
        self._libc = _libc()
        self._resets = _reset_high_water()
        self._fixed = self._mallopt(_M_MMAP_THRESHOLD, _FIXED_THRESHOLD)
        self.trim()
        self._base = _status_bytes("VmRSS")

    @property
    def available(self) -> bool:
        """Whether this system tells memory at all."""
        return self._base is not None

    def begin(self) -> None:
        """Start a phase: give freed memory back, then reset the high-water mark."""
        self.trim()
        self._resets = _reset_high_water() and self._resets

    def peak(self, phase: str, note: str = "") -> dict[str, Any]:
        """MemoryPhase as JSON data: the most that was resident since `begin`."""
        how = "VmHWM reset by clear_refs" if self._resets else "VmHWM since process start, clear_refs not writable"
        return self._phase(phase, "VmHWM", how + note)

    def retained(self) -> dict[str, Any]:
        """MemoryPhase as JSON data: what stays resident after freed memory was given back."""
        trimmed = self.trim()
        return self._phase(
            "retained", "VmRSS", "VmRSS after malloc_trim" if trimmed else "VmRSS, malloc_trim not there"
        )

    def release_threshold(self) -> None:
        """Let malloc keep large blocks again, as in any application, before anything is timed."""
        if self._fixed:
            self._mallopt(_M_MMAP_THRESHOLD, _GROWN_THRESHOLD)
            # Where the threshold moves by itself, this one follows at twice its value (malloc.c, systrim).
            self._mallopt(_M_TRIM_THRESHOLD, 2 * _GROWN_THRESHOLD)

    def trim(self) -> bool:
        """Give freed memory back to the system; False where the C library cannot."""
        gc.collect()
        if self._libc is None or not hasattr(self._libc, "malloc_trim"):
            return False
        self._libc.malloc_trim(0)
        return True

    def _phase(self, phase: str, field: str, method: str) -> dict[str, Any]:
        value = _status_bytes(field) or 0
        if self._fixed:
            method += ", mmap threshold fixed"
        return {
            "phase": phase,
            "size_bytes": max(0, value - (self._base or 0)),
            "method": method + ", over the loaded worker",
        }

    def _mallopt(self, parameter: int, value: int) -> bool:
        if self._libc is None or not hasattr(self._libc, "mallopt"):
            return False
        return bool(self._libc.mallopt(parameter, value))


def _libc() -> Any:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None


def _reset_high_water() -> bool:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _status_bytes(field: str) -> int | None:
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
