"""What the kernel says the measured part cost: CPU time, waiting for a CPU, switches, page faults, and who else was there."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Any

_NS = 1_000_000_000
#: Fields of the first line of /proc/stat (man proc_stat(5)); guests are counted in user and nice already.
_BUSY = ("user", "nice", "system", "irq", "softirq")
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True)
class Machine:
    """Counters of the whole machine since its start; None where it does not tell."""

    busy_s: float | None
    steal_s: float | None
    pressure_s: float | None
    swapped_in_pages: int | None


@dataclass(frozen=True)
class Account:
    """A reading of the process's counters and the machine's; two readings say what lies between them."""

    wall_ns: int
    cpu_s: float
    wait_ns: int | None
    voluntary_switches: int
    involuntary_switches: int
    minor_faults: int
    major_faults: int
    machine: Machine

    def until(self, later: Account) -> dict[str, Any]:
        """Accounting as JSON data for the time from this reading to `later`."""
        wait = _between(self.wait_ns, later.wait_ns)
        cpu_s = later.cpu_s - self.cpu_s
        busy_s = _between(self.machine.busy_s, later.machine.busy_s)
        return {
            "wall_s": (later.wall_ns - self.wall_ns) / _NS,
            "cpu_s": cpu_s,
            "runqueue_wait_s": None if wait is None else wait / _NS,
            "voluntary_switches": later.voluntary_switches - self.voluntary_switches,
            "involuntary_switches": later.involuntary_switches - self.involuntary_switches,
            "minor_faults": later.minor_faults - self.minor_faults,
            "major_faults": later.major_faults - self.major_faults,
            # The machine counts in ticks, the process in nanoseconds: the difference of the two may lie below 0.
            "foreign_cpu_s": None if busy_s is None else max(0.0, busy_s - cpu_s),
            "steal_s": _between(self.machine.steal_s, later.machine.steal_s),
            "pressure_s": _between(self.machine.pressure_s, later.machine.pressure_s),
            "swapped_in_pages": _between(self.machine.swapped_in_pages, later.machine.swapped_in_pages),
        }


def read_account(proc: str = "/proc") -> Account:
    """Read all counters now.

    Args:
        proc: where the kernel's files are.
    """
    machine = read_machine(proc)
    wait_ns = _runqueue_wait_ns(proc)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Account(
        wall_ns=time.perf_counter_ns(),
        cpu_s=usage.ru_utime + usage.ru_stime,
        wait_ns=wait_ns,
        voluntary_switches=usage.ru_nvcsw,
        involuntary_switches=usage.ru_nivcsw,
        minor_faults=usage.ru_minflt,
        major_faults=usage.ru_majflt,
        machine=machine,
    )


def read_machine(proc: str = "/proc") -> Machine:
    """The machine's counters now."""
    times = _cpu_times(proc)
    pressure = _number(f"{proc}/pressure/cpu", "some", "total=")
    swapped = _number(f"{proc}/vmstat", "pswpin", "")
    return Machine(
        busy_s=None if times is None else sum(times[name] for name in _BUSY),
        steal_s=None if times is None else times["steal"],
        pressure_s=None if pressure is None else pressure / 1e6,
        swapped_in_pages=swapped,
    )


def _between(before: Any, after: Any) -> Any:
    return None if before is None or after is None else after - before


def _cpu_times(proc: str) -> dict[str, float] | None:
    """Seconds over all CPUs by kind; None where the file is not there or not of this form."""
    try:
        with open(f"{proc}/stat") as file:
            words = file.readline().split()
        ticks = os.sysconf("SC_CLK_TCK")
        return {name: int(words[1 + index]) / ticks for index, name in enumerate(_FIELDS)}
    except (OSError, ValueError, IndexError):
        return None


def _number(path: str, line_start: str, word_start: str) -> int | None:
    """The number in the last word of the line that begins with `line_start`, behind `word_start`."""
    try:
        with open(path) as file:
            for line in file:
                words = line.split()
                if words[:1] == [line_start] and words[-1].startswith(word_start):
                    return int(words[-1][len(word_start) :])
    except (OSError, ValueError):
        return None
    return None


def thread_wait_ns(thread: int, proc: str = "/proc") -> int | None:
    """Time that one thread of this process stood ready without a CPU since it began; None where that is not told.

    Second field of schedstat (Documentation/scheduler/sched-stats.rst), which needs CONFIG_SCHED_INFO.

    Args:
        thread: its kernel id.
        proc: where the kernel's files are.
    """
    try:
        with open(f"{proc}/self/task/{thread}/schedstat") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _runqueue_wait_ns(proc: str) -> int | None:
    """The same of all threads that are there now: a run waits for its slowest one."""
    try:
        waits = [thread_wait_ns(int(thread), proc) for thread in os.listdir(f"{proc}/self/task")]
    except (OSError, ValueError):
        return None
    known = [wait for wait in waits if wait is not None]
    return sum(known) if known else None
