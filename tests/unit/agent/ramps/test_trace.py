"""What the sampler makes of boards that change while a trial measures, and what verdict that leads to.

The boards are fakes, each described after how such a board is known to behave, and their time is the test's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgesweep.stats.facts import TrialFacts, Verdict
from edgesweep.stats.verdict import judge
from edgesweep_agent.probes import take_reading
from edgesweep_agent.sampled import energy_source, sampler_job
from edgesweep_agent.sampler import Sampling
from edgesweep_proto.codec import from_json, to_json
from edgesweep_proto.evidence import DeviceTrace, Energy, ThreadFacts
from edgesweep_proto.trial import Accounting

CPUS = "sys/devices/system/cpu"
POLICY = f"{CPUS}/cpufreq/policy0"
BITS = "sys/devices/platform/soc/soc:firmware/get_throttled"
GOVERNOR = f"{POLICY}/scaling_governor"

Watch = Callable[..., TrialFacts]


class Seen:
    """One fake board, looked at every 0.2 s of its own time."""

    def __init__(self, replay: Any) -> None:
        self.replay = replay
        self.energy: Energy | None = None

    def trace(self, seconds: float, *, cpus: tuple[int, ...] = (1, 2, 3), accelerated: bool = False) -> DeviceTrace:
        replay = self.replay
        job = sampler_job(replay.root, cpus=cpus, accelerated=accelerated, cpu=0)
        sampling = Sampling(json.loads(json.dumps(job)))
        looks = round(seconds / job["interval_s"])
        for look in range(looks + 1):
            if look:
                replay.advance(job["interval_s"])
            sampling.look(replay.now, last=look == looks)
        told = json.loads(json.dumps(sampling.summary()))
        self.energy = None if told["energy"] is None else from_json(Energy, told["energy"])
        trace: DeviceTrace = from_json(DeviceTrace, told["trace"])
        return trace

    def facts(self, seconds: float) -> TrialFacts:
        """A trial that is clean but for what the board does meanwhile."""
        before = take_reading(self.replay.root)
        trace = self.trace(seconds)
        return TrialFacts(
            n=200,
            accounting=Accounting(seconds, seconds, 0.0, 0, 0),
            stop_reason="interval_met",
            before=before,
            after=take_reading(self.replay.root),
            median_s=0.01,
            threads=ThreadFacts((1, 2, 3), (1,), (), pinned=True),
            trace=trace,
        )


@pytest.fixture
def board(replay: Any) -> Seen:
    return Seen(replay)


def bits(value: str) -> dict[str, str]:
    return {BITS: f"{value}\n"}


def verdict(facts: TrialFacts) -> tuple[Verdict, tuple[str, ...]]:
    return judge([facts] * 3, planned=3)


def test_a_board_that_stays_as_it_is_is_trusted(board: Seen) -> None:
    facts = board.facts(2.0)
    assert facts.trace is not None
    assert to_json(facts.trace) | {"wall_s": 2.0} == to_json(
        DeviceTrace(
            readings=11,
            interval_s=0.2,
            wall_s=2.0,
            frequency_start_hz={"policy0": 1.8e9},
            frequency_min_hz={"policy0": 1.8e9},
            frequency_mean_hz={"policy0": 1.8e9},
            temperature_start_c={"cpu-thermal": 45.0},
            temperature_max_c={"cpu-thermal": 45.0},
            sampler_cpu=0,
        )
    )
    assert facts.trace.wall_s == pytest.approx(2.0)
    assert verdict(facts) == (Verdict.TRUSTED, ())


def test_a_thermal_climb_is_throttling_with_all_its_signs(
    board: Seen, at_celsius: Callable[[float], dict[str, str]], at_hertz: Callable[[float], dict[str, str]]
) -> None:
    """A Pi 4 without a fan warms by a degree a second; at 80 degrees its firmware takes the clock down by steps."""
    board.replay.ramp((second, at_celsius(70 + second)) for second in range(15))
    board.replay.ramp([(10, bits("80008") | at_hertz(1.5e9)), (12, at_hertz(1.2e9))])
    facts = board.facts(16.0)
    trace = facts.trace
    assert trace is not None
    assert (trace.readings, trace.throttle, trace.changes) == (81, ("soft_temperature_limit",), ())
    assert (trace.temperature_start_c, trace.temperature_max_c) == ({"cpu-thermal": 70.0}, {"cpu-thermal": 84.0})
    assert trace.frequency_start_hz == {"policy0": 1.8e9}
    assert trace.frequency_min_hz == {"policy0": 1.2e9}
    # 50 looks before 10 s, 10 before 12 s, 21 after it.
    assert trace.frequency_mean_hz == {"policy0": pytest.approx((50 * 1.8e9 + 10 * 1.5e9 + 21 * 1.2e9) / 81)}
    assert verdict(facts) == (
        Verdict.DOUBTFUL,
        (
            "throttled: soft_temperature_limit; cool the device and check its power supply",
            "clock fell: to 67% of its start value; cool the device, or fix its clocks with measure.fix_clocks",
        ),
    )


def test_an_under_voltage_that_comes_and_goes_is_seen(board: Seen) -> None:
    """A weak supply: the bits are there for a second, and both readings around the trial are clean."""
    board.replay.ramp([(3, bits("50005")), (4, bits("50000"))])
    facts = board.facts(6.0)
    assert facts.trace is not None
    assert facts.trace.throttle == ("throttled", "under_voltage")
    assert facts.before is not None
    assert facts.after is not None
    assert (facts.before.throttle, facts.after.throttle) == ((), ())
    assert verdict(facts) == (
        Verdict.DOUBTFUL,
        ("throttled: throttled, under_voltage; cool the device and check its power supply",),
    )


def test_a_dip_between_two_looks_is_known_by_the_bits_since_boot(board: Seen) -> None:
    board.replay.ramp([(3.05, bits("50005")), (3.15, bits("50000"))])
    facts = board.facts(6.0)
    assert facts.trace is not None
    assert facts.trace.throttle == ("throttled", "under_voltage")


def test_what_happened_before_the_trial_is_not_held_against_it(board: Seen) -> None:
    board.replay.write(bits("50000"))
    facts = board.facts(6.0)
    assert facts.trace is not None
    assert facts.trace.throttle == ()
    assert verdict(facts) == (Verdict.TRUSTED, ())


def test_a_governor_that_changes_in_mid_run_is_told_in_words(
    board: Seen, at_hertz: Callable[[float], dict[str, str]]
) -> None:
    """Some daemon of a desktop sets its power profile: the governor goes, and with it the clock."""
    board.replay.write({GOVERNOR: "performance\n"})
    board.replay.ramp([(1, {GOVERNOR: "powersave\n"} | at_hertz(6e8))])
    facts = board.facts(2.0)
    assert facts.trace is not None
    assert facts.trace.changes == ("governor of policy0: performance, then powersave",)
    assert facts.trace.frequency_min_hz == {"policy0": 6e8}
    assert verdict(facts) == (
        Verdict.DOUBTFUL,
        (
            f"settings changed: {facts.trace.changes[0]}; keep other software from setting the clocks",
            "clock fell: to 33% of its start value; cool the device, or fix its clocks with measure.fix_clocks",
        ),
    )


def test_a_frequency_cap_is_told_though_it_is_short(board: Seen, at_hertz: Callable[[float], dict[str, str]]) -> None:
    """A thermal daemon lowers the policy's limit for half a second and lifts it again."""
    cap = f"{POLICY}/scaling_max_freq"
    board.replay.ramp([(1, {cap: "1650000\n"} | at_hertz(1.65e9)), (1.5, {cap: "1800000\n"} | at_hertz(1.8e9))])
    facts = board.facts(10.0)
    assert facts.trace is not None
    assert facts.trace.changes == (
        "highest frequency of policy0: 1.8 GHz, then 1.65 GHz",
        "highest frequency of policy0: 1.65 GHz, then 1.8 GHz",
    )
    result, (reason,) = verdict(facts)
    assert result is Verdict.DOUBTFUL
    assert reason.startswith("settings changed: highest frequency of policy0")


def test_a_setting_that_flaps_is_counted_and_not_listed_without_end(board: Seen) -> None:
    board.replay.ramp((0.2 * n, {GOVERNOR: ("ondemand\n", "schedutil\n")[n % 2]}) for n in range(101))
    changes = board.trace(20.0).changes
    assert len(changes) == 21
    assert changes[-1] == "and 80 changes more"


def test_clocks_of_cores_that_the_trial_does_not_use_are_not_looked_at(board: Seen) -> None:
    little = f"{CPUS}/cpufreq/policy4"
    board.replay.write(
        {f"{little}/related_cpus": "4 5\n", f"{little}/scaling_cur_freq": "900000\n",
         f"{little}/scaling_governor": "ondemand\n"}
    )  # fmt: skip
    assert board.trace(1.0, cpus=(1,)).frequency_start_hz == {"policy0": 1.8e9}
    assert board.trace(1.0, cpus=(5,)).frequency_start_hz == {"policy4": 9e8}
    assert board.trace(1.0, cpus=()).frequency_start_hz == {"policy0": 1.8e9, "policy4": 9e8}


def test_a_gpus_clock_counts_when_a_gpu_is_asked_for(board: Seen) -> None:
    board.replay.write({"sys/class/devfreq/17000000.gpu/cur_freq": "918000000\n"})
    board.replay.ramp([(0.5, {"sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n"})])
    assert set(board.trace(1.0).frequency_start_hz) == {"policy0"}
    board.replay.write({"sys/class/devfreq/17000000.gpu/cur_freq": "918000000\n"})
    board.replay.ramp([(1.5, {"sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n"})])
    trace = board.trace(1.0, accelerated=True)
    assert trace.frequency_start_hz["17000000.gpu"] == 9.18e8
    assert trace.frequency_min_hz["17000000.gpu"] == 3.06e8


def test_a_pcs_own_count_of_heat_is_throttling(board: Seen) -> None:
    counter = f"{CPUS}/cpu1/thermal_throttle/core_throttle_count"
    board.replay.write({counter: "17\n", f"{CPUS}/cpu0/thermal_throttle/core_throttle_count": "3\n"})
    assert board.trace(1.0).throttle == ()
    board.replay.ramp([(1.5, {counter: "19\n"})])
    assert board.trace(1.0).throttle == ("cpu_hot",)


def test_a_sensor_that_goes_away_leaves_what_was_read(board: Seen, at_celsius: Callable[[float], Any]) -> None:
    board.replay.ramp([(0.5, at_celsius(50.0)), (0.9, {"sys/class/thermal/thermal_zone0/temp": ""})])
    trace = board.trace(2.0)
    assert trace.temperature_max_c == {"cpu-thermal": 50.0}
    assert trace.readings == 11


def test_power_of_a_jetson_is_added_up_over_time(board: Seen) -> None:
    monitor = "sys/class/hwmon/hwmon1"
    board.replay.write(
        {f"{monitor}/name": "ina3221\n", f"{monitor}/in1_label": "VDD_IN\n", f"{monitor}/in1_input": "5000\n",
         f"{monitor}/curr1_input": "1000\n"}
    )  # fmt: skip
    assert energy_source(board.replay.root) == "ina3221"
    board.replay.ramp([(5, {f"{monitor}/curr1_input": "3000\n"})])
    board.trace(10.0)
    # 5 W up to the look before 5 s, 15 W from 5 s on, and the mean of both between the two.
    assert board.energy == Energy(
        "ina3221", ("VDD_IN",), pytest.approx(10.0), pytest.approx(4.8 * 5 + 0.2 * 10 + 5 * 15), 0.2
    )


def test_a_pcs_energy_counter_may_start_again(board: Seen) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    board.replay.write(
        {f"{zone}/name": "package-0\n", f"{zone}/energy_uj": "99000000\n", f"{zone}/max_energy_range_uj": "100000000\n"}
    )
    board.replay.ramp([(1, {f"{zone}/energy_uj": "99900000\n"}), (2, {f"{zone}/energy_uj": "5000000\n"})])
    board.trace(3.0)
    assert board.energy == Energy("rapl", ("package-0",), pytest.approx(3.0), pytest.approx(6.0), 0.2)


def test_a_program_that_tells_power_is_asked_now_and_then_and_at_the_end(board: Seen, tmp_path: Path) -> None:
    program = board.replay.root / "usr/bin/vcgencmd"
    asked = tmp_path / "asked"
    board.replay.write({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0", "usr/bin/vcgencmd": ""})
    program.write_text(
        f"#!/bin/sh\necho x >> {asked}\necho 'VDD_CORE_A current(7)=2.0A'\necho 'VDD_CORE_V volt(15)=0.75V'\n"
    )
    program.chmod(0o755)
    assert energy_source(board.replay.root) == "pmic"
    board.trace(5.0)
    assert board.energy == Energy("pmic", ("VDD_CORE",), pytest.approx(5.0), pytest.approx(7.5), pytest.approx(2.0))
    assert asked.read_text() == "x\n" * 4  # at 0, 2, 4 and 5 s


def test_looks_that_came_less_often_than_asked_are_told_as_they_came(board: Seen) -> None:
    sampling = Sampling(sampler_job(board.replay.root, cpus=(), accelerated=False, cpu=None))
    for now in (0.0, 1.0, 2.5):
        sampling.look(now)
    assert sampling.summary()["trace"]["interval_s"] == 1.25


def test_a_board_without_energy_sensors_tells_none(board: Seen) -> None:
    board.trace(1.0)
    assert board.energy is None
    assert energy_source(board.replay.root) == ""
