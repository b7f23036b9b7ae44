"""What the machine is: emulated, shared with the controller, virtual; its cores, memory and disk."""

from __future__ import annotations

from collections.abc import Iterator

from edgesweep_proto.device import CpuCluster

from edgesweep.fleet.fitness.finding import Finding, Look, advice, listed, ok, problem, size

#: Share of a CPU's time that a hypervisor may take: clean up to this, as in a cell's verdict (`stats/rules/kernel.py`).
CLEAN_STEAL = 0.01
#: Share over the whole time since boot that is worth a word.
STOLEN_SINCE_BOOT = 0.001
#: Memory that should be free, as a share of all and in bytes; and the share of time that tasks may wait for memory.
FREE_MEMORY_SHARE, FREE_MEMORY_BYTES = 0.10, 128 * 2**20
MEMORY_PRESSURE = 0.01
#: Disk under the agent's state folder: models beyond this cannot be pushed, and below the second nothing can.
LITTLE_DISK_BYTES, NO_DISK_BYTES = 2 * 2**30, 64 * 2**20


def check_machine(look: Look) -> Iterator[Finding]:
    """Every finding on the machine itself."""
    yield _processor(look)
    yield _host(look)
    yield from _hypervisor(look)
    yield _cores(look)
    yield from _memory(look)
    yield _disk(look)


def _processor(look: Look) -> Finding:
    device = look.found.device
    if device.emulated:
        return problem(
            "processor",
            f"{device.machine} is emulated",
            "run the agent on the board itself: an emulator's times say nothing",
        )
    return ok("processor", ", ".join(filter(None, [device.cpu_model, device.machine])))


def _host(look: Look) -> Finding:
    if look.found.colocated:
        return problem(
            "host",
            "the controller runs on this machine, so every number is tagged shared_host",
            "start edgesweep on another machine; for single files there is edgesweep measure MODEL.onnx",
        )
    return ok("host", "another machine than the controller's")


def _hypervisor(look: Look) -> Iterator[Finding]:
    """Time that a hypervisor took, now and since boot; nothing where the kernel does not count it."""
    device, total = look.found.device, look.now.steal_s
    if total is None or not device.cpu_count:
        return
    share = look.grown("steal_s")
    since_boot = total / (device.uptime_s * device.cpu_count) if device.uptime_s > 0 else 0.0
    remedy = "measure on hardware of its own, or give the virtual machine cores that no other one uses"
    if share is not None and share > CLEAN_STEAL:
        yield problem("hypervisor", f"took {share:.1%} of a CPU over {look.seconds:.0f} s", remedy)
    elif since_boot > STOLEN_SINCE_BOOT:
        yield advice("hypervisor", f"took {since_boot:.1%} of the CPUs' time since boot", remedy)
    else:
        yield ok("hypervisor", "took no time" if total else "none that took time")


def _cores(look: Look) -> Finding:
    device = look.found.device
    allowed = len(device.allowed_cpus) or device.cpu_count
    clusters = f"; clusters of equal cores: {listed([_cluster(c) for c in device.clusters])}" if device.clusters else ""
    held = f", of which the agent may use {allowed}" if allowed != device.cpu_count else ""
    read = f"{device.cpu_count} CPUs{held}{clusters}"
    if allowed == 1:
        return advice(
            "cores",
            read,
            "let the agent use a second CPU: on one alone clocks and temperatures are not watched while a trial measures",
        )
    return ok("cores", read)


def _cluster(cluster: CpuCluster) -> str:
    clock = f" up to {cluster.max_hz / 1e9:.2f} GHz" if cluster.max_hz else ""
    return f"{len(cluster.cpus)} cores{clock}" if len(cluster.cpus) != 1 else f"1 core{clock}"


def _memory(look: Look) -> Iterator[Finding]:
    total, free, swap = look.found.device.memory_total_bytes, look.now.memory_available_bytes, look.now.swap_used_bytes
    pressure = look.now.memory_pressure
    if pressure is not None and pressure > MEMORY_PRESSURE:
        yield problem("memory", f"tasks waited for memory {pressure:.1%} of 10 s", "end programs that use much memory")
    elif free is not None and total and (free < FREE_MEMORY_SHARE * total or free < FREE_MEMORY_BYTES):
        yield advice("memory", f"{size(free)} of {size(total)} are free", "end programs that use much memory")
    elif free is not None:
        yield ok("memory", f"{size(free)} of {size(total)} are free")
    if swap:
        yield advice(
            "swap", f"{size(swap)} in use", "free memory, then bring it back with: sudo swapoff -a && sudo swapon -a"
        )
    elif swap is not None:
        yield ok("swap", "none in use")


def _disk(look: Look) -> Finding:
    free = look.found.device.state_free_bytes
    remedy = "free space under the agent's --state-dir, or give it a larger disk"
    if free < NO_DISK_BYTES:
        return problem("disk", f"{size(free)} free for models and results", remedy)
    if free < LITTLE_DISK_BYTES:
        return advice("disk", f"{size(free)} free for models and results", remedy)
    return ok("disk", f"{size(free)} free for models and results")
