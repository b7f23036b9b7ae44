# ruff: noqa: N802 - the generated servicers name their methods
"""A lab of its own per test: a real CA, real certificates, and real gRPC boards on loopback."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest
from edgesweep.errors import CATALOGUE
from edgesweep.fleet import pki
from edgesweep.fleet.channel import LinkTimings
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.transfer import TransferLimits
from edgesweep_proto import PROTOCOL_VERSION
from edgesweep_proto.codec import to_proto
from edgesweep_proto.trial import TrialEvent, TrialResult
from edgesweep_proto.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    device_pb2,
    device_pb2_grpc,
    lease_pb2,
    lease_pb2_grpc,
    trial_pb2,
    trial_pb2_grpc,
)

QUICK = LinkTimings(
    keepalive_time_ms=200,
    keepalive_timeout_ms=300,
    ping_timeout_ms=300,
    initial_backoff_ms=50,
    min_backoff_ms=100,
    max_backoff_ms=200,
    connect_s=5.0,
    call_s=5.0,
    describe_s=60.0,
    stall_s=5.0,
)
IMPATIENT = TransferLimits(tries=3, pause_s=0.01, longest_pause_s=0.02, stall_s=5.0, busy_wait_s=30.0, hold_s=0.3)


async def refuse(context: grpc.aio.ServicerContext, code: str, sentence: str) -> None:
    """Aborts a call as an agent does: status of the catalogue, its code as trailing metadata."""
    status = grpc.StatusCode[CATALOGUE[code].grpc_status]
    await context.abort(status, sentence, trailing_metadata=(("edgesweep-code", code),))


class Devices(device_pb2_grpc.DeviceServiceServicer):
    def __init__(self) -> None:
        self.device = device_pb2.Device(name="pi-1", agent_version="0.1.0", protocol_version=PROTOCOL_VERSION)
        self.asked: list[device_pb2.DescribeRequest] = []
        self.fails_first = 0

    async def Describe(self, request, context):
        self.asked.append(request)
        if len(self.asked) <= self.fails_first:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return device_pb2.DescribeResponse(device=self.device, reading=device_pb2.Reading(at=5.0))

    async def WatchTelemetry(self, request, context):
        for at in (1.0, 2.0):
            yield device_pb2.WatchTelemetryResponse(reading=device_pb2.Reading(at=at))


class Leases(lease_pb2_grpc.LeaseServiceServicer):
    """One lease at a time, with a number that grows."""

    def __init__(self) -> None:
        self.lease: lease_pb2.Lease | None = None
        self.number = 0
        self.acquires = 0
        self.hangs = False

    async def Acquire(self, request, context):
        self.acquires += 1
        if self.lease is not None:
            await refuse(context, "lease_held", f"{self.lease.owner} holds the device")
        self.number += 1
        self.lease = lease_pb2.Lease(
            id=f"lease-{self.number}",
            owner=request.owner,
            fencing_number=self.number,
            priority=request.priority,
            ttl_s=request.ttl_s,
            expires_in_s=request.ttl_s,
            purpose=request.purpose,
        )
        return lease_pb2.AcquireResponse(lease=self.lease)

    async def Renew(self, request, context):
        if self.lease is None or self.lease.fencing_number != request.fencing_number:
            await refuse(context, "lease_lost", "that lease is over")
        self.lease.ttl_s = request.ttl_s
        return lease_pb2.RenewResponse(lease=self.lease)

    async def Release(self, request, context):
        self.lease = None
        return lease_pb2.ReleaseResponse()

    async def ListLeases(self, request, context):
        if self.hangs:
            await asyncio.Event().wait()
        return lease_pb2.ListLeasesResponse(leases=[self.lease] if self.lease else [])


class Artifacts(artifact_pb2_grpc.ArtifactServiceServicer):
    """Keeps what arrives by digest, partial uploads too; `cuts` and `busy` make it fail on purpose."""

    def __init__(self) -> None:
        self.whole: dict[str, bytes] = {}
        self.partial: dict[str, bytearray] = {}
        self.headers: list[artifact_pb2.UploadHeader] = []
        self.chunk_sizes: list[int] = []
        self.cuts: list[int] = []
        self.busy = 0
        self.code = ""

    async def FindMissing(self, request, context):
        missing = [
            artifact_pb2.MissingBlob(blob=blob, offset=len(self.partial.get(blob.sha256, b"")))
            for blob in request.blobs
            if blob.sha256 not in self.whole
        ]
        return artifact_pb2.FindMissingResponse(missing=missing, free_bytes=1 << 40)

    async def Upload(self, request_iterator, context):
        first = await anext(aiter(request_iterator))
        header = first.header
        self.headers.append(header)
        if self.code:
            await refuse(context, self.code, f"no upload: {self.code}")
        if self.busy:
            self.busy -= 1
            await refuse(context, "busy_measuring", "a trial is running")
        held = self.partial.setdefault(header.blob.sha256, bytearray())
        if header.offset != len(held):
            await refuse(context, "offset_mismatch", f"the copy here ends at {len(held)}")
        cut = self.cuts.pop(0) if self.cuts else None
        async for message in request_iterator:
            self.chunk_sizes.append(len(message.chunk))
            held += message.chunk
            if cut is not None and len(held) >= cut:
                del held[cut:]
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the link broke")
        if hashlib.sha256(held).hexdigest() != header.blob.sha256:
            del self.partial[header.blob.sha256]
            await refuse(context, "digest_mismatch", "other bytes arrived")
        self.whole[header.blob.sha256] = bytes(self.partial.pop(header.blob.sha256))
        return artifact_pb2.UploadResponse(blob=header.blob, received_bytes=header.blob.size_bytes)

    async def Remove(self, request, context):
        return artifact_pb2.RemoveResponse()


class Trials(trial_pb2_grpc.TrialServiceServicer):
    def __init__(self) -> None:
        self.submitted: dict[str, trial_pb2.Trial] = {}
        self.events: list[TrialEvent] = []
        self.results: list[tuple[TrialResult, bytes]] = []
        self.chunk = 7
        self.acknowledged: list[str] = []
        self.answer_state = trial_pb2.TRIAL_STATE_QUEUED
        self.answer_code = ""

    async def Submit(self, request, context):
        if self.answer_code:
            trailer = (("edgesweep-code", self.answer_code),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much of tomorrow", trailer)
        if request.fencing_number != 1:
            await refuse(context, "lease_lost", "another lease is in force")
        self.submitted[request.trial.id] = request.trial
        return trial_pb2.SubmitResponse(state=self.answer_state)

    async def Watch(self, request, context):
        for event in self.events:
            if event.cursor > request.after_cursor:
                yield trial_pb2.WatchResponse(event=to_proto(event))

    async def Cancel(self, request, context):
        if request.trial_id not in self.submitted:
            await refuse(context, "unknown_trial", f"no trial {request.trial_id}")
        return trial_pb2.CancelResponse(state=trial_pb2.TRIAL_STATE_FINISHED)

    async def FetchResults(self, request, context):
        for cursor, (result, samples) in enumerate(self.results, start=1):
            if cursor <= request.after_cursor:
                continue
            header = trial_pb2.ResultHeader(cursor=cursor, result=to_proto(result))
            yield trial_pb2.FetchResultsResponse(header=header)
            for start in range(0, len(samples), self.chunk):
                yield trial_pb2.FetchResultsResponse(samples_chunk=samples[start : start + self.chunk])

    async def Acknowledge(self, request, context):
        self.acknowledged += request.trial_ids
        return trial_pb2.AcknowledgeResponse(acknowledged=request.trial_ids)


@dataclass
class Board:
    """A gRPC server with the four services, and the inventory entry that leads to it."""

    devices: Devices = field(default_factory=Devices)
    leases: Leases = field(default_factory=Leases)
    artifacts: Artifacts = field(default_factory=Artifacts)
    trials: Trials = field(default_factory=Trials)
    address: str = ""
    server: grpc.aio.Server | None = None

    def entry(self, name: str = "pi-1", *, insecure: bool = False) -> DeviceEntry:
        return DeviceEntry(name, self.address, {}, insecure)

    async def serve(self, stack: AsyncExitStack, tls_dir: Path | None, address: str = "127.0.0.1:0") -> None:
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 100),
                ("grpc.http2.max_ping_strikes", 0),
            ]
        )
        device_pb2_grpc.add_DeviceServiceServicer_to_server(self.devices, server)
        lease_pb2_grpc.add_LeaseServiceServicer_to_server(self.leases, server)
        artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(self.artifacts, server)
        trial_pb2_grpc.add_TrialServiceServicer_to_server(self.trials, server)
        if tls_dir is None:
            port = server.add_insecure_port(address)
        else:
            key, cert, authority = ((tls_dir / f"{name}.pem").read_bytes() for name in ("key", "cert", "ca"))
            credentials = grpc.ssl_server_credentials([(key, cert)], authority, require_client_auth=True)
            port = server.add_secure_port(address, credentials)
        await server.start()
        self.server = server
        stack.push_async_callback(server.stop, None)
        self.address = f"127.0.0.1:{port}"


@dataclass(frozen=True)
class Lab:
    """Certificates of one lab: the CA's folder, the device's and the controller's TLS folders."""

    pki_dir: Path
    device: Path
    controller: Path


def make_lab(pki_dir: Path) -> Lab:
    pki.init_ca(pki_dir)
    return Lab(pki_dir, pki.issue_device(pki_dir, "pi-1"), pki.issue_controller(pki_dir))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "pki")


@pytest.fixture
def other_lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "other-pki")


@pytest.fixture
async def start_board() -> AsyncIterator[Callable[..., Awaitable[Board]]]:
    async with AsyncExitStack() as stack:

        async def start(tls_dir: Path | None, address: str = "127.0.0.1:0") -> Board:
            board = Board()
            await board.serve(stack, tls_dir, address)
            return board

        yield start


@pytest.fixture
async def board(lab: Lab, start_board: Callable[..., Awaitable[Board]]) -> Board:
    return await start_board(lab.device)


@pytest.fixture
def dial(lab: Lab) -> Callable[..., DeviceClient]:
    """Makes a client with this lab's controller certificate and short deadlines."""

    def make(entry: DeviceEntry, tls_dir: Path | None = lab.controller) -> DeviceClient:
        return DeviceClient(entry, tls_dir, controller_version="0.1.0", timings=QUICK, limits=IMPATIENT)

    return make


@pytest.fixture
async def client(board: Board, dial: Callable[..., DeviceClient]) -> AsyncIterator[DeviceClient]:
    async with dial(board.entry()) as connected:
        yield connected
