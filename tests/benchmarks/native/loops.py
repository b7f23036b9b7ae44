"""Loops in processes of their own that stay alive and sleep while another one is timed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from edgesweep_agent.worker_process import worker_environment
from native.models import BenchModel
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Block:
    """One timed block: ns of each sample of `batch` calls in order, and how often the process lost its CPU."""

    samples_ns: NDArray[np.int64]
    batch: int
    switches: int


class Loop:
    """A process that times one model on order; used as a context manager."""

    def __init__(self, command: Sequence[str], first_line: str = "") -> None:
        # The environment of a worker: it decides how memory is laid out and that the runtime stays silent.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(dict(os.environ)) | {"OPENBLAS_NUM_THREADS": "1"},
        )
        try:
            self.ready = self._ask(first_line).split()[1:]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def block(self, duration_s: float, batch: int) -> Block:
        """Calls for so long, `batch` of them in one sample."""
        count, switches = map(int, self._ask(f"block {int(duration_s * 1e9)} {batch}\n").split())
        return Block(np.frombuffer(self._read(8 * count), dtype=np.int64), batch, switches)

    def outputs(self) -> NDArray[np.float32]:
        """All outputs of a run, flat, one after the other."""
        return np.frombuffer(self._read(int(self._ask("outputs\n"))), dtype=np.float32)

    def hold(self, cpus: Sequence[int]) -> None:
        """Hold the calling thread to the first of `cpus` and each other thread to one of the others."""
        if cpus:
            for task, cpu in zip(self.tasks(), cpus, strict=True):
                os.sched_setaffinity(task, {cpu})

    def tasks(self) -> list[int]:
        """Kernel ids of its threads in the order of their start, the calling one first."""
        pid = self._process.pid
        return sorted(
            (int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()), key=lambda task: (task != pid, task)
        )

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.kill()
        self._process.wait()

    def _ask(self, words: str) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the loop has no pipes")
        self._process.stdin.write(words.encode())
        self._process.stdin.flush()
        line = self._process.stdout.readline().decode()
        if not line:
            sys.exit(f"a loop ended with exit status {self._process.wait()}; its words are above")
        return line

    def _read(self, size: int) -> bytes:
        if self._process.stdout is None:
            raise RuntimeError("the loop has no pipes")
        return self._process.stdout.read(size)


def runtime_library() -> Path:
    """The `libonnxruntime.so` in the installed wheel.

    Raises:
        FileNotFoundError: the wheel has none; some vendors build it into the Python module.
    """
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    found = sorted(folder.glob("libonnxruntime.so*"))
    if not found:
        raise FileNotFoundError(f"no libonnxruntime.so in {folder}; install the plain onnxruntime wheel")
    return found[0]


def compile_c_loop(folder: Path) -> Path:
    """Compile c_loop.c with the system's C compiler, $CC or the first of cc, gcc and clang.

    Raises:
        FileNotFoundError: there is no C compiler.
        RuntimeError: it refused; with its own words.
    """
    compiler = c_compiler()
    if compiler is None:
        raise FileNotFoundError("no C compiler: install gcc or clang, or name one in CC; the C loop is made with it")
    program = folder / "c_loop"
    words = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(program), str(HERE / "c_loop.c"), "-ldl"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"{compiler} could not compile c_loop.c: {done.stderr.strip()[-2000:]}")
    return program


def c_compiler() -> str | None:
    """The C compiler that is here, if any."""
    named = os.environ.get("CC")
    return next(
        (found for name in ([named] if named else ["cc", "gcc", "clang"]) if (found := shutil.which(name))), None
    )


def c_loop(program: Path, model: BenchModel, threads: int, cpus: Sequence[int] = ()) -> Loop:
    """The C loop on `model`, its threads held to `cpus` as the worker holds its own; without any to none."""
    words = [str(program), str(runtime_library()), str(model.path), str(threads)]
    for name, array in model.inputs.items():
        raw = model.path.with_name(f"{model.name}.{name}.raw")
        array.tofile(raw)
        words.append(f"in:{name}:{_sizes(array.shape)}:{raw}")
    words += [f"out:{name}:{_sizes(shape)}:" for name, shape in model.outputs.items()]
    loop = Loop(words)
    loop.hold(cpus)
    return loop


def our_loop(model: BenchModel, threads: int, cpus: Sequence[int] = ()) -> Loop:
    """The worker's loop on `model`; `ready` holds the calls of one sample and the way of calling."""
    job = worker_job(model, threads) | {"cpus": list(cpus)}
    return Loop([sys.executable, str(HERE / "our_loop.py")], json.dumps(job) + "\n")


def worker_job(model: BenchModel, threads: int) -> dict[str, object]:
    """The job of a trial of `model`, as the agent would hand it to a worker."""
    files = []
    for name, array in model.inputs.items():
        path = model.path.with_name(f"{model.name}.{name}.npy")
        np.save(path, array, allow_pickle=False)
        files.append({"name": name, "path": str(path)})
    return {
        "kind": "trial",
        "model_path": str(model.path),
        "samples_path": str(model.path.with_name(f"{model.name}.samples")),
        "inputs": files,
        "session": {"intra_op_threads": threads},
    }


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
