"""The controller's end of one device: every call the wire contract knows, in domain types, with deadlines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
import grpc.aio
from edgesweep_proto import PROTOCOL_VERSION
from edgesweep_proto.blob import Blob
from edgesweep_proto.codec import enum_from_proto, from_proto, to_proto
from edgesweep_proto.device import Device, Reading, Runtime
from edgesweep_proto.lease import Lease
from edgesweep_proto.trial import Trial, TrialEvent, TrialState
from edgesweep_proto.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    device_pb2,
    device_pb2_grpc,
    lease_pb2,
    lease_pb2_grpc,
    runtime_pb2,
    runtime_pb2_grpc,
    trial_pb2,
    trial_pb2_grpc,
)

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.channel import LinkTimings, open_channel
from edgesweep.fleet.description import Description
from edgesweep.fleet.identity import Identity, load_identity
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.refusals import is_link_failure, refusal
from edgesweep.fleet.results import Fetched, assemble
from edgesweep.fleet.tls_probe import explain, unreachable
from edgesweep.fleet.transfer import Push, TransferLimits, UploadCall

if TYPE_CHECKING:
    from edgesweep_proto.v1.artifact_pb2_grpc import ArtifactServiceAsyncStub
    from edgesweep_proto.v1.device_pb2_grpc import DeviceServiceAsyncStub
    from edgesweep_proto.v1.lease_pb2_grpc import LeaseServiceAsyncStub
    from edgesweep_proto.v1.runtime_pb2_grpc import RuntimeServiceAsyncStub
    from edgesweep_proto.v1.trial_pb2_grpc import TrialServiceAsyncStub

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Stubs:
    devices: DeviceServiceAsyncStub
    leases: LeaseServiceAsyncStub
    artifacts: ArtifactServiceAsyncStub
    trials: TrialServiceAsyncStub
    runtimes: RuntimeServiceAsyncStub


class DeviceClient:
    """One device over one channel; use it as an async context manager.

    Every method raises `EdgesweepError`: the code that the agent names, else `unreachable` when nothing answers in
    time and `handshake_refused` when TLS fails. Unary calls have a deadline and survive a short break of the link;
    streams end with `unreachable` when it breaks, and the caller goes on from the last cursor.

    Args:
        entry: the device in the inventory; its name is the one that its certificate must carry.
        tls_dir: folder with this controller's `ca.pem`, `cert.pem`, `key.pem`; `None` for an insecure entry.
        controller_version: told to the agent, and named in the remedy when the versions do not fit.
        timings: deadlines and keepalive of the link.
        limits: how long a push keeps trying.
    """

    def __init__(
        self,
        entry: DeviceEntry,
        tls_dir: Path | None,
        *,
        controller_version: str,
        timings: LinkTimings | None = None,
        limits: TransferLimits | None = None,
    ) -> None:
        self.entry = entry
        self._tls_dir = tls_dir
        self._version = controller_version
        self._timings = timings or LinkTimings()
        self._limits = limits or TransferLimits(stall_s=self._timings.stall_s)
        self._identity: Identity | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stubs: _Stubs | None = None
        self._was_ready = False

    async def __aenter__(self) -> Self:
        if not self.entry.insecure and self._tls_dir is not None:
            self._identity = await asyncio.to_thread(load_identity, self._tls_dir)
        channel = self._channel = open_channel(self.entry, self._identity, self._timings)
        self._stubs = _Stubs(
            device_pb2_grpc.DeviceServiceStub(channel),
            lease_pb2_grpc.LeaseServiceStub(channel),
            artifact_pb2_grpc.ArtifactServiceStub(channel),
            trial_pb2_grpc.TrialServiceStub(channel),
            runtime_pb2_grpc.RuntimeServiceStub(channel),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()
        self._channel = self._stubs = None

    async def describe(self) -> Description:
        """Facts, runtimes and one reading of the device.

        Raises:
            EdgesweepError: `protocol_mismatch` with the command that mends it.
        """
        request = device_pb2.DescribeRequest(controller_version=self._version, protocol_version=PROTOCOL_VERSION)
        response = await self._unary(self._calls.devices.Describe, request, within_s=self._timings.describe_s)
        device = from_proto(Device, response.device)
        if device.protocol_version != PROTOCOL_VERSION:
            raise EdgesweepError(
                "protocol_mismatch",
                f"device {self.entry.name!r} speaks version {device.protocol_version} of the contract "
                f"(agent {device.agent_version or 'unknown'}), this controller speaks {PROTOCOL_VERSION}",
                remedy=f"on the device: pip install edgesweep-agent=={self._version}, then restart the agent",
            )
        runtimes = tuple(from_proto(Runtime, item) for item in response.runtimes)
        return Description(device, runtimes, from_proto(Reading, response.reading))

    async def list_runtimes(self) -> tuple[Runtime, ...]:
        """The runtimes of the device as it is now; the agent probes new ones first, which takes a slow board minutes."""
        request = runtime_pb2.ListRuntimesRequest()
        response = await self._unary(self._calls.runtimes.ListRuntimes, request, within_s=self._timings.probe_s)
        return tuple(from_proto(Runtime, item) for item in response.runtimes)

    async def probe_runtime(self, runtime_id: str) -> Runtime:
        """One runtime, probed again whatever the agent remembers of it; `invalid_request` when there is none."""
        request = runtime_pb2.ProbeRuntimeRequest(runtime_id=runtime_id)
        response = await self._unary(self._calls.runtimes.ProbeRuntime, request, within_s=self._timings.probe_s)
        return from_proto(Runtime, response.runtime)

    async def acquire(self, owner: str, *, ttl_s: float, priority: int = 0, purpose: str = "") -> Lease:
        """Takes the device for `ttl_s` seconds; `lease_held` when another owner has it."""
        request = lease_pb2.AcquireRequest(owner=owner, priority=priority, ttl_s=ttl_s, purpose=purpose)
        return from_proto(Lease, (await self._unary(self._calls.leases.Acquire, request)).lease)

    async def renew(self, fencing_number: int, ttl_s: float) -> Lease:
        """Keeps the lease for another `ttl_s` seconds; `lease_lost` when it is gone."""
        request = lease_pb2.RenewRequest(fencing_number=fencing_number, ttl_s=ttl_s)
        return from_proto(Lease, (await self._unary(self._calls.leases.Renew, request)).lease)

    async def release(self, fencing_number: int) -> None:
        """Gives the lease back."""
        await self._unary(self._calls.leases.Release, lease_pb2.ReleaseRequest(fencing_number=fencing_number))

    async def list_leases(self) -> tuple[Lease, ...]:
        """Who holds the device, and who waits for it."""
        response = await self._unary(self._calls.leases.ListLeases, lease_pb2.ListLeasesRequest())
        return tuple(from_proto(Lease, item) for item in response.leases)

    async def find_missing(self, blobs: Iterable[Blob]) -> list[tuple[Blob, int]]:
        """Which of `blobs` the device lacks, each with the number of bytes that it holds already."""
        request = artifact_pb2.FindMissingRequest(blobs=[to_proto(blob) for blob in blobs])
        response = await self._unary(self._calls.artifacts.FindMissing, request)
        return [(from_proto(Blob, item.blob), item.offset) for item in response.missing]

    async def push(
        self,
        blobs: Iterable[Blob],
        path_of: Callable[[str], Path],
        fencing_number: int,
        *,
        on_sent: Callable[[Blob, int], None] | None = None,
    ) -> int:
        """Brings what is missing of `blobs` to the device and returns the bytes sent; see `transfer.Push`."""
        await self._connect()
        return await Push(self, path_of, fencing_number, self._limits, on_sent).run(blobs)

    def open_upload(self) -> UploadCall:
        """A new upload stream (for `transfer.Push`)."""
        return self._calls.artifacts.Upload()

    def refusal(self, error: grpc.aio.AioRpcError) -> EdgesweepError:
        """What the failed call `error` means."""
        return refusal(self.entry, error)

    async def submit(self, trial: Trial, fencing_number: int) -> TrialState:
        """Hands `trial` over; doing it twice is doing it once, by its id."""
        request = trial_pb2.SubmitRequest(trial=to_proto(trial), fencing_number=fencing_number)
        response = await self._unary(self._calls.trials.Submit, request)
        return enum_from_proto(TrialState, response.state)

    async def cancel(self, trial_id: str, fencing_number: int) -> TrialState:
        """Ends a trial that is queued or running."""
        request = trial_pb2.CancelRequest(trial_id=trial_id, fencing_number=fencing_number)
        response = await self._unary(self._calls.trials.Cancel, request)
        return enum_from_proto(TrialState, response.state)

    async def watch(self, run_id: str, after_cursor: int = 0) -> AsyncGenerator[TrialEvent, None]:
        """Events of the run after `after_cursor`, for as long as the link holds; silence is normal while measuring."""
        request = trial_pb2.WatchRequest(run_id=run_id, after_cursor=after_cursor)
        async with contextlib.aclosing(self._stream(self._calls.trials.Watch, request)) as messages:
            async for message in messages:
                yield from_proto(TrialEvent, message.event)

    async def fetch(self, run_id: str, after_cursor: int = 0) -> AsyncGenerator[Fetched, None]:
        """Finished results of the run after `after_cursor`, with their samples checked.

        Raises:
            EdgesweepError: `digest_mismatch` when samples are not the ones that the result names.
        """
        request = trial_pb2.FetchResultsRequest(run_id=run_id, after_cursor=after_cursor)
        messages = self._stream(self._calls.trials.FetchResults, request, stall_s=self._timings.stall_s)
        async with contextlib.aclosing(messages), contextlib.aclosing(assemble(messages)) as results:
            async for fetched in results:
                yield fetched

    async def acknowledge(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Lets the agent forget results that are safely stored here; returns those that it forgot."""
        request = trial_pb2.AcknowledgeRequest(trial_ids=list(ids))
        response = await self._unary(self._calls.trials.Acknowledge, request)
        return tuple(response.acknowledged)

    async def telemetry(self, interval_s: float) -> AsyncGenerator[Reading, None]:
        """A reading every `interval_s` seconds; none come while a trial measures."""
        request = device_pb2.WatchTelemetryRequest(interval_s=interval_s)
        async with contextlib.aclosing(self._stream(self._calls.devices.WatchTelemetry, request)) as messages:
            async for message in messages:
                yield from_proto(Reading, message.reading)

    @property
    def _calls(self) -> _Stubs:
        if self._stubs is None:
            raise RuntimeError("DeviceClient is used outside of its context")
        return self._stubs

    async def _unary(self, method: Callable[..., Awaitable[T]], request: Any, *, within_s: float | None = None) -> T:
        await self._connect()
        try:
            return await method(request, timeout=within_s or self._timings.call_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise await self._reason(error) from error

    async def _stream(
        self, method: Callable[..., AsyncIterable[T]], request: Any, *, stall_s: float | None = None
    ) -> AsyncGenerator[T, None]:
        await self._connect()
        call: Any = method(request)
        messages = aiter(call)
        try:
            while True:
                async with asyncio.timeout(stall_s):
                    message = await anext(messages, None)
                if message is None:
                    return
                yield message
        except TimeoutError as error:
            raise unreachable(self.entry, f"its stream brought nothing for {stall_s:g} s") from error
        except grpc.aio.AioRpcError as error:
            raise await self._reason(error) from error
        finally:
            call.cancel()

    async def _connect(self) -> None:
        """Makes the first connection, so that a device that cannot be had is told at once and with the reason.

        Later breaks of the link are gRPC's to mend: calls then wait for it until their deadline.
        """
        if self._was_ready:
            return
        channel = self._channel
        if channel is None:
            raise RuntimeError("DeviceClient is used outside of its context")
        deadline = asyncio.get_running_loop().time() + self._timings.connect_s
        state = channel.get_state(try_to_connect=True)
        try:
            async with asyncio.timeout_at(deadline):
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        fault = await explain(self.entry, self._identity, self._timings.connect_s)
                        if fault is not None:
                            raise fault
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError as error:
            raise unreachable(self.entry, f"no answer within {self._timings.connect_s:g} s") from error
        self._was_ready = True

    async def _reason(self, error: grpc.aio.AioRpcError) -> EdgesweepError:
        """What `error` means; a broken link is looked at once more, since gRPC tells TLS trouble as silence."""
        if is_link_failure(error):
            fault = await explain(self.entry, self._identity, min(self._timings.connect_s, 2.0))
            if fault is not None and fault.code == "handshake_refused":
                return fault
        return refusal(self.entry, error)
