"""The client against the real agent, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet.channel import LinkTimings
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.local_agent import LocalAgent
from edgesweep.fleet.transfer import CHUNK_BYTES, TransferLimits
from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.trial import Protocol, Provider, SessionOptions, Tolerance, Trial, TrialOutcome, TrialState
from edgesweep_proto.v1 import artifact_pb2

WATCHFUL = LinkTimings(
    keepalive_time_ms=500, keepalive_timeout_ms=500, ping_timeout_ms=500, max_backoff_ms=200, connect_s=30.0
)
LIMITS = TransferLimits(pause_s=0.01, hold_s=0.3)

CONTROLLER = """
import asyncio, sys
from pathlib import Path
from edgesweep.fleet.local_agent import LocalAgent

async def main():
    agent = LocalAgent()
    await agent.start("pi-1", Path(sys.argv[1]), Path(sys.argv[2]), [])
    print(agent.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def agent(tmp_path, lab):
    async with LocalAgent() as started:
        started.address = await started.start("pi-1", tmp_path / "state", lab.device)
        yield started


def connect(agent: LocalAgent, tls_dir, timings: LinkTimings = WATCHFUL) -> DeviceClient:
    entry = DeviceEntry("pi-1", agent.address)
    return DeviceClient(entry, tls_dir, controller_version="0.1.0", timings=timings, limits=LIMITS)


async def test_a_lease_and_a_push_that_goes_on_where_it_was_cut(agent, lab, tmp_path):
    content = os.urandom(2 * CHUNK_BYTES + 77)
    blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
    (tmp_path / blob.sha256).write_bytes(content)
    async with connect(agent, lab.controller) as client:
        description = await client.describe()
        assert (description.device.name, description.colocated) == ("pi-1", True)
        lease = await client.acquire("test", ttl_s=60.0, purpose="push")
        assert (await client.renew(lease.fencing_number, 90.0)).ttl_s == 90.0
        assert await client.find_missing([blob]) == [(blob, 0)]

        call = client.open_upload()
        header = artifact_pb2.UploadHeader(
            blob=artifact_pb2.MissingBlob().blob, offset=0, fencing_number=lease.fencing_number
        )
        header.blob.sha256, header.blob.size_bytes = blob.sha256, blob.size_bytes
        await call.write(artifact_pb2.UploadRequest(header=header))
        await call.write(artifact_pb2.UploadRequest(chunk=content[:CHUNK_BYTES]))
        call.cancel()

        await client.push([blob], tmp_path.joinpath, lease.fencing_number)
        assert await client.find_missing([blob]) == []
        assert await client.push([blob], tmp_path.joinpath, lease.fencing_number) == 0
        await client.release(lease.fencing_number)
        assert await client.list_leases() == ()


async def test_a_trial_from_submit_to_acknowledge(agent, lab, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, data = onnx.helper, onnx.TensorProto

    def keep(content: bytes) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        (tmp_path / digest).write_bytes(content)
        return Blob(digest, len(content))

    def tensor(name: str, array: np.ndarray) -> Tensor:
        file = io.BytesIO()
        np.save(file, array)
        return Tensor(name, keep(file.getvalue()), str(array.dtype), array.shape)

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", data.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", data.FLOAT, [2, 3])],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    x = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(2, 3)
    async with connect(agent, lab.controller) as client:
        runtime = (await client.describe()).runtimes[0]
        lease = await client.acquire("test", ttl_s=60.0)
        trial = Trial(
            id="run/key/0/0",
            run_id="run",
            cell_key="key",
            cell_name="pi-1/relu/none-opset17-asis-fp32/1/cpu/example/t1",
            round=0,
            attempt=0,
            artifact=Manifest(keep(model.SerializeToString())),
            inputs=(tensor("x", x),),
            references=(tensor("y", np.maximum(x, 0)),),
            tolerance=Tolerance(),
            runtime_id=runtime.id,
            providers=(Provider("CPUExecutionProvider"),),
            session=SessionOptions(),
            protocol=Protocol(min_inferences=50, min_duration_s=0.01, max_duration_s=0.1),
            deadlines_s={"": 60.0},
        )
        with pytest.raises(EdgesweepError) as caught:
            await client.submit(trial, lease.fencing_number)
        assert caught.value.code == "blob_missing"
        await client.push(trial.blobs, tmp_path.joinpath, lease.fencing_number)
        assert await client.submit(trial, lease.fencing_number) in {TrialState.QUEUED, TrialState.RUNNING}

        cursors = []
        async with contextlib.aclosing(client.watch("run")) as events:
            async for event in events:
                cursors.append(event.cursor)
                if event.state is TrialState.FINISHED:
                    break
        assert cursors == sorted(set(cursors))

        (fetched,) = [item async for item in client.fetch("run")]
        assert (fetched.result.outcome, fetched.result.message) == (TrialOutcome.PASS, "")
        times = np.frombuffer(fetched.samples, dtype="<i8")
        assert len(times) == fetched.result.samples.warmup_count + fetched.result.samples.measured_count
        assert times.min() > 0
        assert await client.acknowledge([trial.id]) == (trial.id,)
        assert [item async for item in client.fetch("run")] == []
        assert await client.submit(trial, lease.fencing_number) is TrialState.ACKNOWLEDGED


async def test_refusals_carry_the_agents_code(agent, lab, tmp_path):
    content = os.urandom(CHUNK_BYTES * 3)
    true = Blob(hashlib.sha256(content).hexdigest(), len(content))
    false = Blob("a" * 64, len(content))
    for blob in (true, false):
        (tmp_path / blob.sha256).write_bytes(content)
    async with connect(agent, lab.controller) as client:
        lease = await client.acquire("test", ttl_s=60.0)
        with pytest.raises(EdgesweepError) as caught:
            await client.push([true], tmp_path.joinpath, lease.fencing_number + 1)
        assert caught.value.code == "lease_lost"
        with pytest.raises(EdgesweepError) as caught:
            await client.push([false], tmp_path.joinpath, lease.fencing_number)
        assert caught.value.code == "digest_mismatch"
        with pytest.raises(EdgesweepError) as caught:
            await client.acquire("another", ttl_s=60.0)
        assert caught.value.code == "lease_held"
        with pytest.raises(EdgesweepError) as caught:
            await client.cancel("run/key/0/0", lease.fencing_number)
        assert caught.value.code == "unknown_trial"
        assert [item async for item in client.fetch("run")] == []


async def test_a_device_certificate_is_no_controllers(agent, lab, monkeypatch):
    # Our own check would already refuse it; a hostile board would not run that.
    monkeypatch.setattr("edgesweep.fleet.identity._may_dial", lambda certificate: True)
    with pytest.raises(EdgesweepError) as caught:
        async with connect(agent, lab.device) as client:
            await client.acquire("intruder", ttl_s=60.0)
    assert caught.value.exit_code is ExitCode.CREDENTIALS


async def test_another_labs_controller_is_refused(agent, lab, other_lab):
    with pytest.raises(EdgesweepError) as caught:
        async with connect(agent, other_lab.controller) as client:
            await client.describe()
    assert caught.value.code == "handshake_refused"


async def test_a_frozen_agent_is_noticed_and_one_that_wakes_up_is_found_again(agent, lab):
    async with connect(agent, lab.controller, replace(WATCHFUL, call_s=30.0)) as client:
        async with contextlib.aclosing(client.telemetry(0.2)) as readings:
            await anext(readings)
            os.kill(agent.pid, signal.SIGSTOP)
            try:
                # gRPC's own ping timeout of 60 s would notice it too, much later than the one that we set.
                async with asyncio.timeout(45):
                    with pytest.raises(EdgesweepError) as caught:
                        async for _ in readings:
                            pass
            finally:
                os.kill(agent.pid, signal.SIGCONT)
        assert caught.value.code == "unreachable"
        assert (await client.describe()).device.name == "pi-1"


async def test_an_agent_that_is_gone_ends_its_streams(agent, lab):
    async with connect(agent, lab.controller) as client, contextlib.aclosing(client.telemetry(0.2)) as readings:
        await anext(readings)
        os.kill(agent.pid, signal.SIGKILL)
        with pytest.raises(EdgesweepError) as caught:
            async for _ in readings:
                pass
    assert caught.value.code == "unreachable"


def test_the_agent_dies_with_a_killed_controller(tmp_path, lab):
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(tmp_path / "state"), str(lab.device)], stdout=subprocess.PIPE
    )
    with controller:
        agent = psutil.Process(int(controller.stdout.readline()))
        controller.send_signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs([agent], timeout=30)
    for survivor in alive:
        survivor.kill()
    assert gone
