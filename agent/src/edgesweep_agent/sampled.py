"""Which files the sampler reads while a trial measures: few, and only of what the trial uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgesweep_agent.cpu_clusters import parse_cpu_list
from edgesweep_agent.probes import cpufreq, devfreq, gpu, ina3221, pmic, rapl, thermal, throttle
from edgesweep_agent.probes.power_mode import status_file
from edgesweep_agent.probes.sysfs import read_text

#: Seconds between two looks.
INTERVAL_S = 0.2

#: A power source that is a program is asked every so many looks: each question costs a process.
_COMMAND_EVERY = 10


def sampler_job(
    sysroot: Path, *, cpus: Iterable[int], accelerated: bool, cpu: int | None, interval_s: float = INTERVAL_S
) -> dict[str, Any]:
    """What the sampler is told (`sampler.py` describes it).

    Args:
        sysroot: A stand-in for `/` in tests.
        cpus: Where the trial's threads run; empty when they may run anywhere. Only these cores' clocks are looked at:
            the others idle as they like.
        accelerated: Whether the trial asks for more than the CPU, so that other clocks count too.
        cpu: The core for the sampler; None holds it to none.
        interval_s: Seconds between two looks.
    """
    used = set(cpus)
    policies = [policy for policy in cpufreq.policies(sysroot) if not used or used & _cpus_of(policy)]
    numbers: list[list[Any]] = [
        ["frequency", policy.name, str(policy / "scaling_cur_freq"), cpufreq.HZ_PER_KHZ] for policy in policies
    ]
    if accelerated:
        numbers += [["frequency", name, str(path), 1.0] for name, path in devfreq.clocks(sysroot)]
    numbers += [["temperature", name, str(path), 1 / thermal.PER_DEGREE] for name, path in thermal.zones(sysroot)]
    watched = [[f"governor of {policy.name}", str(policy / "scaling_governor")] for policy in policies]
    if mode := status_file(sysroot):
        watched.append(["power mode", str(mode)])
    bits = throttle.bits_file(sysroot)
    library = gpu.driver_library(sysroot) if accelerated else ""
    return {
        "interval_s": interval_s,
        "cpu": cpu,
        "numbers": numbers,
        "watched": watched,
        "caps": [
            [f"highest frequency of {policy.name}", str(policy / "scaling_max_freq"), cpufreq.HZ_PER_KHZ]
            for policy in policies
        ],
        "bits": [[str(bits), list(throttle.REASONS), throttle.SINCE_BOOT_SHIFT]] if bits else [],
        "counters": [["cpu_hot", str(path)] for path in _heat_counters(sysroot, used)],
        "gpus": [str(Path(__file__).parent.parent), library] if library else None,
        **_energy(sysroot),
    }


def energy_source(sysroot: Path) -> str:
    """The one source that a trial's energy is taken from: ina3221, pmic or rapl; empty where there is none."""
    return str(_energy(sysroot)["source"])


def _energy(sysroot: Path) -> dict[str, Any]:
    told: dict[str, Any] = {"source": "", "power": [], "energy": [], "command": [], "command_every": _COMMAND_EVERY}
    if rails := ina3221.rails(sysroot):
        power = [[label, str(volts), str(amperes), ina3221.W_PER_MV_MA] for label, volts, amperes in rails]
        return {**told, "source": ina3221.NAME, "power": power}
    if command := pmic.command(sysroot):
        return {**told, "source": pmic.NAME, "command": command}
    if counters := rapl.counters(sysroot):
        energy = [[label, str(path), rapl.J_PER_UJ, limit] for label, path, limit in counters]
        return {**told, "source": rapl.NAME, "energy": energy}
    return told


def _cpus_of(policy: Path) -> set[int]:
    return set(parse_cpu_list((read_text(policy / "related_cpus") or "").replace(" ", ",")))


def _heat_counters(sysroot: Path, used: set[int]) -> list[Path]:
    """How often each core was slowed down for heat (x86); without a choice of cores the first one's will do."""
    folder = sysroot / "sys/devices/system/cpu"
    found = (folder / f"cpu{cpu}/thermal_throttle/core_throttle_count" for cpu in sorted(used or {0}))
    return [path for path in found if path.exists()]
