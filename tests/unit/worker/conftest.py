"""Drives the worker as the agent does: its own folder, its own process, a job on stdin, events on a pipe.

Free of anything newer than Python 3.8, because the suite also runs there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the tests import onnxruntime themselves

SOURCE = Path(__file__).resolve().parents[3] / "agent" / "src"
if str(SOURCE) not in sys.path:
    sys.path.insert(0, str(SOURCE))  # an old interpreter under test has the worker not installed

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT

CPU = "CPUExecutionProvider"
QUICK = {"warmup_min_runs": 3, "warmup_min_s": 0.001, "min_inferences": 20, "min_duration_s": 0.01}


class Ended:
    """What a worker said until its pipe closed."""

    def __init__(self, lines, status, stdout, stderr):
        self.events = [json.loads(line) for line in lines]
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.stages = [event["stage"] for event in self.events if event["event"] == "stage"]
        self.facts = {}
        for event in self.events:
            if event["event"] == "facts":
                self.facts.update({key: value for key, value in event.items() if key != "event"})
        self.end = self.events[-1] if self.events and self.events[-1]["event"] == "end" else None

    @property
    def verdict(self):
        return self.end["outcome"], self.end["stage"], self.end["cause"]

    @property
    def tags(self):
        return self.facts.get("tags", [])


class Started:
    """A worker that runs."""

    def __init__(self, process, reader):
        self.process = process
        self.reader = reader
        self.lines = []

    def read_until_stage(self, stage):
        for line in self.reader:
            self.lines.append(line)
            if json.loads(line).get("stage") == stage:
                return
        raise AssertionError("the worker ended before stage " + stage)

    def finish(self):
        self.lines += self.reader.readlines()
        self.reader.close()
        stdout, stderr = self.process.communicate()
        return Ended(self.lines, self.process.returncode, stdout, stderr.decode(errors="replace"))


class Workshop:
    """A copy of the worker as the agent lays it out, and the means to start it."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(
            str(SOURCE / "edgesweep_worker"),
            str(folder / "edgesweep_worker"),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.copy(str(SOURCE / "edgesweep_worker" / "run.py"), str(folder / "run.py"))

    def command(self, fd, interpreter=sys.executable, parent=None):
        parent = os.getpid() if parent is None else parent
        return [interpreter, "-I", str(self.folder / "run.py"), "--events-fd", str(fd), "--parent", str(parent)]

    def start(self, job, interpreter=sys.executable, parent=None, env=None):
        reader, writer = os.pipe()
        process = subprocess.Popen(
            self.command(writer, interpreter, parent),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[writer],
            env=env,
        )
        os.close(writer)
        text = job if isinstance(job, bytes) else json.dumps(job).encode()
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        return Started(process, os.fdopen(reader))

    def run(self, job, interpreter=sys.executable, parent=None, env=None):
        return self.start(job, interpreter, parent, env).finish()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("worker"))


@pytest.fixture
def own_workshop(tmp_path):
    """A copy that a test may put broken things into."""
    folder = tmp_path / "worker"
    folder.mkdir()
    return Workshop(folder)


def _shadow_onnxruntime(workshop, patch):
    """Put a package before the real one that changes it: how a broken runtime is had without one."""
    folder = workshop.folder / "onnxruntime"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import sys, importlib\n"
        "own = sys.path.pop(0)\n"
        "del sys.modules['onnxruntime']\n"
        "real = importlib.import_module('onnxruntime')\n"
        "sys.path.insert(0, own)\n" + patch
    )


@pytest.fixture
def shadow_onnxruntime():
    """Puts a changed onnxruntime into a workshop of the test's own."""
    return _shadow_onnxruntime


class Bench:
    """Models and jobs in a folder of the test."""

    def __init__(self, folder):
        self.folder = folder
        self.samples = folder / "samples.bin"

    def save(self, name, nodes, inputs, outputs, initializers=(), opset=13, ir=7):
        """Write a model; `inputs` and `outputs` are shapes by name, or (element type, shape)."""
        graph = helper.make_graph(nodes, "g", _infos(inputs), _infos(outputs), list(initializers))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = ir
        path = self.folder / (name + ".onnx")
        path.write_bytes(model.SerializeToString())
        return path

    def affine(self, opset=13, ir=7, batch=2):
        """y = relu(x @ w + b), of `batch` rows."""
        weights = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
        bias = np.array([0.5, -3.0, 0.25], dtype=np.float32)
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["m"], name="multiply"),
            helper.make_node("Add", ["m", "b"], ["s"], name="add"),
            helper.make_node("Relu", ["s"], ["y"], name="clip"),
        ]
        tensors = [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(bias, "b")]
        path = self.save("affine", nodes, {"x": [batch, 4]}, {"y": [batch, 3]}, tensors, opset, ir)
        x = np.linspace(-1, 1, 2 * 4, dtype=np.float32).reshape(2, 4)
        return SimpleNamespace(path=path, x=x, y=np.maximum(x @ weights + bias, 0))

    def array(self, name, value):
        path = self.folder / (name + ".npy")
        np.save(str(path), value, allow_pickle=False)
        return {"name": name, "path": str(path)}

    def job(self, path, inputs, references=None, providers=(CPU,), **parts):
        job = {
            "kind": "trial",
            "model_path": str(path),
            "inputs": [self.array(name, value) for name, value in inputs.items()],
            "references": [self.array(name, value) for name, value in (references or {}).items()],
            "tolerance": {"absolute": 1e-4, "relative": 1e-3, "sqnr_db": None},
            "providers": [{"name": name, "options": {}} for name in providers],
            "session": {"intra_op_threads": 1, "inter_op_threads": 1, "graph_optimization": "all"},
            "samples_path": str(self.samples),
            "protocol": dict(QUICK),
        }
        for key, value in parts.items():
            job[key] = dict(job[key], **value) if isinstance(value, dict) else value
        return job

    def good_job(self, **parts):
        model = self.affine()
        return self.job(model.path, {"x": model.x}, {"y": model.y}, **parts)


def _infos(shapes):
    infos = []
    for name, shape in shapes.items():
        kind, sizes = shape if isinstance(shape, tuple) else (FLOAT, shape)
        infos.append(helper.make_tensor_value_info(name, kind, sizes))
    return infos


@pytest.fixture
def bench(tmp_path):
    folder = tmp_path / "bench"
    folder.mkdir()
    return Bench(folder)
