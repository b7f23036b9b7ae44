"""Workers and agents that are killed in the middle, for real."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from edgesweep_proto.trial import Stage, TrialOutcome
from edgesweep_proto.v1 import lease_pb2, trial_pb2

Start = Callable[..., Any]
Connect = Callable[..., Any]


async def measuring(client: Any, work: Any) -> tuple[Any, int]:
    """A trial in the middle of its measuring, and the lease's number."""
    runtime = (await client.describe()).runtimes[0].id
    number = await client.lease()
    for content in work.contents:
        await client.push(content, number)
    trial = work.long_trial(runtime)
    await client.submit(trial, number)
    await client.until(trial, trial_pb2.TRIAL_STATE_RUNNING, trial_pb2.STAGE_MEASURE)
    return trial, number


async def test_a_worker_killed_in_the_middle_is_a_crash_that_names_the_signal(
    start_agent: Start, connect: Connect, work: Any
) -> None:
    agent = start_agent()
    client = connect(agent.address)
    trial, number = await measuring(client, work)
    os.kill(agent.running()["pid"], signal.SIGKILL)
    await client.until(trial, trial_pb2.TRIAL_STATE_FINISHED)
    ((_, result, samples),) = await client.fetch(trial.run_id)
    assert (result.outcome, result.cause, result.stage) == (TrialOutcome.FAILED, "crash", Stage.MEASURE)
    assert "SIGKILL" in result.message
    assert result.signal == signal.SIGKILL
    assert result.cold_start, "what the worker had told is kept"
    assert result.session
    assert samples == b""
    # The device goes on: the next trial is measured.
    again = work.trial(trial.runtime_id, number=1)
    assert (await client.run(again, number))[1].outcome is TrialOutcome.PASS


async def test_no_worker_outlives_a_killed_agent_and_the_next_one_says_interrupted(
    start_agent: Start, connect: Connect, work: Any, wait_until_gone: Callable[[int], None]
) -> None:
    agent = start_agent()
    client = connect(agent.address)
    trial, number = await measuring(client, work)
    worker = agent.running()["pid"]
    agent.stop(signal.SIGKILL)
    wait_until_gone(worker)
    again = start_agent()
    client = connect(again.address)
    ((_, result, _),) = await client.fetch(trial.run_id)
    assert (result.outcome, result.cause) == (TrialOutcome.INTERRUPTED, "interrupted")
    assert "the agent went down" in result.message
    # The lease lived through it: the run goes on under its number.
    retried = work.trial(trial.runtime_id, number=2)
    assert (await client.run(retried, number))[1].outcome is TrialOutcome.PASS


async def test_a_frozen_worker_that_its_agent_left_is_reaped_by_the_next(
    start_agent: Start, connect: Connect, work: Any, wait_until_gone: Callable[[int], None]
) -> None:
    """A stopped process gets a death signal only when it goes on, unless that is SIGKILL: either way it must go."""
    agent = start_agent()
    client = connect(agent.address)
    await measuring(client, work)
    worker = agent.running()["pid"]
    os.kill(worker, signal.SIGSTOP)
    agent.stop(signal.SIGKILL)
    start_agent()
    wait_until_gone(worker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_the_agent_kills_its_worker_journals_and_ends_with_0(
    start_agent: Start, connect: Connect, work: Any, wait_until_gone: Callable[[int], None], number: int
) -> None:
    agent = start_agent()
    client = connect(agent.address)
    trial, _ = await measuring(client, work)
    worker = agent.running()["pid"]
    assert agent.stop(number) == 0
    wait_until_gone(worker)
    assert "Traceback" not in agent.log()
    client = connect(start_agent().address)
    ((_, result, _),) = await client.fetch(trial.run_id)
    assert result.outcome is TrialOutcome.INTERRUPTED
    assert result.message == "the agent was stopped while the trial ran"


async def test_cursors_and_fencing_numbers_grow_over_restarts(start_agent: Start, connect: Connect, work: Any) -> None:
    cursors, numbers, events = [], [], []
    for life in range(2):
        agent = start_agent()
        client = connect(agent.address)
        runtime = (await client.describe()).runtimes[0].id
        number = await client.lease()
        numbers.append(number)
        for content in work.contents:
            await client.push(content, number)
        trial = work.trial(runtime, number=life)
        cursor, result, _ = await client.run(trial, number)
        assert result.outcome is TrialOutcome.PASS
        cursors.append(cursor)
        events += [event.cursor for event in await client.until(trial, trial_pb2.TRIAL_STATE_FINISHED)]
        await client.trials.Acknowledge(trial_pb2.AcknowledgeRequest(trial_ids=[trial.id]))
        await client.leases.Release(lease_pb2.ReleaseRequest(fencing_number=number))
        assert agent.stop() == 0
    for values in (cursors, numbers, events):
        assert values == sorted(set(values))


async def test_an_agent_that_may_not_write_says_that_its_disk_is_full_and_goes_on_when_there_is_room(
    start_agent: Start, connect: Connect, work: Any, refused: Callable[[Any], Any]
) -> None:
    """A limit on the size of files stands for the full disk: the system refuses the same writes."""
    agent = start_agent()
    client = connect(agent.address)
    runtime = (await client.describe()).runtimes[0].id
    number = await client.lease()
    for content in work.contents:
        await client.push(content, number)
    trial = work.trial(runtime)
    no_limit = resource.prlimit(agent.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (0, no_limit[1]))
    status, code, sentence = await refused(client.submit(trial, number))
    assert (status, code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "disk_full")
    assert "no room" in sentence
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, no_limit)
    assert (await client.run(trial, number))[1].outcome is TrialOutcome.PASS


async def test_an_agent_in_a_small_memory_group_tells_oom_from_a_crash(
    start_agent: Start, connect: Connect, tmp_path: Path
) -> None:
    """The kernel's own memory killer, in a control group of ours; where we may not make one there is nothing to show."""
    group = Path("/sys/fs/cgroup/memory") / f"edgesweep-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(256 * 1024 * 1024))
    except OSError:
        pytest.skip("no writable memory control group (v1) here")
    try:
        from edgesweep_proto.blob import Manifest

        agent = start_agent(extra=["--runtime", f"eater={_eater(tmp_path)}"])
        (group / "cgroup.procs").write_text(str(agent.pid))
        client = connect(agent.address)
        await client.describe()
        number = await client.lease()
        from hashlib import sha256

        from edgesweep_proto.blob import Blob

        model = b"\x08\x08\x3a\x00\x42\x02\x10\x11"
        await client.push(model, number)
        work_trial = _bare_trial(Manifest(Blob(sha256(model).hexdigest(), len(model))))
        _, result, _ = await client.run(work_trial, number)
        assert (result.outcome, result.cause) == (TrialOutcome.FAILED, "oom"), result
        assert "oom_control counts 1" in result.evidence
        agent.stop()
    finally:
        group.rmdir()


def _eater(folder: Path) -> Path:
    """An interpreter that answers a probe and eats memory when it gets a trial."""
    import sys

    path = folder / "eater"
    path.write_text(
        f"#!{sys.executable} -IS\n"
        "import json, os, sys\n"
        "if '-c' in sys.argv:\n"
        "    print(json.dumps({'path': [], 'distributions': [], 'python': [3, 11]})); sys.exit(0)\n"
        "runtime = {'version': '1', 'build_info': '', 'python_version': '3', 'numpy_version': '', 'listed_providers': [],\n"
        "    'providers': []}\n"
        "if json.load(sys.stdin)['kind'] == 'probe':\n"
        "    os.write(int(sys.argv[-1]), json.dumps({'event': 'end', 'runtime': runtime}).encode() + b'\\n'); sys.exit(0)\n"
        "open('/proc/self/oom_score_adj', 'w').write('1000')\n"
        "hold = []\n"
        "while True:\n"
        "    hold.append(bytearray(os.urandom(1)) * (16 << 20))\n"
    )
    path.chmod(0o755)
    return path


def _bare_trial(manifest: Any) -> Any:
    from edgesweep_proto.trial import Protocol, Provider, SessionOptions, Tolerance, Trial

    return Trial(
        id="oom/k/0/1", run_id="oom", cell_key="k", cell_name="c", round=0, attempt=1, artifact=manifest, inputs=(),
        references=(), tolerance=Tolerance(), runtime_id="eater", providers=(Provider("CPUExecutionProvider"),),
        session=SessionOptions(), protocol=Protocol(), deadlines_s={"": 60.0},
    )  # fmt: skip
