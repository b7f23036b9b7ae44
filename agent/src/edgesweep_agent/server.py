"""The agent put together: its parts, its gRPC server, its life from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from edgesweep_proto.v1 import (
    artifact_pb2_grpc,
    device_pb2_grpc,
    lease_pb2_grpc,
    runtime_pb2_grpc,
    trial_pb2_grpc,
)

from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.clock import boot_id
from edgesweep_agent.events import EventRing
from edgesweep_agent.faults import FaultInterceptor
from edgesweep_agent.heap import trim_heap
from edgesweep_agent.journal import Journal
from edgesweep_agent.leases import LeaseBook
from edgesweep_agent.orphans import reap_orphans
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.runtimes import RuntimeBook
from edgesweep_agent.services.artifact import ArtifactServicer
from edgesweep_agent.services.device import DeviceServicer
from edgesweep_agent.services.lease import LeaseServicer
from edgesweep_agent.services.peer import IdentityOf, insecure_identity, tls_identity
from edgesweep_agent.services.runtime import RuntimeServicer
from edgesweep_agent.services.standard import add_standard_services
from edgesweep_agent.services.trial import TrialServicer
from edgesweep_agent.settings import Settings, listen_address
from edgesweep_agent.surroundings import Surroundings
from edgesweep_agent.tls import CertificateError, diagnose, server_credentials
from edgesweep_agent.trial_run import TrialRun
from edgesweep_agent.trials import Supervisor
from edgesweep_agent.worker_package import install_worker

if TYPE_CHECKING:
    from edgesweep_agent.gates import Pace

_OPTIONS = (
    # Without this two agents share a port silently and calls land on either.
    ("grpc.so_reuseport", 0),
    # A frozen or vanished controller is noticed, and one that pings often is not cut off.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)

_SERVICES = tuple(f"edgesweep_proto.v1.{name}Service" for name in ("Artifact", "Device", "Lease", "Runtime", "Trial"))

#: Seconds that calls under way may take to end when the agent stops.
_GRACE_S = 1.0

_log = logging.getLogger(__name__)


class StartError(Exception):
    """The agent cannot serve with these settings; the sentence says what to change."""


class Agent:
    """One agent on one state folder."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        self._settings = settings
        state_dir = settings.state_dir
        self._lock = _claim(state_dir)
        try:
            run_py = install_worker(state_dir)
            self.journal = Journal(state_dir)
            self.leases = LeaseBook(state_dir / "lease.json")
            self.blobs = BlobStore(state_dir / "blobs", max_blob_bytes=settings.max_blob_bytes)
        except OSError as error:
            raise StartError(f"the state folder {state_dir} cannot be used: {error}") from error
        self.quiet = Quiet(on_rest=trim_heap)
        self.events = EventRing(self.journal.life, self.quiet)
        self.runtimes = RuntimeBook(
            settings.runtimes,
            state_dir,
            run_py,
            self.quiet,
            plugins=settings.plugins,
            max_worker_bytes=settings.max_worker_bytes,
            provider_s=settings.provider_seconds,
        )
        self.surroundings = Surroundings(settings.sysroot, state_dir, pace)
        self._run_trial = TrialRun(
            self.journal,
            self.blobs,
            self.runtimes,
            self.quiet,
            run_py,
            surroundings=self.surroundings,
            max_worker_bytes=settings.max_worker_bytes,
        )
        self.supervisor = Supervisor(
            self.journal, self.leases, self.blobs, self.events, self.quiet, self._run_trial, boot=boot_id
        )
        self._server: Any = None
        self._first_look: asyncio.Task[Any] | None = None

    async def start(self) -> str:
        """Listen, then take up what the last life left.

        Returns:
            The address that the agent listens on, with the port that it really got.

        Raises:
            StartError: the port is taken or the certificate unusable.
        """
        settings = self._settings
        identity_of: IdentityOf = tls_identity if settings.tls_dir else insecure_identity
        self._server = server = grpc.aio.server(interceptors=(FaultInterceptor(identity_of),), options=_OPTIONS)
        await self._add_services(server, identity_of)
        port = self._bind(server)
        await self.take_up()
        await server.start()
        # Known before anybody asks, so that the first answer does not keep a controller waiting.
        self._first_look = asyncio.get_running_loop().create_task(self.runtimes.all())
        return listen_address(settings.host, port)

    async def take_up(self) -> None:
        """Put right what the last life left: end its workers, put its clocks back, go on with its trials."""
        reap_orphans(self.journal)
        self.surroundings.clocks.restore()
        await self.supervisor.resume()

    async def stop(self) -> None:
        """Take no more calls, kill the worker that runs and journal its trial as interrupted."""
        if self._first_look is not None:
            self._first_look.cancel()
            await asyncio.wait({self._first_look})
        await self.supervisor.stop()
        await self._run_trial.close()
        self.surroundings.clocks.restore()
        if self._server is not None:
            await self._server.stop(_GRACE_S)
        os.close(self._lock)

    def _bind(self, server: Any) -> int:
        settings = self._settings
        try:
            if settings.tls_dir is None:
                return int(server.add_insecure_port(settings.address))
            return int(server.add_secure_port(settings.address, server_credentials(settings.tls_dir)))
        except CertificateError as error:
            raise StartError(str(error)) from error
        except RuntimeError as error:
            if settings.tls_dir is not None and (reason := diagnose(settings.tls_dir)):
                raise StartError(reason) from error
            raise StartError(
                f"{settings.address} cannot be listened on: another process has the port, or this board lacks the address"
            ) from error

    async def _add_services(self, server: Any, identity_of: IdentityOf) -> None:
        settings = self._settings
        device_pb2_grpc.add_DeviceServiceServicer_to_server(
            DeviceServicer(settings.name, settings.state_dir, self.runtimes, self.quiet, settings.sysroot), server
        )
        lease_pb2_grpc.add_LeaseServiceServicer_to_server(
            LeaseServicer(self.leases, self.supervisor, identity_of), server
        )
        artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(
            ArtifactServicer(self.blobs, self.leases, self.supervisor, self.quiet, identity_of), server
        )
        trial_pb2_grpc.add_TrialServiceServicer_to_server(
            TrialServicer(self.supervisor, self.journal, self.events, self.quiet, identity_of), server
        )
        runtime_pb2_grpc.add_RuntimeServiceServicer_to_server(RuntimeServicer(self.runtimes), server)
        await add_standard_services(server, _SERVICES)


async def serve(settings: Settings, announce: Any) -> None:
    """Run an agent until SIGTERM or SIGINT.

    Args:
        settings: How.
        announce: Is called with the address once the agent answers there.

    Raises:
        StartError: it cannot start with these settings.
    """
    agent = Agent(settings)
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    try:
        announce(await agent.start())
        await told_to_stop.wait()
        _log.info("told to stop")
    finally:
        await agent.stop()


def _claim(state_dir: Path) -> int:
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"the state folder {state_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise StartError(f"another agent uses the state folder {state_dir}; give this one its own") from error
    return descriptor
