"""Fixtures of the agent's own tests: a hand-made model, trials, and an interpreter that does what a test needs."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from edgesweep_agent.interpreters import Interpreter
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.runtimes import RuntimeBook
from edgesweep_agent.server import Agent
from edgesweep_agent.settings import Settings
from edgesweep_agent.worker_package import install_worker
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.trial import Protocol, Provider, SessionOptions, Tolerance, Trial

#: Stands where a runtime's interpreter stands. What it does with a trial is the name of the first provider.
FAKE_PYTHON = """#!{python} -IS
import json, os, signal, sys, time

if "-c" in sys.argv:
    print(json.dumps({{"path": [], "distributions": [["onnxruntime", "9.9.9"]], "python": [3, 11]}}))
    sys.exit(0)
fd = int(sys.argv[sys.argv.index("--events-fd") + 1])

def tell(**event):
    os.write(fd, json.dumps(event).encode() + b"\\n")

job = json.load(sys.stdin)
if job["kind"] == "probe":
    tell(event="end", runtime={{"version": "9.9.9", "build_info": "fake", "python_version": "3.11.0",
        "numpy_version": "2", "listed_providers": ["CPUExecutionProvider"],
        "providers": [{{"name": "CPUExecutionProvider", "nodes": 1, "message": ""}}], "harness_floor_s": 1e-6,
        "call": "raw_binding", "call_costs_s": {{"raw_binding": 1.5e-6, "binding": 1e-6, "run": 4e-6}}}})
    sys.exit(0)
what = job["providers"][0]["name"]
if job["kind"] == "placement":
    sys.stderr.write("placing words\\n")
    sys.stderr.flush()
    if what.startswith("placing:"):
        os.kill(os.getpid(), getattr(signal, what.partition(":")[2]))
    tell(event="facts", tags=["placed"], placement={{"method": "profile", "hash": "0" * 64, "shares": [
        {{"provider": what, "nodes": 2, "time_share": 0.75, "subgraphs": 1, "operators": {{"Relu": 2}}}}]}})
    tell(event="end", outcome="pass", stage="placement")
    sys.exit(0)
tell(event="stage", stage="load", at=time.time())
tell(event="facts", cold_start={{"import_s": 0.1, "session_s": 0.2, "first_run_s": 0.3, "second_run_s": 0.1}})
tell(event="facts", memory=[{{"phase": "session_peak", "size_bytes": 5, "method": "vmhwm"}}], tags=["one"])
tell(event="stage", stage="measure", at=time.time())
sys.stderr.write("last words\\n")
sys.stderr.flush()
if what.startswith("signal:"):
    os.kill(os.getpid(), getattr(signal, what.partition(":")[2]))
    time.sleep(60)
elif what == "half":
    os.write(fd, b'{{"event": "fa')
    os.kill(os.getpid(), signal.SIGSEGV)
elif what == "hang":
    if os.fork() == 0:
        signal.pause()
    signal.pause()
elif what == "garbage":
    os.write(fd, b"Segmentation fault (core dumped)\\n")
    signal.pause()
elif what == "bad_fact":
    tell(event="facts", cold_start={{"import_s": "soon"}})
    signal.pause()
elif what == "exit":
    sys.exit(3)
elif what == "close":
    os.close(fd)
    signal.pause()
elif what.startswith("read:"):
    tell(event="end", outcome="failed", stage="load", cause="load_error", message=open(what[5:]).read())
elif what.startswith("write:"):
    path, _, text = what[6:].partition("=")
    open(path, "w").write(text)
    tell(event="end", outcome="failed", stage="load", cause="load_error", message="written")
elif what == "no_outcome":
    tell(event="end", outcome="splendid")
elif what == "short_samples":
    open(job["samples_path"], "wb").write(b"12345678")
    tell(event="facts", samples={{"warmup_count": 1, "measured_count": 1, "batch": 1, "stop_reason": "cap"}})
    tell(event="end", outcome="pass", stage="placement")
elif what == "disk_full":
    tell(event="end", outcome="interrupted", stage="measure", cause="disk_full", message="no room", evidence="")
elif what == "interrupted":
    tell(event="end", outcome="interrupted", stage="measure")
elif what == "fail":
    tell(event="end", outcome="failed", stage="verify", cause="wrong_output", message="y differs", evidence="")
else:
    open(job["samples_path"], "wb").write(b"\\1\\0\\0\\0\\0\\0\\0\\0" * 3)
    tell(event="facts", samples={{"warmup_count": 1, "measured_count": 2, "batch": 1, "stop_reason": "floors"}})
    tell(event="facts", memory=[{{"phase": "retained", "size_bytes": 7, "method": "vmhwm"}}], tags=["one", "two"])
    tell(event="facts", environment=dict(os.environ), news="from a newer worker")
    tell(event="a_newer_event")
    if what == "environment":
        tell(event="end", outcome="failed", stage="load", cause="load_error", message=json.dumps(dict(os.environ)))
    elif what == "job":
        tell(event="facts", threads={{"cluster": [3], "pinned": True}}, arena={{"held_bytes": 9, "method": "profile"}})
        tell(event="end", outcome="failed", stage="load", cause="load_error", message=json.dumps(job))
    elif what == "linger":
        tell(event="end", outcome="pass", stage="placement")
        if os.fork() == 0:
            signal.pause()
    else:
        tell(event="end", outcome="pass", stage="placement", cause="", message="", evidence="")
"""


def field(number: int, value: int | bytes) -> bytes:
    """One protobuf field."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def onnx_model(*, locations: tuple[str, ...] = ()) -> bytes:
    """A model of one Relu from x to y, with an initializer for each external location."""

    def value_info(name: bytes) -> bytes:
        shape = field(1, field(2, b"batch")) + field(1, field(1, 3)) + field(1, b"")
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Relu")) + field(2, b"g")
    for location in locations:
        entry = field(1, b"location") + field(2, location.encode())
        graph += field(5, field(8, b"w" + location.encode()) + field(13, entry) + field(14, 1))
    graph += field(11, value_info(b"x")) + field(12, value_info(b"y"))
    return field(1, 10) + field(7, graph) + field(8, field(1, b"") + field(2, 17))


@pytest.fixture
def build_model() -> Callable[..., bytes]:
    return onnx_model


@pytest.fixture
def protobuf_field() -> Callable[[int, int | bytes], bytes]:
    return field


@pytest.fixture(scope="session")
def fake_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fake") / "python"
    path.write_text(FAKE_PYTHON.format(python=sys.executable))
    path.chmod(0o755)
    return path


def blob_of(content: bytes) -> Blob:
    return Blob(hashlib.sha256(content).hexdigest(), len(content))


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    """Trials that differ in what the fake interpreter does with them."""

    def make(what: str = "pass", *, number: int = 0, run_id: str = "run", model: bytes | None = None) -> Trial:
        return Trial(
            id=f"{run_id}/{what}/{number}/1",
            run_id=run_id,
            cell_key=what,
            cell_name=f"board/{what}",
            round=number,
            attempt=1,
            artifact=Manifest(blob_of(onnx_model() if model is None else model)),
            inputs=(),
            references=(),
            tolerance=Tolerance(),
            runtime_id="fake",
            providers=(Provider(what),),
            session=SessionOptions(),
            protocol=Protocol(),
            deadlines_s={"": 60.0},
        )

    return make


@pytest.fixture
def settings(tmp_path: Path, fake_python: Path) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=0,
        state_dir=tmp_path / "state",
        tls_dir=None,
        name="board",
        runtimes=(Interpreter(str(fake_python), "fake"),),
        max_blob_bytes=1 << 20,
        # A board without sensors: what else runs on this machine is not these tests' business.
        sysroot=tmp_path / "bare",
    )


@pytest.fixture(scope="session")
def probed(fake_python: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an agent remembers of the fake interpreter, so that not every test has to probe it."""
    state_dir = tmp_path_factory.mktemp("probed")
    book = RuntimeBook((Interpreter(str(fake_python), "fake"),), state_dir, install_worker(state_dir), Quiet())
    asyncio.run(book.all())
    return (state_dir / "runtimes.json").read_bytes()


@pytest.fixture
async def agent(settings: Settings, probed: bytes) -> AsyncIterator[Agent]:
    """An agent without a server, holding the hand-made model."""
    settings.state_dir.mkdir()
    (settings.state_dir / "runtimes.json").write_bytes(probed)
    agent = Agent(settings)
    store_blob(agent, onnx_model())
    yield agent
    await agent.stop()


def store_blob(agent: Agent, content: bytes) -> Blob:
    blob = blob_of(content)
    path = agent.blobs.path(blob.sha256)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return blob


@pytest.fixture
def put_blob() -> Callable[[Agent, bytes], Blob]:
    return store_blob
