"""Whole trials of a real supervisor and worker process on a fake board whose time is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgesweep.stats.facts import TrialFacts, Verdict
from edgesweep.stats.verdict import judge
from edgesweep_agent.clocks import Clocks
from edgesweep_agent.gates import Pace
from edgesweep_agent.server import Agent
from edgesweep_agent.settings import Settings
from edgesweep_proto.evidence import Gate
from edgesweep_proto.trial import Accounting, Protocol, Stage, Trial, TrialOutcome, TrialResult, TrialState

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
BITS = "sys/devices/platform/soc/soc:firmware/get_throttled"

MakeTrial = Callable[..., Trial]


@pytest.fixture
async def board(
    settings: Settings, probed: bytes, replay: Any, put_blob: Any, build_model: Callable[..., bytes]
) -> AsyncIterator[Agent]:
    settings.state_dir.mkdir()
    (settings.state_dir / "runtimes.json").write_bytes(probed)
    pace = Pace(replay.clock, replay.sleep, lambda: replay.own_cpu_s)
    agent = Agent(replace(settings, sysroot=replay.root), pace)
    put_blob(agent, build_model())
    yield agent
    await agent.stop()


async def submit(agent: Agent, trial: Trial) -> int:
    granted, _ = agent.leases.acquire("anna", "anna", ttl_s=600, priority=0)
    await agent.supervisor.submit(trial, granted.fencing_number, "anna")
    return granted.fencing_number


async def run(agent: Agent, trial: Trial) -> TrialResult:
    await submit(agent, trial)
    async for event in agent.events.watch("anna", "", 0):
        if event.trial_id == trial.id and event.state is TrialState.FINISHED:
            break
    entry = agent.journal.get(trial.id)
    assert entry is not None
    return agent.journal.result(entry)


def waits(agent: Agent) -> list[str]:
    return [event.waits_for for event, _, _ in agent.events._events if event.waits_for]


async def test_a_trial_on_an_idle_and_cool_board_carries_its_surroundings(
    board: Agent, replay: Any, make_trial: MakeTrial
) -> None:
    protocol = Protocol(idle_wait_s=60, thermal_wait_s=300)
    result = await run(board, replace(make_trial(), protocol=protocol))
    assert result.outcome is TrialOutcome.PASS
    assert result.gates == (
        Gate("idle", passed=True, waited_s=2.0, value=0.0, limit=0.05, note="CPU pressure"),
        Gate("thermal", passed=True, waited_s=0.0, value=45.0, limit=48.0, note="cpu-thermal"),
    )
    assert result.tags == ("one", "two", "placed")
    assert result.trace is not None
    assert result.trace.frequency_start_hz == {"policy0": 1.8e9}
    assert result.trace.temperature_max_c == {"cpu-thermal": 45.0}
    assert result.trace.readings >= 2
    assert result.energy is None
    assert result.before is not None
    assert result.before.hardware_max_hz == {"policy0": 1.8e9}
    assert waits(board) == []


async def test_a_busy_and_hot_board_is_waited_for_given_up_and_tagged(
    board: Agent, replay: Any, make_trial: MakeTrial, at_celsius: Callable[[float], dict[str, str]]
) -> None:
    board.surroundings.gates._reference.learn({"cpu-thermal": 45.0})
    replay.host_load([(1000, 0.4, 0.6)])
    replay.write(at_celsius(70.0))
    result = await run(board, replace(make_trial(), protocol=Protocol(idle_wait_s=60, thermal_wait_s=300)))
    assert result.outcome is TrialOutcome.PASS
    assert [(gate.name, gate.passed, gate.waited_s) for gate in result.gates] == [
        ("idle", False, 60.0), ("thermal", False, 300.0),
    ]  # fmt: skip
    assert result.tags == ("one", "two", "placed", "busy_host", "hot_start")
    assert waits(board) == ["idle", "thermal"]
    facts = TrialFacts(n=200, accounting=Accounting(2.0, 2.0, 0.0, 0, 0), tags=result.tags, gates=result.gates)
    verdict, (busy, hot) = judge([facts] * 3, planned=3)
    assert verdict is Verdict.DOUBTFUL
    assert busy.startswith("busy host: other work ran on the device, 60%")
    assert "(CPU use by others) after 60 s; stop it" in busy
    assert hot.startswith("hot start: the device had not cooled down, 70 °C")
    assert "(cpu-thermal) after 300 s; give it a fan" in hot


async def test_bits_that_were_set_while_it_ran_are_tags(board: Agent, replay: Any, make_trial: MakeTrial) -> None:
    replay.write({BITS: "20000\n"})
    result = await run(board, make_trial(f"write:{replay.root / BITS}=70000\n"))
    assert result.message == "written"
    assert result.tags == ("one", "throttled:throttled", "throttled:under_voltage")
    # On a board of one core, where no sampler runs, they are all that tells of it.
    facts = TrialFacts(n=200, accounting=Accounting(2.0, 2.0, 0.0, 0, 0), tags=result.tags)
    assert judge([facts] * 3, planned=3) == (
        Verdict.DOUBTFUL,
        ("throttled: throttled, under_voltage; cool the device and check its power supply",),
    )


async def test_clocks_are_fixed_while_the_worker_runs_and_put_back(
    board: Agent, replay: Any, make_trial: MakeTrial
) -> None:
    governor = replay.root / GOVERNOR
    result = await run(board, replace(make_trial(f"read:{governor}"), protocol=Protocol(fix_clocks=True)))
    assert result.message == "performance"
    assert "clocks_fixed" in result.tags
    assert result.before is not None
    assert result.after is not None
    assert (result.before.governors, result.after.governors) == ({"policy0": "performance"},) * 2
    assert governor.read_text().strip() == "ondemand"


async def test_clocks_that_may_not_be_fixed_are_said_to_be_uncontrolled(
    board: Agent, replay: Any, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clocks, "control", lambda _: "")
    governor = replay.root / GOVERNOR
    result = await run(board, replace(make_trial(f"read:{governor}"), protocol=Protocol(fix_clocks=True)))
    assert result.message == "ondemand\n"
    assert "clocks_uncontrolled" in result.tags


@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_clocks_are_put_back_when_the_trial_is_ended(
    board: Agent, replay: Any, make_trial: MakeTrial, how: str
) -> None:
    trial = replace(make_trial("hang"), protocol=Protocol(fix_clocks=True))
    number = await submit(board, trial)
    async for event in board.events.watch("anna", "", 0):
        if event.stage is Stage.MEASURE:
            break
    governor = replay.root / GOVERNOR
    assert governor.read_text() == "performance"
    await (board.supervisor.cancel(trial.id, number, "anna") if how == "cancel" else board.supervisor.stop())
    assert governor.read_text() == "ondemand"


@pytest.fixture
async def waiting(
    settings: Settings, probed: bytes, replay: Any, put_blob: Any, build_model: Callable[..., bytes]
) -> AsyncIterator[Agent]:
    """An agent on a busy board, whose second look never ends."""
    settings.state_dir.mkdir()
    (settings.state_dir / "runtimes.json").write_bytes(probed)

    replay.host_load([(1000, 0.4, 0.6)])

    async def once(seconds: float) -> None:
        if replay.slept:
            await asyncio.Event().wait()
        await replay.sleep(seconds)

    agent = Agent(replace(settings, sysroot=replay.root), Pace(replay.clock, once))
    put_blob(agent, build_model())
    yield agent
    await agent.stop()


async def wait_for_the_gate(agent: Agent, make_trial: MakeTrial) -> tuple[Trial, int]:
    # A stage may take no longer than this; waiting is no stage.
    trial = replace(make_trial(), protocol=Protocol(idle_wait_s=60), deadlines_s={"": 1e-3})
    number = await submit(agent, trial)
    async for event in agent.events.watch("anna", "", 0):
        if event.waits_for:
            assert (event.state, event.stage, event.waits_for) == (TrialState.RUNNING, Stage.LOAD, "idle")
            return trial, number
    raise AssertionError


async def test_a_trial_that_waits_can_be_cancelled_at_once(waiting: Agent, make_trial: MakeTrial) -> None:
    trial, number = await wait_for_the_gate(waiting, make_trial)
    assert await waiting.supervisor.cancel(trial.id, number, "anna") is TrialState.FINISHED
    (entry,) = waiting.journal.finished("anna")
    assert waiting.journal.result(entry).outcome is TrialOutcome.CANCELLED


async def test_an_agent_that_dies_while_a_trial_waits_remembers_what_for(
    waiting: Agent, make_trial: MakeTrial, settings: Settings, tmp_path: Path
) -> None:
    import shutil

    trial, _ = await wait_for_the_gate(waiting, make_trial)
    # What a SIGKILL would leave on the disk.
    shutil.copytree(settings.state_dir, tmp_path / "left")
    again = Agent(replace(settings, state_dir=tmp_path / "left"))
    await again.supervisor.resume()
    (entry,) = again.journal.finished("anna")
    assert again.journal.result(entry).message == "the agent went down while the trial waited for an idle device"
    assert entry.trial_id == trial.id
    await again.stop()
