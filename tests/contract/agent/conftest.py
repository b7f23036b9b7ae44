"""A real agent process, real certificates and the generated client."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from edgesweep_proto import PROTOCOL_VERSION
from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.codec import from_proto, to_proto
from edgesweep_proto.trial import Protocol, Provider, SessionOptions, Tolerance, Trial, TrialResult
from edgesweep_proto.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    device_pb2,
    device_pb2_grpc,
    lease_pb2,
    lease_pb2_grpc,
    runtime_pb2_grpc,
    trial_pb2,
    trial_pb2_grpc,
)
from onnx import TensorProto, helper

DEVICE = "board1"


def ordinary_environment() -> dict[str, str]:
    """The environment of an agent as a service manager starts it: it keeps its compiled code for the next start."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@dataclass
class AgentProcess:
    """`edgesweep-agent serve` as a process; `start` waits for the line that says where it listens."""

    state_dir: Path
    trust: list[str]
    extra: list[str] = field(default_factory=list)
    listen: str = "127.0.0.1:0"
    process: subprocess.Popen[str] | None = None
    address: str = ""

    def command(self) -> list[str]:
        serve = ["serve", "--listen", self.listen, "--state-dir", str(self.state_dir), "--name", DEVICE]
        return [sys.executable, "-m", "edgesweep_agent", *serve, *self.trust, *self.extra]

    def start(self) -> AgentProcess:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with (self.state_dir / "agent.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=subprocess.PIPE, stderr=log, text=True, env=ordinary_environment()
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, (self.state_dir / "agent.log").read_text()
        told = json.loads(line)
        assert told["pid"] == self.process.pid
        assert told["name"] == DEVICE
        self.address = told["listening"]
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        assert self.process.stdout
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.stdout.close()
        return self.process.wait(30)

    def log(self) -> str:
        return (self.state_dir / "agent.log").read_text()

    def running(self) -> dict[str, Any]:
        """What the journal says about the trial that runs."""
        (path,) = self.state_dir.glob("trials/*/running.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents that do not outlive the test."""
    started: list[AgentProcess] = []

    def start(*trust: str, state: str = "state", **options: Any) -> AgentProcess:
        agent = AgentProcess(tmp_path / state, list(trust) or ["--insecure"], **options)
        started.append(agent)
        return agent.start()

    yield start
    for agent in started:
        if agent.process and agent.process.poll() is None:
            agent.stop()


@pytest.fixture(scope="session")
def build_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds a shared library from a C file of this folder, with the machine's own compiler."""
    compiler = shutil.which("cc")
    folder = tmp_path_factory.mktemp("libraries")

    def build(source: str, name: str, *flags: str) -> Path:
        if compiler is None:
            pytest.skip(f"NO C COMPILER HERE: what {source} does was not tried")
        library = folder / f"lib{name}.so"
        strict = ("-Wall", "-Wextra", "-Werror")
        command = [compiler, "-shared", "-fPIC", *strict, *flags, "-o", library, Path(__file__).with_name(source)]
        subprocess.run(command, check=True)
        return library

    return build


class Lab:
    """A certificate authority with a board's folder and controllers' certificates."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.tls_dir = folder / "tls"
        self.tls_dir.mkdir(parents=True)
        issued = self.ca.issue_cert(f"{DEVICE}.edgesweep")
        self.ca.cert_pem.write_to_path(self.tls_dir / "ca.pem")
        issued.private_key_pem.write_to_path(self.tls_dir / "key.pem")
        issued.cert_chain_pems[0].write_to_path(self.tls_dir / "cert.pem")
        self.device = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())

    def controller(self, name: str) -> tuple[bytes, bytes]:
        """Key and certificate of a controller; trustme issues no URI, so this signs with its CA's key."""
        authority = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), password=None)
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        uri = x509.UniformResourceIdentifier(f"edgesweep://controller/{name}")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(signer, hashes.SHA256())  # type: ignore[arg-type]
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private, certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.fixture
def other_lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "other")


class Client:
    """The generated stubs of one channel, with the few steps that every test needs."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.device = device_pb2_grpc.DeviceServiceStub(channel)
        self.leases = lease_pb2_grpc.LeaseServiceStub(channel)
        self.artifacts = artifact_pb2_grpc.ArtifactServiceStub(channel)
        self.trials = trial_pb2_grpc.TrialServiceStub(channel)
        self.runtimes = runtime_pb2_grpc.RuntimeServiceStub(channel)

    async def describe(self) -> Any:
        request = device_pb2.DescribeRequest(controller_version="0.1.0", protocol_version=PROTOCOL_VERSION)
        return await self.device.Describe(request, timeout=60)

    async def lease(self, owner: str = "anna", priority: int = 0) -> int:
        request = lease_pb2.AcquireRequest(owner=owner, ttl_s=600, priority=priority)
        return int((await self.leases.Acquire(request)).lease.fencing_number)

    async def push(self, content: bytes, number: int) -> Blob:
        blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
        await self.upload(blob, content, number)
        return blob

    async def upload(self, blob: Blob, content: bytes, number: int, offset: int = 0) -> int:
        header = artifact_pb2.UploadHeader(blob=to_proto(blob), offset=offset, fencing_number=number)

        async def parts() -> AsyncIterator[Any]:
            yield artifact_pb2.UploadRequest(header=header)
            for start in range(0, len(content), 1 << 19):
                yield artifact_pb2.UploadRequest(chunk=content[start : start + (1 << 19)])

        return int((await self.artifacts.Upload(parts())).received_bytes)

    async def announce(self, blob: Blob, number: int, offset: int = 0) -> None:
        """Sends an upload's header alone and waits for the answer.

        grpc.aio loses a refusal that comes while the client still writes, so that a test of a refusal must not write.
        """
        call = self.artifacts.Upload()
        header = artifact_pb2.UploadHeader(blob=to_proto(blob), offset=offset, fencing_number=number)
        await call.write(artifact_pb2.UploadRequest(header=header))
        await call

    async def submit(self, trial: Trial, number: int) -> Any:
        return (await self.trials.Submit(trial_pb2.SubmitRequest(trial=to_proto(trial), fencing_number=number))).state

    async def until(self, trial: Trial, state: Any, stage: Any = None) -> list[Any]:
        """All events up to the one that brings the trial into that state and stage."""
        seen = []
        watch = self.trials.Watch(trial_pb2.WatchRequest(run_id=trial.run_id))
        async for response in watch:
            seen.append(response.event)
            event = response.event
            if event.trial_id == trial.id and event.state == state and stage in (None, event.stage):
                watch.cancel()
                return seen
        raise AssertionError("the watch ended")

    async def fetch(self, run_id: str = "", after: int = 0) -> list[tuple[int, TrialResult, bytes]]:
        found: list[tuple[int, TrialResult, bytes]] = []
        async for part in self.trials.FetchResults(trial_pb2.FetchResultsRequest(run_id=run_id, after_cursor=after)):
            if part.WhichOneof("part") == "header":
                found.append((part.header.cursor, from_proto(TrialResult, part.header.result), b""))
            else:
                cursor, result, samples = found[-1]
                found[-1] = (cursor, result, samples + part.samples_chunk)
        return found

    async def run(self, trial: Trial, number: int) -> tuple[int, TrialResult, bytes]:
        await self.submit(trial, number)
        await self.until(trial, trial_pb2.TRIAL_STATE_FINISHED)
        return next(found for found in await self.fetch(trial.run_id) if found[1].trial_id == trial.id)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Client]]:
    """Channels that are closed when the test ends: plain ones, or with a lab's CA and some certificate."""
    channels: list[Any] = []

    def open_channel(address: str, ca: bytes = b"", pair: tuple[bytes, bytes] | None = None) -> Client:
        if ca:
            key, certificate = pair or (None, None)
            credentials = grpc.ssl_channel_credentials(ca, key, certificate)
            options = [("grpc.ssl_target_name_override", f"{DEVICE}.edgesweep")]
            channels.append(grpc.aio.secure_channel(address, credentials, options=options))
        else:
            channels.append(grpc.aio.insecure_channel(address))
        return Client(channels[-1])

    yield open_channel
    for channel in channels:
        await channel.close()


@dataclass(frozen=True)
class Work:
    """A small model with its input and reference, as blobs' contents, and trials of it."""

    model: bytes
    x: bytes
    y: bytes

    @property
    def contents(self) -> tuple[bytes, ...]:
        return (self.model, self.x, self.y)

    def trial(self, runtime_id: str, *, number: int = 0, run_id: str = "run", **changes: Any) -> Trial:
        def blob(content: bytes) -> Blob:
            return Blob(hashlib.sha256(content).hexdigest(), len(content))

        fields: dict[str, Any] = {
            "id": f"{run_id}/key/{number}/1",
            "run_id": run_id,
            "cell_key": "key",
            "cell_name": "board1/relu",
            "round": number,
            "attempt": 1,
            "artifact": Manifest(blob(self.model)),
            "inputs": (Tensor("x", blob(self.x), "float32", (2, 3)),),
            "references": (Tensor("y", blob(self.y), "float32", (2, 3)),),
            "tolerance": Tolerance(),
            "runtime_id": runtime_id,
            "providers": (Provider("CPUExecutionProvider"),),
            "session": SessionOptions(),
            "protocol": Protocol(warmup_min_s=0.01, min_inferences=50, min_duration_s=0.02, max_duration_s=0.2),
            "deadlines_s": {"": 60.0},
        }
        return Trial(**(fields | changes))

    def long_trial(self, runtime_id: str) -> Trial:
        """One that measures for minutes, so that something can happen to it."""
        protocol = Protocol(min_duration_s=300.0, max_duration_s=300.0, max_inferences=1 << 31)
        return self.trial(runtime_id, protocol=protocol, deadlines_s={"": 600.0})


@pytest.fixture(scope="session")
def work() -> Work:
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)

    def npy(array: Any) -> bytes:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        return stream.getvalue()

    return Work(model.SerializeToString(), npy(x), npy(np.maximum(x, 0)))


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Status, catalogue code and sentence of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    metadata = dict(error.value.trailing_metadata() or ())
    return error.value.code(), str(metadata.get("edgesweep-code", "")), error.value.details() or ""


@pytest.fixture(name="refused")
def refused_fixture() -> Callable[[Any], Any]:
    return refused


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(name="wait_until_gone")
def wait_until_gone_fixture() -> Callable[[int], None]:
    def wait(pid: int) -> None:
        """Block until the process is gone: on its own descriptor, not by looking again and again."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            import select

            assert select.select([descriptor], [], [], 30)[0], f"process {pid} is still there"
        finally:
            os.close(descriptor)
        assert not alive(pid)

    return wait
