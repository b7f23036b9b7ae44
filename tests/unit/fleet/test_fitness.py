"""The rules of `device check` on descriptions that are made up here, after boards of their kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.fleet.description import Description, host_boot_id
from edgesweep.fleet.fitness import Finding, Level, Look, check_fitness
from edgesweep_proto.device import CpuCluster, Device, ProviderProbe, Reading, Runtime

PI = Device(
    name="pi5", agent_version="0.1.0", protocol_version=1, boot_id="its-own", machine="aarch64", system="Linux", kernel="6.12",
    board="Raspberry Pi 5", cpu_model="Cortex-A76", cpu_count=4, allowed_cpus=(0, 1, 2, 3), memory_total_bytes=8 * 2**30,
    state_free_bytes=40 * 2**30, python_version="3.11.2", libc="glibc 2.36", uptime_s=1000.0,
    probes=("cpufreq", "thermal", "throttle", "memory", "load", "pressure"), emulated=False, hostname="pi5",
    clusters=(CpuCluster((0, 1, 2, 3), 2.4e9, 1024),), clock_control="cpufreq",
)  # fmt: skip
RUNTIME = Runtime(
    "1.32.0", "", "1.32.0", "", "3.11.2", "2.3.0", ("AzureExecutionProvider", "CPUExecutionProvider"),
    (ProviderProbe("AzureExecutionProvider", 0), ProviderProbe("CPUExecutionProvider", 3)), 4e-6,
)  # fmt: skip
QUIET = Reading(
    at=100.0, temperatures_c={"cpu": 48.0, "gpu": 47.0}, frequencies_hz={"policy0": 2.4e9}, governors={"policy0": "performance"},
    throttle=(), load_1m=0.1, cpu_pressure=0.0, memory_available_bytes=7 * 2**30, swap_used_bytes=0, boost="off",
    frequency_max_hz={"policy0": 2.4e9}, hardware_max_hz={"policy0": 2.4e9}, memory_pressure=0.0, cpu_busy_s=50.0, steal_s=0.0,
)  # fmt: skip


def look(*, device: Device = PI, runtimes: tuple[Runtime, ...] = (RUNTIME,), busy_s: float = 0.02, **changes) -> Look:
    """A quiet board two seconds apart, with `changes` to its readings; `busy_s` CPU seconds go by between the two."""
    first = replace(QUIET, **changes)
    last = replace(first, at=102.0, cpu_busy_s=None if first.cpu_busy_s is None else first.cpu_busy_s + busy_s)
    return Look(Description(device, runtimes, first), (first, last))


def findings(at: Look, level: Level) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check_fitness(at) if finding.level is level}


def only(at: Look) -> Finding:
    """The one finding that is not in order."""
    (found,) = (finding for finding in check_fitness(at) if finding.level is not Level.OK)
    return found


def test_a_board_in_order_has_nothing_to_change() -> None:
    found = check_fitness(look())
    assert {finding.level for finding in found} == {Level.OK}
    assert not any(finding.remedy for finding in found)
    told = {finding.subject: finding.read for finding in found}
    assert told["cores"] == "4 CPUs; clusters of equal cores: 4 cores up to 2.40 GHz"
    assert told["load"] == "0% of 4 CPUs in use over 2 s, tasks waited 0.0% of 10 s, load 0.10"
    assert told["temperature"] == "cpu 48 °C is the hottest of 2"
    assert told["frequency cap"] == "none: 2.40 GHz"
    assert told["memory"] == "7.0 GiB of 8.0 GiB are free"
    assert told["runtime 1.32.0"] == "runs on cpu"
    assert told["throttling"] == "none, now or since boot"


@pytest.mark.parametrize(
    ("at", "subject", "read", "remedy"),
    [
        (look(device=replace(PI, emulated=True)), "processor", "aarch64 is emulated", "on the board itself"),
        (look(busy_s=2.0), "load", "25% of 4 CPUs in use over 2 s", "ps -eo pcpu,comm"),
        (look(busy_s=0.4, cpu_pressure=0.3), "load", "tasks waited 30.0% of 10 s", "stop other work"),
        (look(cpu_busy_s=None, cpu_pressure=0.3), "load", "tasks waited 30.0% of 10 s", "stop other work"),
        (look(memory_pressure=0.05), "memory", "tasks waited for memory 5.0% of 10 s", "end programs"),
        (look(temperatures_c={"cpu": 84.0}), "temperature", "cpu 84 °C", "let it cool down"),
        (
            look(throttle=("under_voltage",), throttled_since_boot=("under_voltage",)),
            "throttling", "in force now: under_voltage", "power supply",
        ),
        (look(throttle=("soft_temperature_limit",)), "throttling", "soft_temperature_limit", "heat sink or a fan"),
        (look(device=replace(PI, state_free_bytes=2**20)), "disk", "1 MiB free", "--state-dir"),
        (look(runtimes=()), "runtimes", "none that works", "--runtime PYTHON"),
    ],
)  # fmt: skip
def test_what_makes_numbers_untrustworthy_is_a_problem(at, subject, read, remedy) -> None:
    found = only(at)
    assert (found.level, found.subject) == (Level.PROBLEM, subject)
    assert read in found.read
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("at", "subject", "read", "remedy"),
    [
        (look(governors={"policy0": "ondemand"}), "governor", "ondemand: clocks follow", "measure.fix_clocks: true"),
        (look(governors={"policy0": "ondemand"}), "governor", "ondemand", "sudo cpupower frequency-set -g performance"),
        (look(frequency_max_hz={"policy0": 1.5e9}), "frequency cap", "policy0 to 1.50 of 2.40 GHz", "-u 2400MHz"),
        (look(boost="on"), "boost", "above their rated clock", "cpufreq/boost"),
        (look(swap_used_bytes=3 * 2**20), "swap", "3 MiB in use", "swapoff"),
        (look(memory_available_bytes=100 * 2**20), "memory", "100 MiB of 8.0 GiB are free", "end programs"),
        (look(temperatures_c={"cpu": 70.0}), "temperature", "cpu 70 °C", "fan"),
        (look(throttled_since_boot=("under_voltage",)), "throttling", "since boot: under_voltage", "power supply"),
        (look(load_1m=3.0), "load", "load 3.00", "busy in the last minute"),
        (look(cpu_pressure=None), "pressure", "does not tell", "psi=1"),
        (look(power_mode="quiet"), "power mode", "quiet", "platform_profile"),
        (look(device=replace(PI, state_free_bytes=2**30)), "disk", "1.0 GiB free", "--state-dir"),
        (look(device=replace(PI, allowed_cpus=(2,))), "cores", "of which the agent may use 1", "second CPU"),
        (look(device=replace(PI, clock_control="")), "clock control", "may not set", "scaling_governor"),
        (
            look(runtimes=(RUNTIME, replace(RUNTIME, id="old", fault="no numpy\nfor it"))),
            "runtime old", "cannot be used: no numpy", "mend its environment",
        ),
        (
            look(runtimes=(replace(RUNTIME, providers=(*RUNTIME.providers, ProviderProbe("CUDAExecutionProvider", 0, "no libcudart"))),)),
            "runtime 1.32.0", "cuda is listed and ran nothing: no libcudart", "leave it out of plans",
        ),
    ],
)  # fmt: skip
def test_what_could_be_better_is_advice(at, subject, read, remedy) -> None:
    found = only(at)
    assert (found.level, found.subject) == (Level.ADVICE, subject)
    assert read in found.read
    assert remedy in found.remedy


def test_what_is_over_is_not_taken_for_load() -> None:
    # Pressure is an average over 10 s: what it remembers of our own probe is no reason to refuse an idle board.
    assert not findings(look(cpu_pressure=0.4), Level.PROBLEM)


def test_a_machine_shared_with_the_controller_is_a_problem() -> None:
    here = look(device=replace(PI, boot_id=host_boot_id()))
    assert "shared_host" in findings(here, Level.PROBLEM)["host"].read


def test_a_hypervisor_that_takes_time_now_is_a_problem_and_one_that_took_some_is_advice() -> None:
    at = look(steal_s=1.0)
    now = replace(at, readings=(at.readings[0], replace(at.readings[1], steal_s=1.1)))
    assert findings(now, Level.PROBLEM)["hypervisor"].read == "took 5.0% of a CPU over 2 s"
    assert findings(look(steal_s=8.0), Level.ADVICE)["hypervisor"].read == "took 0.2% of the CPUs' time since boot"
    assert "hypervisor" not in {finding.subject for finding in check_fitness(look(steal_s=None))}


def test_a_board_of_two_clusters_and_several_policies_is_told_as_it_is() -> None:
    big_little = replace(
        PI, cpu_count=8, allowed_cpus=tuple(range(8)), clusters=(CpuCluster((0, 1, 2, 3), 1.8e9), CpuCluster((4, 5, 6, 7), 2.4e9))
    )  # fmt: skip
    at = look(
        device=big_little, governors={"policy0": "schedutil", "policy4": "performance"},
        frequency_max_hz={"policy0": 1.8e9, "policy4": 2.0e9}, hardware_max_hz={"policy0": 1.8e9, "policy4": 2.4e9},
    )  # fmt: skip
    told = {finding.subject: finding for finding in check_fitness(at)}
    assert told["cores"].read.endswith("4 cores up to 1.80 GHz and 4 cores up to 2.40 GHz")
    assert told["governor"].read.startswith("performance and schedutil")
    assert told["frequency cap"].read == "policy4 to 2.00 of 2.40 GHz"


def test_a_virtual_machine_without_clocks_is_advised_and_not_refused() -> None:
    at = look(
        device=replace(PI, clock_control="", probes=("memory",)), temperatures_c={}, frequencies_hz={}, governors={}, boost=None,
        frequency_max_hz={}, hardware_max_hz={}, power_mode=None,
    )  # fmt: skip
    assert only(at).subject == "governor"
    assert "no cpufreq" in only(at).read


def test_a_device_that_measures_gives_no_readings() -> None:
    at = Look(Description(PI, (RUNTIME,), QUIET), held_by="ann@desk/run")
    assert only(at).read.startswith("the device measures at this moment")
    assert findings(at, Level.OK)["lease"].read == "held by ann@desk/run"
