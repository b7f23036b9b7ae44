"""Whole boards through every probe: the trees of tests/boards, described after the makers' documents, not recorded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from edgesweep_agent.arm_cores import core_names
from edgesweep_agent.clocks import Clocks
from edgesweep_agent.cpu_clusters import CpuChoice, choose_cpus, find_clusters
from edgesweep_agent.device_facts import describe_device
from edgesweep_agent.energy import energy_source
from edgesweep_agent.probes import take_reading
from edgesweep_agent.sampled import sampler_job
from edgesweep_agent.sampler import Sampling

BOARDS = Path(__file__).parents[2] / "boards"
GIB = 1 << 30

#: Two kinds of cores, as a Rockchip board lists them.
BIG_LITTLE = "CPU implementer : 0x41\nCPU part\t: 0xd05\n\nCPU implementer : 0x41\nCPU part\t: 0xd0b\n"


def laid_out(name: str, folder: Path) -> Path:
    """The board below `folder`; what is a program on the board is one there."""
    for path, text in json.loads((BOARDS / f"{name}.json").read_text()).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if path.startswith("usr/bin/"):
            file.chmod(0o755)
    return folder


def looked_at(root: Path, cpus: tuple[int, ...], *, accelerated: bool) -> dict:
    """What the sampler tells of one look, in the product's own process or not: the same code."""
    sampling = Sampling(sampler_job(root, cpus=cpus, accelerated=accelerated, cpu=None))
    sampling.look(0.0)
    return sampling.summary()


def test_every_described_board_is_looked_at_here() -> None:
    assert sorted(path.stem for path in BOARDS.glob("*.json")) == [
        "jetson-orin-nano",
        "raspberry-pi-4",
        "raspberry-pi-5",
    ]


def test_a_raspberry_pi_4(tmp_path: Path) -> None:
    root = laid_out("raspberry-pi-4", tmp_path / "board")
    device = describe_device("pi4", tmp_path, root)
    assert (device.board, device.cpu_model) == ("Raspberry Pi 4 Model B Rev 1.4", "Arm Cortex-A72")
    assert device.boot_id == "44444444-4444-4444-8444-444444444444"
    assert 3.6 * GIB < device.memory_total_bytes < 4 * GIB
    assert device.probes == ("cpufreq", "thermal", "throttle", "memory", "load", "pressure", "cpu_time")
    assert (device.unified_memory, device.clock_control) == (False, "cpufreq")

    (cluster,) = find_clusters(root, range(4))
    assert (cluster.cpus, cluster.max_hz) == ((0, 1, 2, 3), 1.8e9)
    assert choose_cpus((cluster,), 1) == CpuChoice((1, 2, 3), 0, alone=False)

    reading = take_reading(root)
    assert reading.temperatures_c == {"cpu-thermal": 48.199}
    assert (reading.frequencies_hz, reading.hardware_max_hz) == ({"policy0": 1.5e9}, {"policy0": 1.8e9})
    assert (reading.throttle, reading.throttled_since_boot) == ((), ("under_voltage", "throttled"))
    assert (reading.swap_used_bytes, reading.load_1m) == (0, 0.12)
    assert energy_source(root) == ""

    seen = looked_at(root, (1, 2, 3), accelerated=False)
    assert seen["trace"]["frequency_start_hz"] == {"policy0": 1.5e9}
    assert seen["trace"]["temperature_max_c"] == {"cpu-thermal": 48.199}
    assert seen["energy"] is None


def test_a_raspberry_pi_5(tmp_path: Path) -> None:
    root = laid_out("raspberry-pi-5", tmp_path / "board")
    device = describe_device("pi5", tmp_path, root)
    assert (device.board, device.cpu_model) == ("Raspberry Pi 5 Model B Rev 1.0", "Arm Cortex-A76")
    # Its firmware's bits are in another place than a Pi 4's, and its power chip answers a program only.
    assert device.probes == ("cpufreq", "thermal", "throttle", "memory", "load", "pressure", "cpu_time", "pmic")
    reading = take_reading(root)
    assert (reading.throttle, reading.throttled_since_boot) == ((), ())
    assert reading.power_w == {"pmic:3V3_SYS": pytest.approx(0.33), "pmic:VDD_CORE": pytest.approx(1.5)}
    assert energy_source(root) == "pmic"
    (cluster,) = find_clusters(root, range(4))
    assert cluster.max_hz == 2.4e9


def test_a_jetson_orin_nano(tmp_path: Path) -> None:
    root = laid_out("jetson-orin-nano", tmp_path / "board")
    device = describe_device("orin", tmp_path, root)
    assert (device.board, device.cpu_model) == ("NVIDIA Jetson Orin Nano Developer Kit", "Arm Cortex-A78AE")
    assert device.unified_memory
    assert device.drivers == {"l4t": "36.4.0"}
    assert device.probes == (
        "cpufreq", "thermal", "memory", "load", "pressure", "cpu_time", "power_mode", "devfreq", "ina3221",
    )  # fmt: skip

    # Six equal cores, but on two packages that share no cache.
    clusters = find_clusters(root, range(6))
    assert [cluster.cpus for cluster in clusters] == [(0, 1, 2, 3), (4, 5)]
    assert choose_cpus(clusters, 4) == CpuChoice((0, 1, 2, 3), 4, alone=False)

    reading = take_reading(root)
    # Zones of parts that are switched off do not read.
    assert reading.temperatures_c == {"cpu-thermal": 49.5, "soc0-thermal": 48.125, "tj-thermal": 49.5}
    assert reading.frequencies_hz == {"policy0": 1.5104e9, "policy4": 7.296e8, "17000000.gpu": 3.06e8, "emc": 2.133e9}
    assert reading.hardware_max_hz["17000000.gpu"] == 6.2475e8
    assert reading.power_w == {"ina3221:VDD_IN": pytest.approx(5.024)}
    assert (reading.power_mode, energy_source(root)) == ("pmode:0000", "ina3221")

    # On the CPU only the trial's own cores count, with an accelerator its clocks too.
    plain = looked_at(root, (0, 1, 2, 3), accelerated=False)["trace"]
    assert plain["frequency_start_hz"] == {"policy0": 1.5104e9}
    whole = looked_at(root, (0, 1, 2, 3), accelerated=True)["trace"]
    assert whole["frequency_start_hz"] == {"policy0": 1.5104e9, "17000000.gpu": 3.06e8, "emc": 2.133e9}


@pytest.mark.parametrize("name", ["raspberry-pi-4", "raspberry-pi-5", "jetson-orin-nano"])
def test_its_clocks_are_fixed_and_put_back(tmp_path: Path, name: str) -> None:
    root = laid_out(name, tmp_path / "board")
    before = take_reading(root).governors
    clocks = Clocks(root, tmp_path, boot=lambda: "boot")
    assert clocks.fix()
    assert set(take_reading(root).governors.values()) == {"performance"}
    assert clocks.restore()
    assert take_reading(root).governors == before


@pytest.mark.parametrize("name", ["raspberry-pi-4", "raspberry-pi-5", "jetson-orin-nano"])
def test_a_described_board_is_never_taken_for_this_machine(tmp_path: Path, name: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the board's processor is of this machine's kind")
    assert describe_device("board", tmp_path, laid_out(name, tmp_path / "board")).emulated


def test_cores_go_by_their_names_where_they_are_known() -> None:
    assert core_names(BIG_LITTLE) == "Arm Cortex-A76 + Arm Cortex-A55"
    assert core_names("CPU implementer\t: 0x48\nCPU part\t: 0xd01\n") == "implementer 0x48 part 0xd01"
    assert core_names("CPU implementer\t: odd\nCPU part\t: \n") == ""
    assert core_names("vendor_id\t: GenuineIntel\nmodel name\t: Fast CPU\n") == ""
