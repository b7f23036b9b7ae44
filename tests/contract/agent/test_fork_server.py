"""Trials that time nothing, on a real agent: forked, left behind by nobody, and out of the way of those that are timed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.trial import Protocol, Stage, TrialOutcome
from edgesweep_proto.v1 import trial_pb2
from onnx import TensorProto, helper

Start = Callable[..., Any]
Connect = Callable[..., Any]

UNTIMED = Protocol(untimed=True)


@pytest.fixture
def endless() -> bytes:
    """A model that takes x and does not end within the life of a test."""
    scalar, vector = ([], TensorProto.BOOL), ([2, 3], TensorProto.FLOAT)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["more"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (shape, kind) in {"i": ([], TensorProto.INT64), "go": scalar, "v": vector}.items()
        ],
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (shape, kind) in {"more": scalar, "w": vector}.items()
        ],
    )
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    trips = onnx.numpy_helper.from_array(np.array(2**62), "trips")
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)], "g", infos[:1], infos[1:], [trips]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def ready(client: Any, *contents: bytes) -> tuple[str, int, list[Blob]]:
    number = await client.lease()
    # First: it waits for the probe of the runtime, and nothing is taken while that runs.
    runtime = (await client.describe()).runtimes[0].id
    return runtime, number, [await client.push(content, number) for content in contents]


async def test_an_untimed_trial_is_forked_and_has_no_times_and_a_timed_one_finds_no_server_beside_it(
    start_agent: Start, connect: Connect, work: Any, wait_until_gone: Callable[[int], None], endless: bytes
) -> None:
    agent = start_agent()
    client = connect(agent.address)
    runtime, number, blobs = await ready(client, *work.contents, endless)
    hanging = work.trial(runtime, artifact=Manifest(blobs[-1]), protocol=UNTIMED)
    await client.submit(hanging, number)
    await client.until(hanging, trial_pb2.TRIAL_STATE_RUNNING, trial_pb2.STAGE_FIRST_RUN)
    server = parent_of(agent.running()["pid"])
    assert server != agent.pid
    await client.trials.Cancel(trial_pb2.CancelRequest(trial_id=hanging.id, fencing_number=number))
    _, result, samples = await client.run(work.trial(runtime, number=1, protocol=UNTIMED), number)
    assert (result.outcome, result.stage, samples) == (TrialOutcome.PASS, Stage.PLACEMENT, b"")
    assert "forked" in result.tags
    assert (result.samples, result.cold_start) == (None, None)
    assert result.placement.shares[0].nodes == 1
    _, timed, samples = await client.run(work.trial(runtime, number=2), number)
    assert timed.outcome is TrialOutcome.PASS
    assert "forked" not in timed.tags
    assert samples
    wait_until_gone(server)


async def test_neither_server_nor_fork_outlives_a_killed_agent(
    start_agent: Start, connect: Connect, work: Any, wait_until_gone: Callable[[int], None], endless: bytes
) -> None:
    agent = start_agent()
    client = connect(agent.address)
    runtime, number, blobs = await ready(client, *work.contents, endless)
    trial = work.trial(runtime, artifact=Manifest(blobs[-1]), protocol=UNTIMED)
    await client.submit(trial, number)
    await client.until(trial, trial_pb2.TRIAL_STATE_RUNNING, trial_pb2.STAGE_FIRST_RUN)
    fork = agent.running()["pid"]
    server = parent_of(fork)
    agent.stop(signal.SIGKILL)
    wait_until_gone(fork)
    wait_until_gone(server)
    client = connect(start_agent().address)
    ((_, result, _),) = await client.fetch(trial.run_id)
    assert result.outcome is TrialOutcome.INTERRUPTED
