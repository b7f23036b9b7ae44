"""Threads held to the cores of one cluster by the kernel's own call, and told as they were found afterwards.

onnxruntime has an option for its pool (`session.intra_op_thread_affinities`), but it fails silently or hard depending on
version and mask, sets nothing for a provider's own threads and says nothing of what it did. The kernel's call works for
every thread of the process whoever started it, and can be read back.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Iterable, Sequence

_TASKS = "/proc/self/task"


def task_ids() -> frozenset[int]:
    """Kernel ids of all threads of this process; empty where the system does not tell."""
    try:
        return frozenset(int(name) for name in os.listdir(_TASKS))
    except OSError:
        return frozenset()


def allowed_list(task: int) -> str | None:
    """CPUs that a thread may use as the kernel lists them, "2" or "0-3"; None when the thread is gone."""
    try:
        with open(f"{_TASKS}/{task}/status") as file:
            for line in file:
                if line.startswith("Cpus_allowed_list:"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return None
    return None


def cpus_of(listed: str) -> tuple[int, ...]:
    """The numbers in a list of CPUs as the kernel writes it: "0-2,5" is 0, 1, 2, 5."""
    cpus: list[int] = []
    for part in filter(None, listed.split(",")):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return tuple(cpus)


class Pinning:
    """Holds the calling thread to the first of `cpus` and each thread that comes later to one of the others.

    Made before the session whose threads it is to hold. With no `cpus` it moves nothing and only tells.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self.cluster = tuple(cpus)
        self._before = task_ids()
        self._callers: dict[int, str] = {}
        # A thread that Python has joined is still there for the kernel for a moment.
        self._not_the_pools: set[int] = set()
        self._notes: list[str] = []

    @property
    def pool(self) -> list[int]:
        """Kernel ids of the threads that were started since, in the order of their start."""
        return sorted(task_ids() - self._before - self._not_the_pools)

    def hold(self) -> None:
        """Hold all threads that are there now; those that come later inherit the calling thread's core until the next call."""
        if not self.cluster:
            return
        self._set(0, self.cluster[:1])
        pool, places = self.pool, self.cluster[1:]
        for index, task in enumerate(pool):
            # With more threads than cores any choice of ours would be worse than the scheduler's.
            self._set(task, places[index : index + 1] if len(pool) <= len(places) else self.cluster)

    def places_for_callers(self, callers: int) -> list[tuple[int, ...]]:
        """CPUs for each of several threads that will call the session at once; asked for before they start.

        The first gets the core of the thread that waits for them, the others those that the session's threads left. When
        there are not enough they share the cluster; with no cluster they are not to be held.
        """
        free = self.cluster[:1] + self.cluster[1 + len(self.pool) :]
        return [(cpu,) for cpu in free[:callers]] if callers <= len(free) else [self.cluster] * callers

    def hold_caller(self, index: int, cpus: tuple[int, ...]) -> None:
        """Hold this thread, the `index`-th caller, to `cpus`, and note where it is found."""
        self._not_the_pools.add(threading.get_native_id())
        if cpus:
            self._set(0, cpus)
        try:
            self._callers[index] = _listed(os.sched_getaffinity(0))
        except (OSError, AttributeError):
            self._callers[index] = ""

    def facts(self) -> dict[str, Any]:
        """ThreadFacts as JSON data: what the kernel says now, whatever was asked of it."""
        main = allowed_list(os.getpid()) or ""
        pool = [listed for listed in map(allowed_list, self.pool) if listed is not None]
        note = self._fault(main, pool) if self.cluster else ""
        return {
            "cluster": list(self.cluster),
            "main_cpus": list(cpus_of(main)),
            "pool_cpus": pool,
            "pinned": bool(self.cluster) and not note,
            "note": note,
        }

    def _fault(self, main: str, pool: Iterable[str]) -> str:
        """Why the threads are not each alone on a core of the cluster; "" when they are."""
        if self._notes:
            return "; ".join(dict.fromkeys(self._notes))
        # The calling thread waits while others call, so their first may have its core.
        found = [("the calling thread", main)] if not self._callers else []
        found += [(f"thread {index + 1} of the session", cpus) for index, cpus in enumerate(pool)]
        found += [(f"caller {index + 1}", cpus) for index, cpus in sorted(self._callers.items())]
        threads = max(1, len(self._callers)) + len(self.pool)
        if threads > len(self.cluster):
            return f"{threads} threads share the {len(self.cluster)} cores of the cluster"
        cores: dict[int, str] = {}
        for name, listed in found:
            cpus = cpus_of(listed)
            if len(cpus) != 1 or cpus[0] not in self.cluster:
                return f"{name} may use the CPUs {listed or 'unknown'}"
            if cpus[0] in cores:
                return f"{name} shares CPU {cpus[0]} with {cores[cpus[0]]}"
            cores[cpus[0]] = name
        return ""

    def _set(self, task: int, cpus: Iterable[int]) -> None:
        try:
            os.sched_setaffinity(task, cpus)
        except ProcessLookupError:
            return  # it has ended meanwhile
        except (OSError, AttributeError) as error:
            words = error.strerror if isinstance(error, OSError) else "this system cannot"
            self._notes.append(f"CPUs {','.join(map(str, cpus))} were refused: {words}")


def _listed(cpus: Iterable[int]) -> str:
    return ",".join(str(cpu) for cpu in sorted(cpus))
