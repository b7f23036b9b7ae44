"""Memory by phase: the kernel's own high-water mark, reset before each phase, over the loaded worker.

Polling misses short peaks; `VmHWM` does not. Nothing here reads while anything is timed: a phase is read when it is over.

The phases, in order: `session_peak` while the session is made, `first_run_peak`, `steady_peak` over the runs 2 to 10 (an
arena reaches its true size on the second), `retained` after freed memory was given back. Where this process has a cgroup
v2 for itself `cgroup_peak`, and on a board whose processor and accelerator share their memory `system_delta`: of other
sources, hence other series. Each says by which method it was read.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Any

from edgesweep_worker import kernel_memory

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
#: glibc's own starting value; it grows with every freed block unless it is set, and then hides freed memory.
_FIXED_THRESHOLD = 128 * 1024
#: Where glibc's moving threshold ends up after large blocks were freed (DEFAULT_MMAP_THRESHOLD_MAX on 64 bit).
_GROWN_THRESHOLD = 32 * 1024 * 1024


class MemoryMeter:
    """Extra bytes over the worker as it was when the meter was made.

    Args:
        unified: whether the processor's memory is the accelerator's too, so that the whole machine has to be looked at.
        brief: read the high-water marks alone. The rest costs more than a small model itself: what was freed is not given
            back before, and there are no shares.
        root: where /proc and /sys/fs/cgroup lie.
    """

    def __init__(self, *, unified: bool = False, brief: bool = False, root: str = "/") -> None:
        self._libc = None if brief else _libc()
        self._brief = brief
        self._root = root
        self._resets = kernel_memory.reset_high_water(root)
        self._fixed = self._mallopt(_M_MMAP_THRESHOLD, _FIXED_THRESHOLD)
        self.trim()
        self._base = kernel_memory.status_bytes("VmRSS", root)
        self._base_shares = None if brief else kernel_memory.shares(root)
        self._group = kernel_memory.own_group(root)
        self._emulated = kernel_memory.emulated(root)
        self._base_available = kernel_memory.available_bytes(root) if unified else None
        self._least_available = self._base_available

    @property
    def available(self) -> bool:
        """Whether this system tells memory at all."""
        return self._base is not None

    def begin(self) -> None:
        """Start a phase: give freed memory back, then reset the high-water mark."""
        self.trim()
        self._resets = kernel_memory.reset_high_water(self._root) and self._resets

    def peak(self, phase: str, note: str = "") -> dict[str, Any]:
        """MemoryPhase as JSON data: the most that was resident since `begin`, and PSS and private pages as they are now."""
        size = self._status_bytes("VmHWM")
        self._look_at_machine()
        how = "VmHWM reset by clear_refs" if self._resets else "VmHWM since process start, clear_refs not writable"
        return self._phase(phase, size, how + note)

    def retained(self) -> dict[str, Any]:
        """MemoryPhase as JSON data: what stays resident after freed memory was given back."""
        trimmed = self.trim()
        size = self._status_bytes("VmRSS")
        return self._phase("retained", size, "VmRSS after malloc_trim" if trimmed else "VmRSS, malloc_trim not there")

    def others(self) -> list[dict[str, Any]]:
        """MemoryPhases as JSON data from other sources than this process's own figures, where this system has them."""
        found = []
        group = self._group
        if group is not None and group.base is not None:
            peak = group.peak_bytes()
            if peak is not None:
                since = "reset when the worker was loaded" if group.resets else "since the group was made"
                how = f"memory.peak of the worker's own cgroup v2 {since}, with page cache and children"
                found.append(_json("cgroup_peak", peak - group.base, how + ", over the loaded worker"))
        if self._base_available is not None and self._least_available is not None:
            how = "drop of MemAvailable at the ends of the phases, of the whole machine"
            drop = self._base_available - self._least_available
            found.append(_json("system_delta", drop, how + ", over the loaded worker"))
        return found

    def release_threshold(self) -> None:
        """Let malloc keep large blocks again, as in any application, before anything is timed."""
        if self._fixed:
            self._mallopt(_M_MMAP_THRESHOLD, _GROWN_THRESHOLD)
            # Where the threshold moves by itself, this one follows at twice its value (malloc.c, systrim).
            self._mallopt(_M_TRIM_THRESHOLD, 2 * _GROWN_THRESHOLD)

    def trim(self) -> bool:
        """Give freed memory back to the system; False where the C library cannot."""
        if not self._brief:
            gc.collect()
        if self._libc is None or not hasattr(self._libc, "malloc_trim"):
            return False
        self._libc.malloc_trim(0)
        return True

    def _status_bytes(self, field: str) -> int:
        return (kernel_memory.status_bytes(field, self._root) or 0) - (self._base or 0)

    def _look_at_machine(self) -> None:
        if self._least_available is not None:
            now = kernel_memory.available_bytes(self._root)
            self._least_available = self._least_available if now is None else min(now, self._least_available)

    def _phase(self, phase: str, size: int, method: str) -> dict[str, Any]:
        # Freed memory that malloc keeps would make these a matter of luck; the peak was read before.
        self.trim()
        now = None if self._brief else kernel_memory.shares(self._root)
        if self._brief:
            method += ", nothing freed given back before"
        if self._fixed:
            method += ", mmap threshold fixed"
        if self._emulated:
            method += ", with the emulator's translated code"
        found = _json(phase, size, method + ", over the loaded worker")
        if now is not None and self._base_shares is not None:
            found["pss_bytes"] = max(0, now.pss - self._base_shares.pss)
            found["private_bytes"] = max(0, now.private - self._base_shares.private)
        return found

    def _mallopt(self, parameter: int, value: int) -> bool:
        if self._libc is None or not hasattr(self._libc, "mallopt"):
            return False
        return bool(self._libc.mallopt(parameter, value))


def _json(phase: str, size: int, method: str) -> dict[str, Any]:
    return {"phase": phase, "size_bytes": max(0, size), "method": method, "pss_bytes": None, "private_bytes": None}


def _libc() -> Any:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None
