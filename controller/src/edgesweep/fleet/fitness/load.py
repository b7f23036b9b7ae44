"""What else runs on the board."""

from __future__ import annotations

from collections.abc import Iterator

from edgesweep.fleet.fitness.finding import Finding, Look, advice, ok, problem

#: What the idle gate lets pass (edgesweep_agent/gates.py): share of time that tasks wait for a CPU, share of all CPUs in use.
MAX_PRESSURE, MAX_BUSY = 0.05, 0.10
#: CPUs that are in use to less than this keep nobody waiting: pressure then tells of what has ended.
IDLE = 0.02
#: Load average per CPU that is worth a word on a machine that is idle at this moment.
LOAD_PER_CPU = 0.5

_WHO = "stop other work; who it is shows: ps -eo pcpu,comm --sort=-pcpu | head"


def check_load(look: Look) -> Iterator[Finding]:
    """Whether the board is idle, and whether the kernel tells who waits."""
    if look.held_by:
        yield ok("lease", f"held by {look.held_by}")
    if not look.readings:
        yield advice("load", "the device measures at this moment and gives no readings", "check again when it is idle")
    else:
        yield _busy(look)
    if look.now.cpu_pressure is None:
        yield advice(
            "pressure",
            "the kernel does not tell how long tasks wait for a CPU (PSI)",
            "boot with psi=1 on the kernel's command line; it needs CONFIG_PSI",
        )


def _busy(look: Look) -> Finding:
    cpus = look.found.device.cpu_count or 1
    used, pressure, load = look.grown("cpu_busy_s"), look.now.cpu_pressure, look.now.load_1m
    share = None if used is None else used / cpus
    words = [f"{share:.0%} of {cpus} CPUs in use over {look.seconds:.0f} s"] if share is not None else []
    words += [f"tasks waited {pressure:.1%} of 10 s"] if pressure is not None else []
    words += [f"load {load:.2f}"] if load is not None else []
    read = ", ".join(words) or "nothing is told of it"
    crowded = pressure is not None and pressure > MAX_PRESSURE and (share is None or share > IDLE)
    if crowded or (share is not None and share > MAX_BUSY):
        return problem("load", read, _WHO)
    if load is not None and load > LOAD_PER_CPU * cpus:
        return advice("load", read, f"it was busy in the last minute: {_WHO}")
    return ok("load", read)
