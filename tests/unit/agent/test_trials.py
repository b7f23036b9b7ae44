"""The supervisor against real processes that crash, hang and talk nonsense."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from edgesweep_agent import cpu_clusters
from edgesweep_agent.faults import Fault
from edgesweep_agent.interpreters import Interpreter
from edgesweep_agent.journal import Journal, Running
from edgesweep_agent.server import Agent
from edgesweep_agent.settings import Settings
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.device import CpuCluster
from edgesweep_proto.evidence import ArenaMemory, ThreadFacts
from edgesweep_proto.trial import (
    Protocol,
    Provider,
    SessionOptions,
    Stage,
    Trial,
    TrialOutcome,
    TrialResult,
    TrialState,
)

MakeTrial = Callable[..., Trial]


def lease(agent: Agent, owner: str = "anna", ttl_s: float = 600.0, priority: int = 0) -> int:
    granted, _ = agent.leases.acquire(owner, owner, ttl_s=ttl_s, priority=priority)
    return granted.fencing_number


async def until(agent: Agent, trial_id: str, state: TrialState, stage: Stage | None = None) -> None:
    """Follow the agent's own events until the trial is in that state (and stage)."""
    async for event in agent.events.watch("anna", "", 0):
        if event.trial_id == trial_id and event.state is state and stage in (None, event.stage):
            return


async def run(agent: Agent, trial: Trial) -> TrialResult:
    assert await agent.supervisor.submit(trial, lease(agent), "anna") is TrialState.QUEUED
    await until(agent, trial.id, TrialState.FINISHED)
    entry = agent.journal.get(trial.id)
    assert entry is not None
    return agent.journal.result(entry)


def worker_of(agent: Agent, trial: Trial) -> int:
    entry = agent.journal.get(trial.id)
    assert entry is not None
    running = agent.journal.running(entry)
    assert running is not None
    return running.pid


def gone(pid: int) -> bool:
    """Whether no process of the group is left that still runs (a zombie of ours is reaped elsewhere)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid and fields[0] != "Z":
            return False
    return True


async def test_a_pass_carries_every_fact(agent: Agent, make_trial: MakeTrial) -> None:
    result = await run(agent, make_trial())
    assert result.outcome is TrialOutcome.PASS
    assert result.cause == ""
    assert result.stage is Stage.PLACEMENT
    assert result.cold_start is not None
    assert result.cold_start.session_s == 0.2
    assert [phase.phase for phase in result.memory] == ["session_peak", "retained"]
    assert result.tags == ("one", "two", "placed")
    assert result.samples is not None
    assert result.samples.blob.size_bytes == 24
    assert result.exit_code == 0
    assert result.signal is None
    assert result.boot_id
    assert result.before is not None
    assert result.after is not None
    assert result.started <= result.before.at <= result.after.at <= result.finished + 1
    entry = agent.journal.get(result.trial_id)
    assert entry is not None
    assert not (entry.folder / "work").exists()


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("SIGSEGV", "provider_crash"),
        ("SIGKILL", "crash"),
        ("SIGILL", "illegal_instruction"),
        ("SIGABRT", "provider_crash"),
        ("SIGBUS", "provider_crash"),
    ],
)
async def test_a_death_by_signal_is_a_crash_that_names_it_and_the_provider(
    agent: Agent, make_trial: MakeTrial, name: str, cause: str
) -> None:
    result = await run(agent, make_trial(f"signal:{name}"))
    assert (result.outcome, result.cause, result.stage) == (TrialOutcome.FAILED, cause, Stage.MEASURE)
    assert name in result.message
    assert f"with signal:{name}" in result.message, "the tests' worker is told what to do by its provider's name"
    assert result.diagnosis is not None
    assert (result.diagnosis.evidence, result.diagnosis.status) == ("signal", name)
    assert result.signal == getattr(signal, name)
    assert result.exit_code is None
    assert "last words" in result.evidence
    assert result.cold_start is not None
    assert result.tags == ("one",)


async def test_another_process_tells_where_a_providers_nodes_are(agent: Agent, make_trial: MakeTrial) -> None:
    result = await run(agent, make_trial())
    assert result.placement is not None
    (share,) = result.placement.shares
    assert (share.provider, share.nodes, share.subgraphs, share.operators) == ("pass", 2, 1, {"Relu": 2})
    steps = [(event.state, event.stage) for event, _, _ in agent.events._events if event.trial_id == result.trial_id]
    assert [stage for state, stage in steps if state is TrialState.RUNNING][-2:] == [Stage.MEASURE, Stage.PLACEMENT]
    untimed = replace(make_trial(number=1), protocol=Protocol(untimed=True))
    assert (await run(agent, untimed)).placement is None
    on_the_cpu = replace(make_trial(number=2), providers=(Provider("CPUExecutionProvider"),))
    assert (await run(agent, on_the_cpu)).placement is None


async def test_a_death_of_that_process_costs_the_placement_and_not_what_was_measured(
    agent: Agent, make_trial: MakeTrial
) -> None:
    result = await run(agent, make_trial("placing:SIGSEGV"))
    assert (result.outcome, result.cause, result.stage) == (TrialOutcome.FAILED, "provider_crash", Stage.PLACEMENT)
    assert "placing words" in result.evidence
    assert result.samples is not None
    assert result.samples.measured_count == 2
    assert result.cold_start is not None


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_a_worker_that_was_told_to_stop_says_nothing_about_the_model(
    agent: Agent, make_trial: MakeTrial, name: str
) -> None:
    result = await run(agent, make_trial(f"signal:{name}"))
    assert (result.outcome, result.cause, result.stage) == (TrialOutcome.INTERRUPTED, "interrupted", Stage.MEASURE)
    assert f"told to stop by {name}" in result.message
    assert result.signal == getattr(signal, name)
    assert result.cold_start is not None


async def test_a_board_without_room_says_nothing_about_the_model(agent: Agent, make_trial: MakeTrial) -> None:
    result = await run(agent, make_trial("disk_full"))
    assert (result.outcome, result.cause, result.message) == (TrialOutcome.INTERRUPTED, "disk_full", "no room")
    assert result.samples is None


async def test_a_worker_that_cannot_be_started_is_interrupted(
    settings: Settings,
    fake_python: Path,
    make_trial: MakeTrial,
    put_blob: Callable[[Agent, bytes], Blob],
    build_model: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    """The interpreter goes after it was probed, at the moment when a worker shall be made of it."""
    python = tmp_path / "python"
    python.symlink_to(fake_python)
    agent = Agent(replace(settings, runtimes=(Interpreter(str(python), "fake"),)))
    put_blob(agent, build_model())
    await agent.runtimes.all()
    held = agent.quiet.worker()
    number = lease(agent)
    async with held:
        await agent.supervisor.submit(make_trial(), number, "anna")
        for _ in range(50):
            await asyncio.sleep(0)
        python.unlink()
    await until(agent, make_trial().id, TrialState.FINISHED)
    (entry,) = agent.journal.finished("anna")
    result = agent.journal.result(entry)
    assert (result.outcome, result.cause) == (TrialOutcome.INTERRUPTED, "interrupted")
    assert "could not be started: No such file" in result.message
    await agent.stop()


async def test_a_blob_that_went_away_is_interrupted(agent: Agent, make_trial: MakeTrial) -> None:
    trial = make_trial()
    await agent.runtimes.all()
    async with agent.quiet.worker():
        await agent.supervisor.submit(trial, lease(agent), "anna")
        agent.blobs.path(trial.artifact.model.sha256).unlink()
    await until(agent, trial.id, TrialState.FINISHED)
    (entry,) = agent.journal.finished("anna")
    result = agent.journal.result(entry)
    assert (result.outcome, result.cause) == (TrialOutcome.INTERRUPTED, "interrupted")
    assert "could not keep the trial's files: No such file" in result.message


@pytest.mark.parametrize(
    ("what", "cause", "sentence"),
    [
        ("half", "provider_crash", "SIGSEGV"),
        ("garbage", "worker_protocol", "which is no event"),
        ("bad_fact", "worker_protocol", "fact cold_start is malformed"),
        ("exit", "worker_protocol", "exit status 3"),
        ("no_outcome", "worker_protocol", "names no outcome"),
        ("interrupted", "worker_protocol", "names no outcome"),
        ("short_samples", "worker_protocol", "2 samples and left 8 bytes"),
        ("fail", "wrong_output", "y differs"),
    ],
)
async def test_every_other_end_has_its_cause(
    agent: Agent, make_trial: MakeTrial, what: str, cause: str, sentence: str
) -> None:
    result = await run(agent, make_trial(what))
    assert result.outcome is TrialOutcome.FAILED
    assert result.cause == cause
    assert sentence in result.message
    assert "last words" in result.evidence
    assert result.cold_start is not None
    assert result.samples is None


@pytest.mark.parametrize("what", ["hang", "close"])
async def test_a_stage_without_progress_is_a_timeout_and_its_tree_is_killed(
    agent: Agent, make_trial: MakeTrial, what: str
) -> None:
    trial = replace(make_trial(what), deadlines_s={"": 60.0, "measure": 0.3})
    result = await run(agent, trial)
    assert (result.outcome, result.cause, result.stage) == (TrialOutcome.FAILED, "timeout", Stage.MEASURE)
    assert "0.3 s" in result.message
    assert result.signal is None
    assert gone(worker_of(agent, trial))


async def test_what_a_worker_leaves_behind_is_killed_with_its_group(agent: Agent, make_trial: MakeTrial) -> None:
    trial = make_trial("linger")
    assert (await run(agent, trial)).outcome is TrialOutcome.PASS
    assert gone(worker_of(agent, trial))


async def test_the_worker_gets_a_clean_environment(
    agent: Agent, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environment = json.loads((await run(agent, make_trial("environment"))).message)
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert environment["MALLOC_MMAP_THRESHOLD_"] == "131072"
    assert "OMP_NUM_THREADS" not in environment
    assert not [name for name in environment if name.startswith("PYTHON")]


async def test_the_worker_is_told_how_to_call_and_where_to_run(
    agent: Agent, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = (CpuCluster((4, 5)), CpuCluster((0, 1, 2)))
    monkeypatch.setattr(cpu_clusters, "find_clusters", lambda _: clusters)
    result = await run(agent, replace(make_trial("job"), session=SessionOptions(intra_op_threads=2)))
    job = json.loads(result.message)
    assert job["call"] == "raw_binding"
    assert job["call_cost_s"] == pytest.approx(0.5e-6)
    assert job["cpus"] == [4, 5]
    assert result.harness_floor_s == 1e-6
    assert result.threads == ThreadFacts(cluster=(3,), pinned=True)
    assert result.arena == ArenaMemory(held_bytes=9, method="profile")
    for number, (protocol, cpus) in enumerate(
        [(Protocol(concurrency=2), [0, 1, 2]), (Protocol(pin_threads=False), []), (Protocol(concurrency=9), [])]
    ):
        trial = replace(
            make_trial("job", number=1 + number), protocol=protocol, session=SessionOptions(intra_op_threads=2)
        )
        assert json.loads((await run(agent, trial)).message)["cpus"] == cpus


async def test_a_runtime_that_is_not_there_is_a_finding(agent: Agent, make_trial: MakeTrial) -> None:
    result = await run(agent, replace(make_trial(), runtime_id="1.99.0"))
    assert (result.outcome, result.cause, result.stage) == (TrialOutcome.FAILED, "runtime_unavailable", Stage.LOAD)
    assert "no runtime 1.99.0; it has fake" in result.message


async def test_trials_run_one_at_a_time_in_the_order_of_submission(agent: Agent, make_trial: MakeTrial) -> None:
    number = lease(agent)
    trials = [make_trial(number=n) for n in (2, 0, 1)]
    for trial in trials:
        await agent.supervisor.submit(trial, number, "anna")
    await until(agent, trials[-1].id, TrialState.FINISHED)
    steps = [(e.trial_id, e.state) for e, _, _ in agent.events._events if e.state is not TrialState.QUEUED]
    ended = [trial_id for trial_id, state in steps if state is TrialState.FINISHED]
    assert ended == [trial.id for trial in trials]
    running = [trial_id for trial_id, _ in steps]
    assert running == sorted(running, key=ended.index)


async def test_submitting_twice_is_submitting_once(agent: Agent, make_trial: MakeTrial) -> None:
    trial = make_trial()
    await run(agent, trial)
    number = lease(agent)
    assert await agent.supervisor.submit(trial, number, "anna") is TrialState.FINISHED
    agent.journal.acknowledge([trial.id], "anna")
    assert await agent.supervisor.submit(trial, number, "anna") is TrialState.ACKNOWLEDGED
    with pytest.raises(Fault) as refused:
        await agent.supervisor.submit(replace(trial, cell_name="another"), number, "anna")
    assert refused.value.code == "trial_exists"


async def test_a_dead_number_submits_and_cancels_nothing(agent: Agent, make_trial: MakeTrial) -> None:
    old = lease(agent)
    new = lease(agent, "ben", priority=1)
    for call in (agent.supervisor.submit(make_trial(), old, "anna"), agent.supervisor.cancel("x", old, "anna")):
        with pytest.raises(Fault) as refused:
            await call
        assert refused.value.code == "lease_lost"
    with pytest.raises(Fault) as refused:
        await agent.supervisor.cancel("x", new, "ben")
    assert refused.value.code == "unknown_trial"


async def test_missing_blobs_and_foreign_locations_are_refused(
    agent: Agent, make_trial: MakeTrial, build_model: Callable[..., bytes], put_blob: Callable[[Agent, bytes], Blob]
) -> None:
    number = lease(agent)
    with pytest.raises(Fault, match="lacks 1 of the trial's blobs") as refused:
        await agent.supervisor.submit(make_trial(model=b"not pushed"), number, "anna")
    assert refused.value.code == "blob_missing"
    for locations in (("/etc/shadow",), ("../../secret.bin",), ("weights.bin",), ("a" * 64 + ".bin",), ("",)):
        model = build_model(locations=locations)
        put_blob(agent, model)
        with pytest.raises(Fault, match="names the external file") as refused:
            await agent.supervisor.submit(make_trial(model=model), number, "anna")
        assert refused.value.code == "invalid_request"
    put_blob(agent, b"\x00junk")
    with pytest.raises(Fault, match="is no ONNX model") as refused:
        await agent.supervisor.submit(make_trial(model=b"\x00junk"), number, "anna")
    bad = replace(make_trial(), artifact=Manifest(Blob("../" * 10, 1)))
    with pytest.raises(Fault, match="is not a SHA-256"):
        await agent.supervisor.submit(bad, number, "anna")


async def test_external_data_lie_beside_the_model(
    agent: Agent, make_trial: MakeTrial, build_model: Callable[..., bytes], put_blob: Callable[[Agent, bytes], Blob]
) -> None:
    weights = put_blob(agent, b"weights" * 100)
    model = build_model(locations=(f"{weights.sha256}.bin",))
    trial = make_trial("hang", model=model)
    trial = replace(trial, artifact=Manifest(put_blob(agent, model), (weights,)))
    number = lease(agent)
    await agent.supervisor.submit(trial, number, "anna")
    await until(agent, trial.id, TrialState.RUNNING, Stage.MEASURE)
    entry = agent.journal.get(trial.id)
    assert entry is not None
    assert (entry.folder / "work" / "model.onnx").read_bytes() == model
    assert (entry.folder / "work" / f"{weights.sha256}.bin").read_bytes() == b"weights" * 100
    assert agent.supervisor.in_use(weights.sha256) == trial.id
    await agent.supervisor.cancel(trial.id, number, "anna")
    assert agent.supervisor.in_use(weights.sha256) is None


async def test_cancelling_ends_waiting_and_running_trials(agent: Agent, make_trial: MakeTrial) -> None:
    number = lease(agent)
    running, waiting = make_trial("hang"), make_trial("pass")
    await agent.supervisor.submit(running, number, "anna")
    await agent.supervisor.submit(waiting, number, "anna")
    await until(agent, running.id, TrialState.RUNNING, Stage.MEASURE)
    pid = worker_of(agent, running)
    assert await agent.supervisor.cancel(waiting.id, number, "anna") is TrialState.FINISHED
    assert await agent.supervisor.cancel(running.id, number, "anna") is TrialState.FINISHED
    assert await agent.supervisor.cancel(running.id, number, "anna") is TrialState.FINISHED
    assert gone(pid)
    results = [agent.journal.result(entry) for entry in agent.journal.finished("anna")]
    assert {result.trial_id: result.outcome for result in results} == {
        running.id: TrialOutcome.CANCELLED,
        waiting.id: TrialOutcome.CANCELLED,
    }
    assert (await run(agent, make_trial(number=5))).outcome is TrialOutcome.PASS


async def test_an_expired_lease_lets_the_running_trial_finish_and_starts_no_other(
    agent: Agent, make_trial: MakeTrial
) -> None:
    number = lease(agent)
    first, second = make_trial(number=1), make_trial(number=2)
    await agent.supervisor.submit(first, number, "anna")
    await agent.supervisor.submit(second, number, "anna")
    await until(agent, first.id, TrialState.RUNNING)
    held = agent.leases._held
    assert held is not None
    agent.leases._held = replace(held, expires=0.0)
    await until(agent, second.id, TrialState.FINISHED)
    outcomes = [agent.journal.result(entry).outcome for entry in agent.journal.finished("anna")]
    assert outcomes == [TrialOutcome.PASS, TrialOutcome.CANCELLED]


async def test_somebody_who_gets_the_lease_does_not_wait_for_the_last_holders_trial(
    agent: Agent, make_trial: MakeTrial
) -> None:
    trial, waiting = make_trial("hang"), make_trial()
    number = lease(agent)
    await agent.supervisor.submit(trial, number, "anna")
    await agent.supervisor.submit(waiting, number, "anna")
    await until(agent, trial.id, TrialState.RUNNING, Stage.MEASURE)
    pid = worker_of(agent, trial)
    granted, superseded = agent.leases.acquire("ben", "ben", ttl_s=60, priority=1)
    await agent.supervisor.lease_granted(granted.fencing_number, superseded)
    assert gone(pid)
    results = {entry.trial_id: agent.journal.result(entry) for entry in agent.journal.finished("anna")}
    assert "took the lease" in results[trial.id].message
    assert results[waiting.id].outcome is TrialOutcome.CANCELLED


async def test_a_holder_who_comes_back_finds_its_trials_going_on(agent: Agent, make_trial: MakeTrial) -> None:
    trial, waiting = make_trial("hang"), make_trial()
    number = lease(agent)
    await agent.supervisor.submit(trial, number, "anna")
    await agent.supervisor.submit(waiting, number, "anna")
    await until(agent, trial.id, TrialState.RUNNING, Stage.MEASURE)
    granted, superseded = agent.leases.acquire("anna", "anna", ttl_s=60)
    await agent.supervisor.lease_granted(granted.fencing_number, superseded)
    assert await agent.supervisor.submit(trial, granted.fencing_number, "anna") is TrialState.RUNNING
    await agent.supervisor.cancel(trial.id, granted.fencing_number, "anna")
    await until(agent, waiting.id, TrialState.FINISHED)
    entry = agent.journal.get(waiting.id)
    assert entry is not None
    assert agent.journal.result(entry).outcome is TrialOutcome.PASS


async def test_release_cancels_what_waits(agent: Agent, make_trial: MakeTrial) -> None:
    running, waiting = make_trial("hang"), make_trial()
    number = lease(agent)
    await agent.supervisor.submit(running, number, "anna")
    await agent.supervisor.submit(waiting, number, "anna")
    await until(agent, running.id, TrialState.RUNNING, Stage.MEASURE)
    agent.leases.release(number, "anna")
    await agent.supervisor.lease_released()
    assert [entry.trial_id for entry in agent.journal.finished("anna")] == [waiting.id]
    assert [entry.trial_id for entry in agent.journal.in_state(TrialState.RUNNING)] == [running.id]


async def test_stopping_the_agent_interrupts_what_runs_and_keeps_what_waits(
    settings: Settings,
    make_trial: MakeTrial,
    build_model: Callable[..., bytes],
    put_blob: Callable[[Agent, bytes], Blob],
) -> None:
    agent = Agent(settings)
    put_blob(agent, build_model())
    running, waiting = make_trial("hang"), make_trial()
    number = lease(agent)
    await agent.supervisor.submit(running, number, "anna")
    await agent.supervisor.submit(waiting, number, "anna")
    await until(agent, running.id, TrialState.RUNNING, Stage.MEASURE)
    pid = worker_of(agent, running)
    await agent.stop()
    assert gone(pid)

    again = Agent(settings)
    first = [again.journal.result(entry) for entry in again.journal.finished("anna")]
    assert [(r.trial_id, r.outcome, r.cause) for r in first] == [(running.id, TrialOutcome.INTERRUPTED, "interrupted")]
    await again.supervisor.resume()
    await until(again, waiting.id, TrialState.FINISHED)
    entry = again.journal.get(waiting.id)
    assert entry is not None
    assert again.journal.result(entry).outcome is TrialOutcome.PASS
    await again.stop()


async def test_a_worker_that_outlived_its_agent_is_reaped_and_its_trial_interrupted(
    settings: Settings,
    make_trial: MakeTrial,
    build_model: Callable[..., bytes],
    put_blob: Callable[[Agent, bytes], Blob],
) -> None:
    """A SIGKILLed agent leaves exactly this: a journal that names a worker, and that worker still there."""
    from edgesweep_agent.clock import boot_id, start_ticks
    from edgesweep_agent.orphans import reap_orphans

    settings.state_dir.mkdir()
    journal = Journal(settings.state_dir)
    stray = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    innocent = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    try:
        for number, (pid, ticks, boot) in enumerate(
            [
                (stray.pid, start_ticks(stray.pid), boot_id()),
                (innocent.pid, 1, boot_id()),
                (innocent.pid, start_ticks(innocent.pid), "another boot"),
                (0, 0, boot_id()),
                (2**22 + 1, 5, boot_id()),
            ]
        ):
            trial = make_trial(number=number)
            journal.add(trial, "anna", 1)
            journal.set_running(trial.id, Running(pid=pid, start_ticks=ticks or 0, boot_id=boot, started=1.0))
        assert reap_orphans(journal) == 1
        assert await stray.wait() == -signal.SIGKILL
        assert innocent.returncode is None
        os.kill(innocent.pid, 0)
    finally:
        for process in (stray, innocent):
            if process.returncode is None:
                process.kill()
                await process.wait()
    agent = Agent(settings)
    await agent.supervisor.resume()
    results = [agent.journal.result(entry) for entry in agent.journal.finished("anna")]
    assert [result.outcome for result in results] == [TrialOutcome.INTERRUPTED] * 5
    assert "the board went down" in results[2].message
    assert "the agent went down" in results[0].message
    causes = [result.cause for result in results]
    assert causes == ["interrupted", "interrupted", "board_rebooted", "interrupted", "interrupted"]
    await agent.stop()


async def test_nothing_is_sent_while_a_trial_takes_times(agent: Agent, make_trial: MakeTrial) -> None:
    trial, waiting = make_trial("hang"), make_trial("pass", number=9)
    number = lease(agent)
    await agent.supervisor.submit(trial, number, "anna")
    await until(agent, trial.id, TrialState.RUNNING, Stage.MEASURE)
    assert agent.quiet.timing
    seen: list[str] = []

    async def watch() -> None:
        async for event in agent.events.watch("anna", "", 0):
            if event.trial_id == waiting.id:
                seen.append(event.state.value)  # noqa: PERF401 - what came before it is cancelled counts

    watching = asyncio.get_running_loop().create_task(watch())
    await agent.supervisor.submit(waiting, number, "anna")
    for _ in range(20):
        await asyncio.sleep(0)
    assert seen == []
    await agent.supervisor.cancel(trial.id, number, "anna")
    assert not agent.quiet.timing
    await until(agent, waiting.id, TrialState.FINISHED)
    watching.cancel()
    assert seen[0] == "queued"


async def test_uploads_and_workers_keep_apart(agent: Agent, make_trial: MakeTrial) -> None:
    trial = make_trial("hang")
    number = lease(agent)
    await agent.runtimes.all()
    with agent.quiet.upload():
        await agent.supervisor.submit(trial, number, "anna")
        for _ in range(20):
            await asyncio.sleep(0)
        assert agent.journal.in_state(TrialState.RUNNING) == []
        with pytest.raises(Fault) as busy, agent.quiet.upload():
            pass
        assert busy.value.code == "busy_measuring"
    await until(agent, trial.id, TrialState.RUNNING, Stage.MEASURE)
    with pytest.raises(Fault), agent.quiet.upload():
        pass
    await agent.supervisor.cancel(trial.id, number, "anna")
    async for event in agent.events.watch("anna", "", 0):
        if event.state is TrialState.FINISHED:
            break


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_deadline_must_be_a_time(agent: Agent, make_trial: MakeTrial, seconds: float) -> None:
    with pytest.raises(Fault, match="must be positive") as refused:
        await agent.supervisor.submit(replace(make_trial(), deadlines_s={"load": seconds}), lease(agent), "anna")
    assert refused.value.code == "invalid_request"


async def test_an_id_must_be_reasonable(agent: Agent, make_trial: MakeTrial) -> None:
    trial = replace(make_trial(), id="x" * 501)
    with pytest.raises(Fault, match="needs an id") as refused:
        await agent.supervisor.submit(trial, lease(agent), "anna")
    assert refused.value.code == "invalid_request"
