"""Probes of clocks, pressure, power and GPUs on fake trees, written from the kernel's and the makers' documents."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from edgesweep_agent.probes import answering, take_reading, temperatures
from edgesweep_agent.probes.cpu_time import cpu_count
from edgesweep_agent.probes.pressure import cpu_waited_s
from edgesweep_agent.sampled import sampler_job
from edgesweep_agent.sampler import Sampling

CPUS = "sys/devices/system/cpu"

#: A Jetson Orin Nano: one CPU policy shown, GPU and memory clocks, one monitor of power.
FAKE_JETSON = {
    f"{CPUS}/cpufreq/policy0/scaling_cur_freq": "1510400\n",
    f"{CPUS}/cpufreq/policy0/scaling_min_freq": "729600\n",
    f"{CPUS}/cpufreq/policy0/scaling_max_freq": "1510400\n",
    f"{CPUS}/cpufreq/policy0/cpuinfo_max_freq": "1984000\n",
    f"{CPUS}/cpufreq/policy0/scaling_governor": "schedutil\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "624750000\n",
    "sys/class/devfreq/17000000.gpu/available_frequencies": "306000000 408000000 918000000\n",
    "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
    "sys/kernel/debug/bpmp/debug/clk/emc/max_rate": "3199000000\n",
    "sys/class/hwmon/hwmon0/name": "tmp451\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/in1_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr1_input": "1200\n",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    "sys/class/hwmon/hwmon1/in2_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr2_input": "400\n",
    "sys/class/hwmon/hwmon1/in7_input": "12\n",
    "var/lib/nvpmodel/status": "pmode:0001\n",
}

FAKE_PC = {
    f"{CPUS}/intel_pstate/no_turbo": "1\n",
    "proc/pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.10 total=2500000\nfull avg10=0.00 total=0\n",
    "proc/pressure/memory": "some avg10=0.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=7.00 avg60=0 avg300=0 total=0\n",
    "proc/stat": "cpu  100 20 30 9999 50 6 7 11 40 0\ncpu0 1\ncpu1 1\nintr 1 2 3\nctxt 5\n",
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "2500000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "900000\n",
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": "2500000\n",
    "sys/class/powercap/intel-rapl-mmio:0/max_energy_range_uj": "262143328850\n",
}

#: A few lines of what a Raspberry Pi 5 answers to `vcgencmd pmic_read_adc`.
PMIC_ANSWER = """
     3V3_SYS_A current(1)=0.10000000A
     VDD_CORE_A current(7)=2.00000000A
     3V3_SYS_V volt(9)=3.30000000V
     VDD_CORE_V volt(15)=0.75000000V
     EXT5V_V volt(24)=5.15000000V
"""


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_fake_jetson_shows_its_clocks_limits_and_power(tmp_path: Path) -> None:
    reading = take_reading(tree(tmp_path, FAKE_JETSON))
    assert reading.frequencies_hz == {"policy0": 1.5104e9, "17000000.gpu": 3.06e8, "emc": 2.133e9}
    assert reading.frequency_min_hz == {"policy0": 7.296e8, "17000000.gpu": 3.06e8}
    assert reading.frequency_max_hz == {"policy0": 1.5104e9, "17000000.gpu": 6.2475e8}
    assert reading.hardware_max_hz == {"policy0": 1.984e9, "17000000.gpu": 9.18e8, "emc": 3.199e9}
    assert reading.governors == {"policy0": "schedutil"}
    # The whole board's rail alone: the others lie behind it.
    assert reading.power_w == {"ina3221:VDD_IN": pytest.approx(6.0)}
    assert reading.power_mode == "pmode:0001"
    assert answering(tmp_path) == ("cpufreq", "power_mode", "devfreq", "ina3221")


def test_rails_are_added_up_where_none_is_the_whole_boards(tmp_path: Path) -> None:
    files = {name: text.replace("VDD_IN", "VDD_GPU_SOC") for name, text in FAKE_JETSON.items()}
    reading = take_reading(tree(tmp_path, files))
    assert reading.power_w == {"ina3221:VDD_GPU_SOC": pytest.approx(6.0), "ina3221:VDD_CPU_GPU_CV": pytest.approx(2.0)}


def test_a_fake_pc_shows_pressure_time_boost_and_energy(tmp_path: Path) -> None:
    reading = take_reading(tree(tmp_path, FAKE_PC))
    assert (reading.cpu_pressure, reading.memory_pressure) == (0.125, 0.005)
    assert cpu_waited_s(tmp_path) == 2.5
    assert reading.cpu_busy_s == pytest.approx(1.63)
    assert reading.steal_s == pytest.approx(0.11)
    assert cpu_count(tmp_path) == 2
    assert reading.boost == "off"
    assert reading.energy_j == {"rapl:package-0": 2.5}


@pytest.mark.parametrize(("file", "text", "boost"), [("cpufreq/boost", "1\n", "on"), ("cpufreq/boost", "0\n", "off")])
def test_boost_has_a_file_of_its_own_on_other_processors(tmp_path: Path, file: str, text: str, boost: str) -> None:
    assert take_reading(tree(tmp_path, {f"{CPUS}/{file}": text})).boost == boost


def fake_pi5(folder: Path, model: str = "Raspberry Pi 5 Model B Rev 1.0") -> Path:
    program = tree(folder, {
        "proc/device-tree/model": f"{model}\0", "usr/bin/vcgencmd": f"#!/bin/sh\n[ $1 = pmic_read_adc ]\ncat <<E{PMIC_ANSWER}E\n",
    }) / "usr/bin/vcgencmd"  # fmt: skip
    program.chmod(0o755)
    return folder


def test_a_fake_pi_5_tells_its_power_through_its_own_program(tmp_path: Path) -> None:
    assert take_reading(fake_pi5(tmp_path)).power_w == {
        "pmic:3V3_SYS": pytest.approx(0.33),
        "pmic:VDD_CORE": pytest.approx(1.5),
    }


def test_an_older_pi_is_not_asked_for_what_it_lacks(tmp_path: Path) -> None:
    assert take_reading(fake_pi5(tmp_path, "Raspberry Pi 4 Model B Rev 1.5")).power_w == {}


@pytest.mark.parametrize("script", ["exit 1\n", "printf '\\377'\n", "echo error=1\n"])
def test_a_program_that_fails_is_a_missing_sensor(tmp_path: Path, script: str) -> None:
    program = fake_pi5(tmp_path) / "usr/bin/vcgencmd"
    program.write_text("#!/bin/sh\n" + script)
    assert take_reading(tmp_path).power_w == {}


#: As much of NVIDIA's library as is asked: two GPUs, the second without a power sensor.
FAKE_NVML = """
typedef unsigned int u;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(u *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(u i, void **d) { *d = (void *)(unsigned long)(i + 1); return 0; }
int nvmlDeviceGetClockInfo(void *d, u t, u *v) { *v = t == 1 ? 1200 : 0; return 0; }
int nvmlDeviceGetMaxClockInfo(void *d, u t, u *v) { *v = t == 1 ? 1980 : 0; return 0; }
int nvmlDeviceGetTemperature(void *d, u t, u *v) { *v = 61; return 0; }
int nvmlDeviceGetPowerUsage(void *d, u *v) { *v = 250500; return (unsigned long)d == 1 ? 0 : 3; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *v) {
  *v = (unsigned long)d == 1 ? 0x1 | 0x2 | 0x4 | 0x20 | 0x40 : 0x1; return 0; }
"""


@pytest.fixture
def fake_gpus(tmp_path: Path) -> Path:
    """A library with NVML's interface, compiled here: what is shown is how ours calls it, not what a GPU does."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    root = tree(tmp_path, {"proc/driver/nvidia/version": "NVRM\n", "nvml.c": FAKE_NVML, "usr/lib/empty": ""})
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", root / "usr/lib/libnvidia-ml.so.1", root / "nvml.c"], check=True
    )
    return root


def test_gpus_tell_clocks_heat_power_and_why_they_are_slow(fake_gpus: Path) -> None:
    reading = take_reading(fake_gpus)
    assert reading.frequencies_hz == {"gpu0": 1.2e9, "gpu1": 1.2e9}
    assert reading.hardware_max_hz == {"gpu0": 1.98e9, "gpu1": 1.98e9}
    assert temperatures(fake_gpus) == {"gpu0": 61.0, "gpu1": 61.0}
    assert reading.power_w == {"nvml:gpu0": pytest.approx(250.5)}
    # Idle (0x1) and clocks that somebody asked for (0x2) are no faults.
    assert reading.throttle == ("gpu0:power_cap", "gpu0:sw_thermal", "gpu0:hw_thermal")


def test_the_sampler_asks_the_same_gpus_itself(fake_gpus: Path) -> None:
    sampling = Sampling(sampler_job(fake_gpus, cpus=(), accelerated=True, cpu=None))
    sampling.look(0.0)
    trace = sampling.summary()["trace"]
    assert trace["frequency_start_hz"] == {"gpu0": 1.2e9, "gpu1": 1.2e9}
    assert trace["temperature_max_c"] == {"gpu0": 61.0, "gpu1": 61.0}
    assert trace["throttle"] == ["gpu0:hw_thermal", "gpu0:power_cap", "gpu0:sw_thermal"]
    plain = Sampling(sampler_job(fake_gpus, cpus=(), accelerated=False, cpu=None))
    plain.look(0.0)
    assert plain.summary()["trace"]["throttle"] == []


def test_a_driver_without_its_library_is_a_missing_sensor(tmp_path: Path) -> None:
    assert take_reading(tree(tmp_path, {"proc/driver/nvidia/version": "NVRM\n"})).throttle == ()


@pytest.mark.parametrize("rubbish", ["", "N/A\n", "some\n", "cpu\n", "-\n", "1 2 3\n" * 50])
def test_rubbish_in_any_of_them_is_no_error(tmp_path: Path, rubbish: str) -> None:
    take_reading(tree(tmp_path, dict.fromkeys({**FAKE_JETSON, **FAKE_PC}, rubbish)))
