"""Which cores of this board are equal, and which of them a trial's threads are held to.

Sources, best first: the kernel's `cpu_capacity` (Documentation/scheduler/sched-capacity.rst), the highest frequency of
each core's cpufreq policy, else all cores of a package. Of a core with several hardware threads only the first is
named: two threads of one core share its units and are not two cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgesweep_proto.device import CpuCluster

from edgesweep_agent.probes.sysfs import read_number, read_text

_CPUS = "sys/devices/system/cpu"
_HZ_PER_KHZ = 1000.0

#: Makers let single cores of the same kind go a little faster; a core of another kind differs by more than this share.
_SAME_SPEED = 0.10


@dataclass(frozen=True, slots=True)
class CpuChoice:
    """Where one trial runs.

    `cpus` are those of the cluster, in the order in which they should be taken, without the one left to the sampler
    where one can be left; empty when no cluster holds the threads. `sampler` is the core for the sampler: None when
    the worker needs every core. `alone` says that the board has one core only, where no sampler may run.
    """

    cpus: tuple[int, ...]
    sampler: int | None
    alone: bool


def find_clusters(sysroot: Path = Path("/"), allowed: Iterable[int] | None = None) -> tuple[CpuCluster, ...]:
    """Clusters of equal cores among the CPUs that this process may use, the fastest first.

    Args:
        sysroot: A stand-in for `/` in tests.
        allowed: CPUs to look at; this process's own when None.
    """
    usable = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    cores = _first_threads(sysroot, usable)
    facts = {cpu: _facts(sysroot, cpu) for cpu in cores}
    by_capacity = all(capacity is not None for _, capacity, _ in facts.values())
    groups: list[list[int]] = []
    for cpu in sorted(cores, key=lambda cpu: _speed(facts[cpu], by_capacity=by_capacity), reverse=True):
        for group in groups:
            if _equal(facts[group[0]], facts[cpu], by_capacity=by_capacity):
                group.append(cpu)
                break
        else:
            groups.append([cpu])
    return tuple(
        CpuCluster(
            cpus=tuple(sorted(group)),
            max_hz=max((hz for cpu in group if (hz := facts[cpu][2]) is not None), default=None),
            capacity=facts[group[0]][1] if by_capacity else None,
        )
        for group in groups
    )


def choose_cpus(clusters: Iterable[CpuCluster], threads: int) -> CpuChoice:
    """The fastest cluster that holds `threads` threads, each on a core of its own, and a core for the sampler.

    The sampler gets the slowest cluster's first core, where interrupts go anyway, as long as that leaves the threads
    enough of theirs.
    """
    ordered = tuple(clusters)
    everything = [cpu for cluster in ordered for cpu in cluster.cpus]
    alone = len(everything) <= 1
    chosen = next((cluster for cluster in ordered if len(cluster.cpus) >= threads), None)
    if chosen is None:
        return CpuChoice((), None, alone)
    others = [cluster for cluster in ordered if cluster is not chosen]
    if others:
        return CpuChoice(chosen.cpus, min(others[-1].cpus), alone)
    if len(chosen.cpus) > threads:
        return CpuChoice(chosen.cpus[1:], chosen.cpus[0], alone)
    return CpuChoice(chosen.cpus, None, alone)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The CPUs in a list as the kernel writes it, such as `0-2,5`; empty for rubbish."""
    cpus: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            cpus += range(int(first), int(last or first) + 1)
        except ValueError:
            return ()
    return tuple(cpus)


_Facts = tuple[float | None, int | None, float | None]


def _facts(sysroot: Path, cpu: int) -> _Facts:
    """Package, capacity and highest frequency in hertz of a CPU."""
    folder = sysroot / _CPUS / f"cpu{cpu}"
    capacity = read_number(folder / "cpu_capacity")
    return (
        read_number(folder / "topology/physical_package_id"),
        None if capacity is None else int(capacity),
        _max_hz(sysroot, cpu),
    )


def _max_hz(sysroot: Path, cpu: int) -> float | None:
    khz = read_number(sysroot / _CPUS / f"cpu{cpu}/cpufreq/cpuinfo_max_freq")
    if khz is None:
        for policy in sorted((sysroot / _CPUS / "cpufreq").glob("policy*")):
            if cpu in parse_cpu_list((read_text(policy / "related_cpus") or "").replace(" ", ",")):
                khz = read_number(policy / "cpuinfo_max_freq")
                break
    return None if khz is None else khz * _HZ_PER_KHZ


def _speed(facts: _Facts, *, by_capacity: bool) -> float:
    _, capacity, hz = facts
    return float(capacity or 0) if by_capacity else hz or 0.0


def _equal(one: _Facts, other: _Facts, *, by_capacity: bool) -> bool:
    if one[0] != other[0]:
        return False
    if by_capacity:
        return one[1] == other[1]
    fast, slow = _speed(one, by_capacity=False), _speed(other, by_capacity=False)
    return slow >= fast * (1 - _SAME_SPEED)


def _first_threads(sysroot: Path, cpus: list[int]) -> list[int]:
    """Of each core the first CPU among `cpus`."""
    taken: set[int] = set()
    cores = []
    for cpu in cpus:
        if cpu in taken:
            continue
        folder = sysroot / _CPUS / f"cpu{cpu}/topology"
        siblings = read_text(folder / "core_cpus_list") or read_text(folder / "thread_siblings_list") or str(cpu)
        taken.update(parse_cpu_list(siblings))
        cores.append(cpu)
    return cores
