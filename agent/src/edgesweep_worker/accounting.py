"""What the kernel says the measured part cost: CPU time, waiting for a CPU, switches, page faults."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Any

_NS = 1_000_000_000


@dataclass(frozen=True)
class Account:
    """A reading of the process's counters; differences of two readings say what lies between them."""

    wall_ns: int
    cpu_s: float
    wait_ns: int | None
    involuntary_switches: int
    major_faults: int

    def until(self, later: Account) -> dict[str, Any]:
        """Accounting as JSON data for the time from this reading to `later`."""
        wait = None if self.wait_ns is None or later.wait_ns is None else (later.wait_ns - self.wait_ns) / _NS
        return {
            "wall_s": (later.wall_ns - self.wall_ns) / _NS,
            "cpu_s": later.cpu_s - self.cpu_s,
            "runqueue_wait_s": wait,
            "involuntary_switches": later.involuntary_switches - self.involuntary_switches,
            "major_faults": later.major_faults - self.major_faults,
        }


def read_account() -> Account:
    """Read all counters now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Account(
        wall_ns=time.perf_counter_ns(),
        cpu_s=usage.ru_utime + usage.ru_stime,
        wait_ns=_runqueue_wait_ns(),
        involuntary_switches=usage.ru_nivcsw,
        major_faults=usage.ru_majflt,
    )


def _runqueue_wait_ns() -> int | None:
    """Time that all threads of the process stood ready without a CPU; None without CONFIG_SCHED_INFO.

    Second field of schedstat (Documentation/scheduler/sched-stats.rst). All threads count: a run waits for its
    slowest one.
    """
    total = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat") as file:
                total += int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return total
