"""Workers forked from a process that has the runtime loaded: each ends as a fresh one does, and the server outlives it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from edgesweep_agent.fork_server import ForkServer, ForkServers, UnfitError
from edgesweep_agent.worker_package import install_worker
from edgesweep_agent.worker_process import Ending, WorkerStartError, run_worker

# A forked worker needs a runtime; the agent by itself has none.
np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, TensorProto = onnx.helper, onnx.TensorProto

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def save(path: Path, nodes: list[Any], outputs: list[Any], initializers: tuple[Any, ...] = ()) -> Path:
    inputs = [helper.make_tensor_value_info("x", FLOAT, [4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def doubling(folder: Path) -> Path:
    y = helper.make_tensor_value_info("y", FLOAT, [4])
    return save(folder / "doubling.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], [y])


def endless(folder: Path) -> Path:
    """A loop that does not end within the life of a test."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["more"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, [4]),
        ],
        [helper.make_tensor_value_info("more", BOOL, []), helper.make_tensor_value_info("w", FLOAT, [4])],
    )
    trips = helper.make_tensor("trips", INT64, [], [2**62])
    y = helper.make_tensor_value_info("y", FLOAT, [4])
    return save(
        folder / "endless.onnx", [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)], [y], (trips,)
    )


def greedy(folder: Path) -> Path:
    """An output of 4 GB."""
    shape = helper.make_tensor("shape", INT64, [1], [2**30])
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["big"]), helper.make_node("ReduceSum", ["big"], ["y"])]
    y = helper.make_tensor_value_info("y", FLOAT, [1])
    return save(folder / "greedy.onnx", nodes, [y], (shape,))


class Bench:
    """Jobs in a folder, run by a fork server or in a fresh process."""

    def __init__(self, folder: Path, servers: ForkServers, run_py: Path) -> None:
        self.folder = folder
        self.servers = servers
        self.run_py = run_py
        self.events: list[dict[str, Any]] = []
        self.pids: list[int] = []

    def job(self, model: Path, y: Any = None, **parts: Any) -> dict[str, Any]:
        x = np.arange(4, dtype=np.float32)
        np.save(self.folder / "x.npy", x)
        reference = self.folder / ("y.npy" if y is None else "other.npy")
        np.save(reference, x + x if y is None else y)
        return {
            "kind": "trial",
            "model_path": str(model),
            "samples_path": str(self.folder / "samples.bin"),
            "inputs": [{"name": "x", "path": str(self.folder / "x.npy")}],
            "references": [{"name": "y", "path": str(reference)}],
            "protocol": {"untimed": True},
            "session": {"graph_optimization": "disabled"},
        } | parts

    def _listening(self, do: Callable[[int], None] | None, patience_s: float) -> dict[str, Any]:
        self.events.clear()

        def on_event(event: dict[str, Any]) -> None:
            self.events.append(event)
            if do is not None and event.get("stage") == "first_run":
                do(self.pids[-1])

        return {
            "folder": self.folder,
            "stderr_path": self.folder / "stderr.txt",
            "deadline_s": lambda: patience_s,
            "on_start": self.pids.append,
            "on_event": on_event,
        }

    async def fork(
        self, job: dict[str, Any], do: Callable[[int], None] | None = None, patience_s: float = 60.0, **who: str
    ) -> Ending:
        python, fingerprint = who.get("python", sys.executable), who.get("fingerprint", "")
        return await self.servers.run_worker(python, fingerprint, job, **self._listening(do, patience_s))

    async def fresh(
        self, job: dict[str, Any], do: Callable[[int], None] | None = None, patience_s: float = 60.0
    ) -> Ending:
        return await run_worker([sys.executable, "-I", str(self.run_py)], job, **self._listening(do, patience_s))

    @property
    def parent(self) -> int:
        """The server that the worker which has just started was forked from."""
        return int(Path(f"/proc/{self.pids[-1]}/stat").read_text().rpartition(")")[2].split()[1])

    @property
    def tags(self) -> list[str]:
        return [tag for event in self.events if event["event"] == "facts" for tag in event.get("tags", [])]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    run_py = install_worker(tmp_path)
    servers = ForkServers(run_py)
    yield Bench(tmp_path, servers, run_py)
    await servers.close()


def told(ending: Ending) -> tuple[Any, ...]:
    end = ending.end or {}
    return (
        ending.exit_code, ending.signal, ending.timed_out_s, ending.broken,
        end.get("outcome"), end.get("stage"), end.get("cause"), end.get("message"),
    )  # fmt: skip


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def another_python(folder: Path) -> str:
    """This environment under another name, as another runtime is."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder)
    return str(folder / "bin" / "python")


async def test_whatever_becomes_of_a_fork_is_told_as_of_a_fresh_process_and_the_server_lives(bench: Bench) -> None:
    right, wrong = bench.job(doubling(bench.folder)), bench.job(doubling(bench.folder), y=np.zeros(4, np.float32))
    hanging, greed = bench.job(endless(bench.folder)), bench.job(greedy(bench.folder), memory_limit_bytes=1 << 30)
    parents: set[int] = set()

    def crash(pid: int) -> None:
        os.kill(pid, signal.SIGSEGV)

    trials: list[tuple[dict[str, Any], Callable[[int], None] | None, float, tuple[Any, ...]]] = [
        (right, None, 60.0, ("pass", "placement")),
        (wrong, None, 60.0, ("failed", "verify", "wrong_output")),
        (hanging, crash, 60.0, (signal.SIGSEGV,)),
        (hanging, None, 1.0, (1.0,)),
        (greed, None, 60.0, ("failed", "first_run", "oom")),
        ({"kind": "dance"}, None, 60.0, ("failed", "load", "worker_protocol")),
        (right, None, 60.0, ("pass", "placement")),
    ]
    for job, do, patience_s, expected in trials:
        forked = await bench.fork(job, do or (lambda _: parents.add(bench.parent)), patience_s)
        assert "forked" in bench.tags
        assert not exists(bench.pids[-1])
        assert set(expected) <= set(told(forked)), forked
        fresh = await bench.fresh(job, do, patience_s)
        assert "forked" not in bench.tags
        assert told(fresh) == told(forked)
    assert len(parents) == 1


async def test_when_the_server_is_killed_its_worker_goes_too_says_nothing_of_the_model_and_the_next_has_a_new_one(
    bench: Bench,
) -> None:
    servers = []

    def kill(_pid: int) -> None:
        servers.append(bench.parent)
        os.kill(bench.parent, signal.SIGKILL)

    with pytest.raises(WorkerStartError, match="forked from ended while the trial ran"):
        await bench.fork(bench.job(endless(bench.folder)), kill)
    right = bench.job(doubling(bench.folder))
    ending = await bench.fork(right, lambda _: servers.append(bench.parent))
    assert ending.end is not None
    assert ending.end["outcome"] == "pass"
    assert len(set(servers)) == 2


async def test_a_fork_that_is_cancelled_in_the_moment_in_which_it_comes_leaves_nothing_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, faults = bench.job(doubling(bench.folder)), []
    await bench.fork(right)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    before, take = open_descriptors(), ForkServer._take

    def cancel(self: ForkServer, message: dict[str, Any]) -> None:
        take(self, message)
        if "forked" in message:
            task.cancel()

    monkeypatch.setattr(ForkServer, "_take", cancel)
    task = asyncio.ensure_future(bench.fork(right))
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    ending = await bench.fork(right)
    assert (ending.end or {})["outcome"] == "pass"
    assert (faults, open_descriptors()) == ([], before)


async def test_each_runtime_has_its_server_and_a_changed_one_a_new_server(bench: Bench) -> None:
    other = another_python(bench.folder / "other")
    seen = []
    for python, fingerprint in (
        (sys.executable, "a"), (other, "a"), (sys.executable, "a"), (sys.executable, "b"),
    ):  # fmt: skip
        await bench.fork(
            bench.job(doubling(bench.folder)),
            lambda _: seen.append(bench.parent),
            python=python,
            fingerprint=fingerprint,
        )
    assert seen[2] == seen[0]
    assert len(set(seen)) == 3
    assert not exists(seen[0])


async def test_a_server_that_nobody_needs_ends(tmp_path: Path) -> None:
    run_py = install_worker(tmp_path)
    bench = Bench(tmp_path, ForkServers(run_py, idle_s=0), run_py)
    seen: list[int] = []
    await bench.fork(bench.job(doubling(tmp_path)), lambda _: seen.append(os.pidfd_open(bench.parent)))
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    loop.add_reader(seen[0], lambda: gone.done() or gone.set_result(None))
    await gone
    loop.remove_reader(seen[0])
    os.close(seen[0])
    await bench.servers.close()


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "started threads"),
        ("sys.modules['onnxruntime'] = None", "ModuleNotFoundError"),
        ("os._exit(3)", "the process that loads the runtime ended"),
    ],
)
async def test_a_runtime_that_cannot_be_forked_from_says_why(tmp_path: Path, trouble: str, why: str) -> None:
    run_py = install_worker(tmp_path)
    run_py.write_text(f"import os, sys\n{trouble}\n{run_py.read_text()}")
    bench = Bench(tmp_path, ForkServers(run_py), run_py)
    for _ in range(2):
        with pytest.raises(UnfitError, match=why):
            await bench.fork(bench.job(doubling(tmp_path)))
    assert bench.pids == []
    await bench.servers.close()
