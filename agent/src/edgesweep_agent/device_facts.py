"""What this board is: read from the kernel and the firmware, never guessed."""

from __future__ import annotations

import os
from pathlib import Path

from edgesweep_proto import PROTOCOL_VERSION
from edgesweep_proto.device import Device

from edgesweep_agent import __version__
from edgesweep_agent.arm_cores import core_names
from edgesweep_agent.clock import boot_id, boottime
from edgesweep_agent.clocks import Clocks
from edgesweep_agent.cpu_clusters import find_clusters
from edgesweep_agent.drivers import find_drivers
from edgesweep_agent.probes import answering
from edgesweep_agent.probes.memory import meminfo
from edgesweep_agent.probes.sysfs import read_text

#: Lines that only an ARM and only an x86 kernel write into /proc/cpuinfo.
_ARM_LINE, _X86_LINE = "CPU implementer", "vendor_id"

#: Lines of /proc/cpuinfo that name the processor, best first.
_NAME_LINES = ("model name", "Hardware", "cpu model", "uarch")

#: Systems on a chip whose accelerator, as onnxruntime uses it, has no memory of its own (device tree `compatible`).
_UNIFIED = ("nvidia,tegra", "qcom,")


def describe_device(name: str, state_dir: Path, sysroot: Path = Path("/")) -> Device:
    """The device record; a fact that was not found is an empty text or 0.

    Args:
        name: What the settings call it.
        state_dir: Whose disk the blobs go to.
        sysroot: A stand-in for `/` in tests.
    """
    # Late: an agent that nobody asks needs none of it.
    import platform

    uname = os.uname()
    stat = os.statvfs(state_dir)
    return Device(
        name=name,
        agent_version=__version__,
        protocol_version=PROTOCOL_VERSION,
        boot_id=boot_id(sysroot),
        machine=uname.machine,
        system=uname.sysname,
        kernel=uname.release,
        board=board(sysroot),
        cpu_model=cpu_model(sysroot),
        cpu_count=os.cpu_count() or 0,
        allowed_cpus=tuple(sorted(os.sched_getaffinity(0))),
        memory_total_bytes=meminfo(sysroot).get("MemTotal", 0),
        state_free_bytes=stat.f_bavail * stat.f_frsize,
        python_version=platform.python_version(),
        libc=" ".join(platform.libc_ver()).strip(),
        uptime_s=boottime(),
        probes=answering(sysroot),
        # The agent's own process lies below the real root, whatever stands in for the board's sensors.
        emulated=emulated(uname.machine, Path("/")) or emulated(uname.machine, sysroot),
        hostname=uname.nodename,
        clusters=find_clusters(sysroot),
        unified_memory=unified_memory(sysroot),
        clock_control=Clocks(sysroot, state_dir).control(),
        drivers=find_drivers(sysroot),
    )


def board(sysroot: Path) -> str:
    """The board's model: the device tree's, else what the PC firmware says."""
    for tree in ("proc/device-tree/model", "sys/firmware/devicetree/base/model"):
        if text := read_text(sysroot / tree):
            return text
    parts = [read_text(sysroot / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    return " ".join(part for part in parts if part)


def unified_memory(sysroot: Path) -> bool:
    """Whether processor and accelerator share one memory, so that no driver tells what the accelerator takes of it."""
    for tree in ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible"):
        if text := read_text(sysroot / tree):
            return any(name.startswith(_UNIFIED) for name in text.split("\0"))
    return False


def cpu_model(sysroot: Path) -> str:
    """The processor's name; on ARM, where the kernel gives none, the kinds of its cores by their part numbers."""
    text = read_text(sysroot / "proc/cpuinfo") or ""
    # First, for what an ARM kernel puts beside them is a family (`ARMv7 Processor`) or the board's name (`Model`).
    if cores := core_names(text):
        return cores
    lines = _first_lines(text)
    return next((value for name in _NAME_LINES if (value := lines.get(name))), "")


def emulated(machine: str, sysroot: Path) -> bool:
    """Whether the agent itself runs under user-mode emulation.

    The emulator shows its guest's machine but is itself the process that the kernel knows, and unless the guest's
    files hide it, the host's /proc/cpuinfo shows through.
    """
    for line in (read_text(sysroot / "proc/self/status") or "").splitlines():
        if line.startswith("Name:"):
            if line.split()[-1].startswith("qemu-"):
                return True
            break
    lines = _first_lines(read_text(sysroot / "proc/cpuinfo") or "")
    arm = machine.startswith(("aarch64", "arm"))
    x86 = machine in ("x86_64", "i686")
    return (arm and _X86_LINE in lines) or (x86 and _ARM_LINE in lines)


def _first_lines(cpuinfo: str) -> dict[str, str]:
    """Each line's value by its name, of the first processor that has it."""
    lines: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            lines.setdefault(name.strip(), value.strip())
    return lines
