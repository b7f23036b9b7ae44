"""Gates on boards that are busy or hot for a while. The boards are fakes and their time is the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgesweep_agent.gates import Gates, Pace
from edgesweep_agent.idle_reference import DAYS, READINGS_A_DAY, IdleReference
from edgesweep_proto.evidence import Gate
from edgesweep_proto.trial import Protocol

ASKED = Protocol(idle_wait_s=60.0, thermal_wait_s=300.0)

DAY_S = 86400.0


def passed(name: str, waited_s: float, value: Any, limit: float, note: str) -> Gate:
    return Gate(name, passed=True, waited_s=waited_s, value=value, limit=limit, note=note)


def missed(name: str, waited_s: float, value: Any, limit: float, note: str) -> Gate:
    return Gate(name, passed=False, waited_s=waited_s, value=value, limit=limit, note=note)


@pytest.fixture
def reference(tmp_path: Path) -> IdleReference:
    return IdleReference(tmp_path / "idle_temperatures.json", now=lambda: 0.0)


@pytest.fixture
def gates(replay: Any, reference: IdleReference) -> Gates:
    return Gates(replay.root, reference, Pace(replay.clock, replay.sleep, lambda: replay.own_cpu_s, uptime=lambda: 1e6))


async def test_an_idle_and_cool_device_is_let_through_after_two_seconds(replay: Any, gates: Gates) -> None:
    replay.host_load([(10, 0.01, 0.02)])
    waits: list[str] = []
    assert await gates.wait(ASKED, waits.append) == (
        passed("idle", 2.0, pytest.approx(0.01), 0.05, "CPU pressure"),
        passed("thermal", 0.0, 45.0, 48.0, "cpu-thermal"),
    )
    assert waits == []


async def test_a_device_that_gets_idle_is_waited_for(replay: Any, gates: Gates) -> None:
    replay.host_load([(9, 0.30, 0.50), (20, 0.0, 0.01)])
    waits: list[str] = []
    idle, _ = await gates.wait(ASKED, waits.append)
    assert waits == ["idle"]
    # The window from 8 s to 10 s still has a second of the load in it; the one after is quiet.
    assert idle == passed("idle", 12.0, 0.0, 0.05, "CPU pressure")


async def test_a_device_that_stays_busy_is_given_up_and_says_what_it_was(replay: Any, gates: Gates) -> None:
    replay.host_load([(100, 0.30, 0.50)])
    idle, _ = await gates.wait(ASKED)
    assert idle == missed("idle", 60.0, pytest.approx(0.50), 0.10, "CPU use by others")


async def test_sleeps_that_take_longer_than_asked_cost_no_look(replay: Any, gates: Gates) -> None:
    replay.host_load([(100, 0.30, 0.0)])
    looks: list[float] = []

    async def slow(seconds: float) -> None:
        looks.append(seconds)
        await replay.sleep(seconds + 0.01)

    idle, _ = await Gates(replay.root, gates._reference, Pace(replay.clock, slow)).wait(Protocol(idle_wait_s=10.0))
    assert len(looks) == 5
    assert idle.waited_s == pytest.approx(10.05)


async def test_pressure_alone_is_enough_to_be_busy(replay: Any, gates: Gates) -> None:
    replay.host_load([(100, 0.06, 0.0)])
    idle, _ = await gates.wait(ASKED)
    assert idle == missed("idle", 60.0, pytest.approx(0.06), 0.05, "CPU pressure")


async def test_without_pressure_figures_the_machines_cpu_time_tells(replay: Any, gates: Gates) -> None:
    replay.host_load([(4, 0.0, 0.20), (20, 0.0, 0.05)])
    (replay.root / "proc/pressure/cpu").unlink()
    original = replay.write
    replay.write = lambda files: original({name: text for name, text in files.items() if "pressure" not in name})
    idle, _ = await gates.wait(ASKED)
    assert idle == passed("idle", 6.0, pytest.approx(0.05), 0.10, "CPU use by others")


async def test_what_the_agent_uses_itself_is_not_foreign(replay: Any, gates: Gates) -> None:
    replay.host_load([(100, 0.0, 0.30)])
    sleep = replay.sleep

    async def work(seconds: float) -> None:
        await sleep(seconds)
        replay.own_cpu_s += seconds * 0.29 * 4

    idle, _ = await Gates(
        replay.root, gates._reference, Pace(replay.clock, work, lambda: replay.own_cpu_s)
    ).wait(ASKED)  # fmt: skip
    assert idle == passed("idle", 2.0, 0.0, 0.05, "CPU pressure")


async def test_with_no_wait_asked_it_is_only_recorded_what_can_be_read_at_once(replay: Any, gates: Gates) -> None:
    replay.write({"proc/pressure/cpu": "some avg10=7.50 avg60=1.00 avg300=0.10 total=1\n"})
    gates._reference.learn({"cpu-thermal": 40.0})
    assert await gates.wait(Protocol()) == (
        missed("idle", 0.0, 0.075, 0.05, "CPU pressure over 10 s"),
        missed("thermal", 0.0, 45.0, 43.0, "cpu-thermal"),
    )
    assert replay.slept == []


async def test_a_board_without_sensors_passes_and_says_so(tmp_path: Path, gates: Gates) -> None:
    bare = Gates(tmp_path / "nothing", gates._reference, gates._pace)
    for protocol in (Protocol(), ASKED):
        idle, thermal = await bare.wait(protocol)
        assert (idle.passed, idle.value, idle.note) == (True, None, "the board has no sensor for this")
        assert (thermal.passed, thermal.value, thermal.note) == (True, None, "the board has no sensor for this")


async def test_a_hot_board_is_waited_for_in_steps_of_five_seconds(
    replay: Any, gates: Gates, reference: IdleReference, at_celsius: Callable[[float], dict[str, str]]
) -> None:
    """A Pi 4 in a case cools from 70 degrees, a degree a second at first, and slower as it nears its rest."""
    reference.learn({"cpu-thermal": 45.0})
    replay.ramp((second, at_celsius(45 + 25 * 0.9**second)) for second in range(60))
    waits: list[str] = []
    _, thermal = await gates.wait(ASKED, waits.append)
    # The idle gate took 2 s; 45 + 25 * 0.9**t is within 3 degrees from t = 20.1 on: seen at 2 + 20 s.
    assert thermal == passed("thermal", 20.0, pytest.approx(45 + 25 * 0.9**22, abs=1e-3), 48.0, "cpu-thermal")
    assert replay.slept == [2.0, *[5.0] * 4]
    assert waits == ["thermal"]


async def test_a_board_that_stays_hot_is_given_up(
    replay: Any, gates: Gates, reference: IdleReference, at_celsius: Callable[[float], dict[str, str]]
) -> None:
    reference.learn({"cpu-thermal": 45.0})
    replay.write(at_celsius(60.0))
    _, thermal = await gates.wait(Protocol(thermal_wait_s=12.0))
    assert thermal == missed("thermal", 12.0, 60.0, 48.0, "cpu-thermal")
    assert replay.slept == [5.0, 5.0, 2.0]


async def test_the_hottest_of_several_zones_decides(replay: Any, gates: Gates, reference: IdleReference) -> None:
    replay.write(
        {"sys/class/thermal/thermal_zone1/type": "gpu-thermal\n", "sys/class/thermal/thermal_zone1/temp": "55000\n"}
    )
    reference.learn({"cpu-thermal": 44.0, "gpu-thermal": 50.0})
    _, thermal = await gates.wait(Protocol())
    assert thermal == missed("thermal", 0.0, 55.0, 53.0, "gpu-thermal")


async def test_waiting_ends_at_once_when_the_trial_is_cancelled(replay: Any, reference: IdleReference) -> None:
    asleep = asyncio.Event()

    async def forever(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    gates = Gates(replay.root, reference, Pace(replay.clock, forever))
    waiting = asyncio.ensure_future(gates.wait(ASKED))
    await asleep.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_the_reference_is_the_coolest_tenth_of_the_last_twenty_days(tmp_path: Path) -> None:
    days = [0]
    path = tmp_path / "learned.json"
    reference = IdleReference(path, now=lambda: days[0] * DAY_S)
    assert reference.of("cpu") is None
    for day in range(30):
        days[0] = day
        # Each day one reading before the first trial and ten just after one.
        reference.learn({"cpu": 40.0 + day / 10})
        for _ in range(10):
            reference.learn({"cpu": 60.0})
    kept = json.loads(path.read_text())["days"]
    assert len(kept) == DAYS
    assert min(kept) == "1970-01-11"
    # 220 readings, 20 of them cool ones from 41.0 to 42.9: the tenth of them all is beyond those by one.
    assert reference.of("cpu") == 60.0
    for _ in range(30):
        reference.learn({"cpu": 43.0})
    assert reference.of("cpu") == 43.0
    assert IdleReference(path).of("cpu") == 43.0


def test_a_days_readings_are_bounded(tmp_path: Path) -> None:
    reference = IdleReference(tmp_path / "learned.json", now=lambda: 0.0)
    for number in range(READINGS_A_DAY + 50):
        reference.learn({"cpu": float(number)})
    (day,) = json.loads((tmp_path / "learned.json").read_text())["days"].values()
    assert day["cpu"] == [float(number) for number in range(50, READINGS_A_DAY + 50)]


@pytest.mark.parametrize("content", ["", "[]", '{"days": {"x": 5}}', '{"days": {"x": {"cpu": ["warm"]}}}'])
def test_a_file_of_rubbish_is_learned_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "learned.json"
    path.write_text(content)
    reference = IdleReference(path)
    assert reference.of("cpu") is None
    reference.learn({"cpu": 40.0})
    assert IdleReference(path).of("cpu") == 40.0


async def test_a_board_that_was_switched_on_just_now_teaches_nothing(
    replay: Any, reference: IdleReference, at_celsius: Callable[[float], dict[str, str]]
) -> None:
    """It is colder than it will ever be again: as a reference it would make every later trial wait in vain."""
    pace = Pace(replay.clock, replay.sleep, lambda: 0.0, uptime=lambda: 590.0 + replay.now)
    gates = Gates(replay.root, reference, pace)
    replay.write(at_celsius(21.0))
    _, thermal = await gates.wait(Protocol())
    assert (thermal.passed, reference.of("cpu-thermal")) == (True, None)
    replay.advance(10.0)
    replay.write(at_celsius(44.0))
    await gates.wait(Protocol())
    assert reference.of("cpu-thermal") == 44.0


async def test_a_reading_just_after_a_trial_teaches_nothing(
    replay: Any, gates: Gates, reference: IdleReference, at_celsius: Callable[[float], dict[str, str]]
) -> None:
    await gates.wait(Protocol())
    assert reference.of("cpu-thermal") == 45.0
    replay.write(at_celsius(70.0))
    for _ in range(20):
        await gates.wait(Protocol())
    replay.write(at_celsius(44.0) | {"proc/pressure/cpu": "some avg10=50.00 avg60=1.00 avg300=0.10 total=1\n"})
    await gates.wait(Protocol())
    assert reference.of("cpu-thermal") == 45.0
