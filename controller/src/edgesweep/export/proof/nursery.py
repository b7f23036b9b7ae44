"""Throwaway processes without the wait: one process imports onnxruntime once and forks for every proof.

It holds no threads and no session when it forks, so a child is as clean as a fresh process; a crash in a child is an
answer, and a process that does not answer in time is killed with its child and replaced.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

#: How much of a proof's stderr is kept as evidence.
TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Ended:
    """How one proof's process ended: its status (negative for a signal), its answer if it gave one, its last words."""

    status: int
    answer: dict[str, Any] | None
    stderr: str


class Nursery:
    """Asks the forking process, which is started when it is first needed and again when it is gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._owner = 0

    def open(self) -> None:
        """Have the process up, so that the next proof need not wait for it."""
        if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
            self.close()
            self._start()

    def ask(self, job: dict[str, Any], timeout_s: float) -> Ended:
        """Have a process of its own serve `job`.

        Args:
            job: What `process.prove` understands.
            timeout_s: How long it may take.

        Raises:
            TimeoutError: It took longer, and was killed.
        """
        self.open()
        process, stderr = self._process, self._stderr
        if process is None or process.stdin is None or process.stdout is None or stderr is None:
            raise ValueError("the process was not started")
        line = b""
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            try:
                line = _read_line(process.stdout, timeout_s)
            except TimeoutError:
                self.close()
                raise
        if line:
            told = json.loads(line)
            if told["last"]:
                self.close()
            return Ended(told["status"], told["answer"], told["stderr"])
        status = process.wait()
        words = tail_of(stderr)
        self.close()
        return Ended(status, None, words)

    def close(self) -> None:
        """End the process, and with it the proof that it may be waiting for."""
        process, stderr, self._process, self._stderr = self._process, self._stderr, None, None
        if process is not None:
            if self._owner == os.getpid():
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        if stderr is not None:
            stderr.close()

    def _start(self) -> None:
        command = [sys.executable, "-I", "-m", "edgesweep.export.proof.process", str(os.getpid())]
        environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=environment
        )
        self._owner = os.getpid()


def tail_of(file: IO[bytes]) -> str:
    """The last part of what was written to `file`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    return file.read().decode(errors="replace")


def _read_line(pipe: IO[bytes], timeout_s: float) -> bytes:
    """One line with its end; nothing when the other side is gone.

    Raises:
        TimeoutError: No whole line came in time.
    """
    ends = time.monotonic() + timeout_s
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(0.0, ends - time.monotonic())):
                raise TimeoutError
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                return b""
            found += chunk
    return bytes(found)


#: The one of this process. Proofs in a worker come one after the other.
NURSERY = Nursery()
atexit.register(NURSERY.close)
