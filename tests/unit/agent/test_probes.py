"""Probes on trees that imitate /sys and /proc of a board. The trees are fakes, written from the kernel's documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep_agent.device_facts import board, cpu_model, describe_device, emulated
from edgesweep_agent.oom import oom_count
from edgesweep_agent.probes import answering, take_reading

FAKE_PI = {
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61250\n",
    "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-5000\n",
    "sys/class/thermal/thermal_zone2/type": "broken\n",
    "sys/class/thermal/thermal_zone2/temp": "",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "proc/meminfo": "MemTotal:        8000 kB\nMemAvailable:    6000 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\nHugePages_Total: 0\n",
    "proc/loadavg": "0.52 0.58 0.59 1/823 4242\n",
    "proc/pressure/cpu": "some avg10=2.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=0\n",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
}


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_fake_pi_is_read_in_si_units(tmp_path: Path) -> None:
    reading = take_reading(tree(tmp_path, FAKE_PI))
    assert reading.frequencies_hz == {"policy0": 1.5e9}
    assert reading.governors == {"policy0": "ondemand", "policy4": "performance"}
    assert reading.temperatures_c == {"cpu-thermal": 61.25, "cpu-thermal:1": -5.0}
    assert reading.throttle == ("under_voltage", "throttled")
    assert set(take_reading(tmp_path).throttled_since_boot) == {"under_voltage", "throttled"}
    assert reading.memory_available_bytes == 6000 * 1024
    assert reading.swap_used_bytes == 60 * 1024
    assert reading.load_1m == 0.52
    assert reading.cpu_pressure == pytest.approx(0.025)
    assert reading.power_mode == "pmode:0002"
    assert answering(tmp_path) == ("cpufreq", "thermal", "throttle", "memory", "load", "pressure", "power_mode")


def test_a_board_without_sensors_reads_as_nothing(tmp_path: Path) -> None:
    reading = take_reading(tmp_path)
    assert reading.at > 0
    assert (reading.temperatures_c, reading.frequencies_hz, reading.throttle) == ({}, {}, ())
    assert (reading.load_1m, reading.cpu_pressure, reading.memory_available_bytes) == (None, None, None)
    assert answering(tmp_path) == ()
    assert take_reading(tmp_path).throttled_since_boot == ()
    device = describe_device("bare", tmp_path, tmp_path)
    assert (device.board, device.cpu_model, device.boot_id, device.memory_total_bytes) == ("", "", "", 0)


@pytest.mark.parametrize("rubbish", ["", "N/A\n", "\xff\xfe", "some\n", "1 2 3 4 5 6\n" * 50])
def test_rubbish_in_any_sensor_is_no_error(tmp_path: Path, rubbish: str) -> None:
    take_reading(tree(tmp_path, dict.fromkeys(FAKE_PI, rubbish)))
    describe_device("odd", tmp_path, tmp_path)


def test_this_machine_answers() -> None:
    reading = take_reading()
    assert reading.memory_available_bytes
    assert reading.load_1m is not None


def test_board_and_processor_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path, FAKE_PI)
    assert board(root) == "Raspberry Pi 4 Model B Rev 1.4"
    assert cpu_model(root) == "Arm Cortex-A72"
    pc = tree(tmp_path / "pc", {
        "sys/class/dmi/id/sys_vendor": "Lab\n", "sys/class/dmi/id/product_name": "Box 3\n",
        "proc/cpuinfo": "vendor_id: GenuineIntel\nmodel name\t: Fast CPU\n",
    })  # fmt: skip
    assert board(pc) == "Lab Box 3"
    assert cpu_model(pc) == "Fast CPU"


def test_emulation_is_seen_by_its_name_and_by_the_hosts_processor(tmp_path: Path) -> None:
    arm = tree(tmp_path / "arm", {"proc/cpuinfo": "CPU implementer: 0x41\n", "proc/self/status": "Name:\tpython\n"})
    x86 = tree(tmp_path / "x86", {"proc/cpuinfo": "vendor_id: AuthenticAMD\n", "proc/self/status": "Name:\tpython\n"})
    qemu = tree(
        tmp_path / "q", {"proc/cpuinfo": "CPU implementer: 0x41\n", "proc/self/status": "Name:\tqemu-aarch64-st\n"}
    )
    assert [emulated("aarch64", root) for root in (arm, x86, qemu)] == [False, True, True]
    assert [emulated("x86_64", root) for root in (arm, x86)] == [True, False]


def test_memory_kills_are_counted_where_the_kernel_counts_them(tmp_path: Path) -> None:
    v1 = tree(tmp_path / "v1", {
        "proc/self/cgroup": "4:memory:/lab/agent\n0::/\n",
        "sys/fs/cgroup/memory/lab/agent/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    })  # fmt: skip
    v2 = tree(tmp_path / "v2", {
        "proc/self/cgroup": "0::/agent.service\n",
        "sys/fs/cgroup/agent.service/memory.events": "low 0\nmax 9\noom 1\noom_kill 1\n",
    })  # fmt: skip
    plain = tree(tmp_path / "plain", {"proc/vmstat": "nr_free_pages 1\noom_kill 7\n"})
    counts = [oom_count(root) for root in (v1, v2, plain, tmp_path / "none")]
    assert [count and count.kills for count in counts] == [3, 1, 7, None]
    assert counts[1]
    assert counts[1].source == "/sys/fs/cgroup/agent.service/memory.events"
