"""Every service over real mutual TLS, with the real worker."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from edgesweep_agent.faults import STATUS
from edgesweep_proto import PROTOCOL_VERSION
from edgesweep_proto.blob import Blob
from edgesweep_proto.codec import to_proto
from edgesweep_proto.device import Runtime
from edgesweep_proto.trial import TrialOutcome
from edgesweep_proto.v1 import artifact_pb2, device_pb2, lease_pb2, runtime_pb2, trial_pb2

Start = Callable[..., Any]
Connect = Callable[..., Any]
Refused = Callable[[Any], Any]


@pytest.fixture
def agent(start_agent: Start, lab: Any) -> Any:
    return start_agent("--tls-dir", str(lab.tls_dir))


@pytest.fixture
def client(agent: Any, lab: Any, connect: Connect) -> Any:
    return connect(agent.address, lab.ca.cert_pem.bytes(), lab.controller("anna"))


@pytest.fixture
def other_client(agent: Any, lab: Any, connect: Connect) -> Any:
    return connect(agent.address, lab.ca.cert_pem.bytes(), lab.controller("ben"))


def test_codes_and_statuses_are_those_of_the_catalogue() -> None:
    errors = pytest.importorskip("edgesweep.errors")
    for code, status in STATUS.items():
        assert errors.CATALOGUE[code].grpc_status == status.name
    worded = {code for code, entry in errors.CATALOGUE.items() if entry.grpc_status}
    assert worded - set(STATUS) <= {"unreachable", "handshake_refused"}


async def test_a_trial_from_the_first_byte_to_the_acknowledgement(client: Any, other_client: Any, work: Any) -> None:
    described = await client.describe()
    assert described.device.name == "board1"
    assert described.device.protocol_version == PROTOCOL_VERSION
    assert described.device.cpu_count > 0
    assert described.reading.at > 0
    runtime = described.runtimes[0]
    assert runtime.fault == ""
    assert "CPUExecutionProvider" in [probe.name for probe in runtime.providers if probe.nodes]

    number = await client.lease()
    blobs = [await client.push(content, number) for content in work.contents]
    missing = await client.artifacts.FindMissing(artifact_pb2.FindMissingRequest(blobs=map(to_proto, blobs)))
    assert list(missing.missing) == []
    assert missing.free_bytes > 0

    trial = work.trial(runtime.id)
    assert await client.submit(trial, number) == trial_pb2.TRIAL_STATE_QUEUED
    events = await client.until(trial, trial_pb2.TRIAL_STATE_FINISHED)
    cursors = [event.cursor for event in events]
    assert cursors == sorted(set(cursors))
    stages = [trial_pb2.Stage.Name(event.stage).removeprefix("STAGE_").lower() for event in events[1:-1]]
    wanted = ["load", "first_run", "verify", "warmup", "measure", "placement"]
    assert [stage for stage in dict.fromkeys(stages) if stage in wanted] == wanted

    ((cursor, result, samples),) = await client.fetch("run")
    assert result.outcome is TrialOutcome.PASS, (result.cause, result.message, result.evidence)
    assert result.trial_id == trial.id
    assert result.samples
    assert hashlib.sha256(samples).hexdigest() == result.samples.blob.sha256
    times = struct.unpack(f"<{len(samples) // 8}q", samples)
    assert len(times) == result.samples.warmup_count + result.samples.measured_count
    assert min(times) > 0
    assert result.session
    assert result.session.providers[0] == "CPUExecutionProvider"
    assert result.numerics
    assert result.numerics.max_absolute_error == 0
    assert result.cold_start
    assert result.memory
    assert result.placement
    assert result.before
    assert result.boot_id == described.device.boot_id

    assert await other_client.fetch() == []
    assert (
        list((await other_client.trials.Acknowledge(trial_pb2.AcknowledgeRequest(trial_ids=[trial.id]))).acknowledged)
        == []
    )
    assert await client.submit(trial, number) == trial_pb2.TRIAL_STATE_FINISHED
    assert await client.fetch("run", after=cursor) == []
    assert await client.fetch("another run") == []
    done = await client.trials.Acknowledge(trial_pb2.AcknowledgeRequest(trial_ids=[trial.id]))
    assert list(done.acknowledged) == [trial.id]
    assert await client.fetch() == []
    assert await client.submit(trial, number) == trial_pb2.TRIAL_STATE_ACKNOWLEDGED


async def test_a_wrong_reference_is_a_finding_and_never_timed(client: Any, work: Any) -> None:
    runtime = (await client.describe()).runtimes[0].id
    number = await client.lease()
    for content in work.contents:
        await client.push(content, number)
    trial = work.trial(runtime)
    wrong = work.trial(runtime, references=(trial.inputs[0].__class__("y", trial.inputs[0].blob, "float32", (2, 3)),))
    _, result, samples = await client.run(wrong, number)
    assert (result.outcome, result.cause) == (TrialOutcome.FAILED, "wrong_output")
    assert samples == b""


async def test_leases_over_the_wire(client: Any, other_client: Any, refused: Refused) -> None:
    number = await client.lease()
    assert await client.lease() > number
    number = await client.lease()
    status, code, sentence = await refused(other_client.lease("ben"))
    assert (status, code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "lease_held")
    assert "anna holds the device" in sentence
    (listed,) = (await other_client.leases.ListLeases(lease_pb2.ListLeasesRequest())).leases
    assert (listed.owner, listed.fencing_number) == ("anna", number)
    renewed = (await client.leases.Renew(lease_pb2.RenewRequest(fencing_number=number, ttl_s=30))).lease
    assert renewed.ttl_s == 30
    for call in (
        other_client.leases.Renew(lease_pb2.RenewRequest(fencing_number=number, ttl_s=30)),
        other_client.leases.Release(lease_pb2.ReleaseRequest(fencing_number=number)),
        client.leases.Release(lease_pb2.ReleaseRequest(fencing_number=number - 1)),
    ):
        assert (await refused(call))[:2] == (grpc.StatusCode.ABORTED, "lease_lost")
    await client.leases.Release(lease_pb2.ReleaseRequest(fencing_number=number))
    assert await other_client.lease("ben") > number


async def test_the_fencing_number_guards_what_changes_the_device(client: Any, work: Any, refused: Refused) -> None:
    await client.describe()  # while the agent probes its runtimes it takes no upload
    stale = await client.lease()
    number = await client.lease()
    blob = await client.push(work.model, number)
    for call in (
        client.upload(Blob("a" * 64, 3), b"abc", stale),
        client.submit(work.trial("x"), stale),
        client.artifacts.Remove(artifact_pb2.RemoveRequest(sha256=[blob.sha256], fencing_number=stale)),
        client.trials.Cancel(trial_pb2.CancelRequest(trial_id="x", fencing_number=stale)),
    ):
        assert (await refused(call))[:2] == (grpc.StatusCode.ABORTED, "lease_lost")
    removed = await client.artifacts.Remove(artifact_pb2.RemoveRequest(sha256=[blob.sha256], fencing_number=number))
    assert removed.freed_bytes == blob.size_bytes


async def test_uploads_that_break_resume_and_lies_are_refused(client: Any, refused: Refused) -> None:
    await client.describe()  # while the agent probes its runtimes it takes no upload
    number = await client.lease()
    content = bytes(range(256)) * 8192
    blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
    status, code, _ = await refused(client.upload(blob, content[:700_000], number))
    assert (status, code) == (grpc.StatusCode.OUT_OF_RANGE, "offset_mismatch")
    (missing,) = (await client.artifacts.FindMissing(artifact_pb2.FindMissingRequest(blobs=[to_proto(blob)]))).missing
    assert missing.offset == 700_000
    assert (await refused(client.announce(blob, number, offset=5)))[1] == "offset_mismatch"
    assert await client.upload(blob, content[700_000:], number, offset=700_000) == len(content) - 700_000

    status, code, _ = await refused(client.upload(Blob("b" * 64, 3), b"abc", number))
    assert (status, code) == (grpc.StatusCode.DATA_LOSS, "digest_mismatch")
    status, code, _ = await refused(client.announce(Blob("../../etc/passwd", 3), number))
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    status, code, _ = await refused(client.announce(Blob("c" * 64, 1 << 60), number))
    assert code in ("invalid_request", "disk_full")


async def test_an_upload_must_start_with_its_header(client: Any, refused: Refused) -> None:
    async def parts() -> Any:
        yield artifact_pb2.UploadRequest(chunk=b"abc")

    assert (await refused(client.artifacts.Upload(parts())))[1] == "invalid_request"


async def test_what_is_asked_wrongly_is_told(client: Any, work: Any, refused: Refused) -> None:
    number = await client.lease()
    status, code, sentence = await refused(
        client.device.Describe(device_pb2.DescribeRequest(controller_version="9.8.7", protocol_version=99))
    )
    assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "protocol_mismatch")
    assert "pip install edgesweep-agent==9.8.7" in sentence
    status, code, _ = await refused(client.submit(work.trial("x"), number))
    assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "blob_missing")
    cancel = trial_pb2.CancelRequest(trial_id="x", fencing_number=number)
    status, code, _ = await refused(client.trials.Cancel(cancel))
    assert (status, code) == (grpc.StatusCode.NOT_FOUND, "unknown_trial")
    probe = runtime_pb2.ProbeRuntimeRequest(runtime_id="9")
    status, code, sentence = await refused(client.runtimes.ProbeRuntime(probe))
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    watch = client.device.WatchTelemetry(device_pb2.WatchTelemetryRequest(interval_s=0.001))
    assert (await refused(watch.read()))[1] == "invalid_request"


async def test_runtimes_are_listed_and_probed_again(client: Any) -> None:
    (listed,) = (await client.runtimes.ListRuntimes(runtime_pb2.ListRuntimesRequest())).runtimes
    probed = (await client.runtimes.ProbeRuntime(runtime_pb2.ProbeRuntimeRequest(runtime_id=listed.id))).runtime
    assert probed.version == listed.version
    assert Runtime.__slots__


async def test_telemetry_comes_at_its_interval(client: Any) -> None:
    watch = client.device.WatchTelemetry(device_pb2.WatchTelemetryRequest(interval_s=0.2))
    first, second = await watch.read(), await watch.read()
    assert second.reading.at > first.reading.at
    assert first.reading.memory_available_bytes > 0
    watch.cancel()


async def test_while_a_trial_measures_uploads_are_refused_and_removal_too(
    client: Any, work: Any, refused: Refused
) -> None:
    runtime = (await client.describe()).runtimes[0].id
    number = await client.lease()
    blobs = [await client.push(content, number) for content in work.contents]
    trial = work.long_trial(runtime)
    await client.submit(trial, number)
    await client.until(trial, trial_pb2.TRIAL_STATE_RUNNING, trial_pb2.STAGE_MEASURE)
    status, code, _ = await refused(client.announce(Blob("d" * 64, 3), number))
    assert (status, code) == (grpc.StatusCode.UNAVAILABLE, "busy_measuring")
    # What can never be taken in is told as that at once, and not put off.
    status, code, _ = await refused(client.announce(Blob("../../etc/passwd", 3), number))
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert (await refused(client.announce(Blob("e" * 64, 3), number, offset=2)))[1] == "offset_mismatch"
    remove = artifact_pb2.RemoveRequest(sha256=[blobs[0].sha256], fencing_number=number)
    assert (await refused(client.artifacts.Remove(remove)))[1] == "busy_measuring"
    cancelled = await client.trials.Cancel(trial_pb2.CancelRequest(trial_id=trial.id, fencing_number=number))
    assert cancelled.state == trial_pb2.TRIAL_STATE_FINISHED
    ((_, result, _),) = await client.fetch("run")
    assert result.outcome is TrialOutcome.CANCELLED
    removed = await client.artifacts.Remove(remove)
    assert removed.freed_bytes == blobs[0].size_bytes


async def test_health_and_reflection_answer(client: Any) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    health = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "edgesweep_proto.v1.TrialService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {f"edgesweep_proto.v1.{name}Service" for name in ("Artifact", "Device", "Lease", "Runtime", "Trial")} < names
