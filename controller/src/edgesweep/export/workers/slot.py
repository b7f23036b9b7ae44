"""Export workers that may hang, crash or be killed without anyone else noticing.

One process and one socket per slot, each in a process group of its own. (A `ProcessPoolExecutor` is broken as a whole by
one `os._exit`, and cannot kill a task that hangs.)
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.memory import used_bytes

#: How much of a worker's stderr is kept as evidence.
_TAIL_BYTES = 64 << 10
#: An answer is one line; a result with a long exporter traceback must fit.
_LINE_MAX_BYTES = 64 << 20
#: Importing torch from a cold disk is slow and is nobody's fault; it does not count against a job.
_IMPORT_TIMEOUT_S = 300.0


class WorkerTimeoutError(Exception):
    """A job passed its deadline during `step`; its process tree was killed."""

    def __init__(self, step: str, evidence: str) -> None:
        super().__init__(step)
        self.step = step
        self.evidence = evidence


class WorkerDiedError(Exception):
    """A worker ended under its job. `status` is negative for a signal; `killed_for_memory` is the kernel's word."""

    def __init__(self, step: str, status: int, evidence: str, *, killed_for_memory: bool) -> None:
        super().__init__(step)
        self.step = step
        self.status = status
        self.evidence = evidence
        self.killed_for_memory = killed_for_memory

    @property
    def how(self) -> str:
        """`SIGSEGV`, or `exit status 3`."""
        if self.status >= 0:
            return f"exit status {self.status}"
        with suppress(ValueError):
            return signal.Signals(-self.status).name
        return f"signal {-self.status}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may take. `timeout_s` covers factory and export.

    `memory_bytes` is address space; without it a job may take what the host has to spare. `proof` tells whether an
    artifact is checked and proven at all.
    """

    timeout_s: float
    memory_bytes: int | None
    threads: int
    proof: bool = True


class _Process:
    """A running worker with its socket and the tail of its output."""

    def __init__(self, process: asyncio.subprocess.Process, scratch: Path) -> None:
        self.process = process
        self.scratch = scratch
        self.tail = bytearray()
        self.oom_kills = _oom_kills()
        self._drain = asyncio.create_task(self._read_output())
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def _read_output(self) -> None:
        output = self.process.stdout
        while output is not None and (chunk := await output.read(65536)):
            self.tail += chunk
            del self.tail[:-_TAIL_BYTES]

    def kill(self) -> None:
        """Send SIGKILL to the whole group, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def bury(self) -> int:
        """Kill what is left, wait for it, and remove its files; the exit status."""
        self.kill()
        status = await self.process.wait()
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()
        # A grandchild may hold the pipe open for a moment; its words are not worth a wait.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._drain), 0.5)
        self._drain.cancel()
        with suppress(asyncio.CancelledError):
            await self._drain
        shutil.rmtree(self.scratch, ignore_errors=True)
        return status


class Slot:
    """A place for one worker, started when there is work and replaced when it dies. Serves one job at a time."""

    def __init__(self, layout: Layout, limits: Limits) -> None:
        self._layout = layout
        self._limits = limits
        self._running: _Process | None = None
        self._next_id = 0
        self.lock = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether a worker is up, and so warm."""
        return self._running is not None

    def kill(self) -> None:
        """Kill the worker at once, without waiting for it; `close` tidies up."""
        if self._running is not None:
            self._running.kill()

    async def close(self) -> None:
        """Kill the worker and everything it started."""
        running, self._running = self._running, None
        if running is not None:
            await running.bury()

    @property
    def used_bytes(self) -> int:
        """Bytes of memory that the worker and what it started hold now."""
        return used_bytes(self._running.process.pid) if self._running is not None else 0

    async def ask(
        self,
        request: dict[str, Any],
        on_step: Callable[[str], None] | None = None,
        leave: Callable[[int], Awaitable[None]] | None = None,
    ) -> dict[str, Any]:
        """Have the worker serve `request`.

        Args:
            request: What `worker` understands.
            on_step: Told of every step that the worker announces.
            leave: Given the bytes of the model's weights, returns when the export may go on. No deadline runs meanwhile.

        Raises:
            WorkerTimeoutError: The deadline passed.
            WorkerDiedError: The worker ended without an answer.
            OSError: The host could not start a worker.
        """
        running = self._running or await self._start()
        self._next_id += 1
        message = {"id": self._next_id} | request
        steps = ["start"]
        try:
            async with asyncio.timeout(_IMPORT_TIMEOUT_S) as deadline:
                running.writer.write(json.dumps(message).encode() + b"\n")
                await running.writer.drain()
                return await self._answer(running, steps, deadline, on_step, leave)
        except TimeoutError:
            running.kill()
            evidence = await self._end(running)
            raise WorkerTimeoutError(steps[-1], evidence[1]) from None
        except (OSError, EOFError, ValueError):
            status, evidence_text = await self._end(running)
            raise WorkerDiedError(
                steps[-1], status, evidence_text, killed_for_memory=self._was_oom(running, status)
            ) from None
        except asyncio.CancelledError:
            running.kill()
            raise

    async def _answer(
        self,
        running: _Process,
        steps: list[str],
        deadline: asyncio.Timeout,
        on_step: Callable[[str], None] | None,
        leave: Callable[[int], Awaitable[None]] | None,
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        armed = False
        while True:
            line = await running.reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            answer: dict[str, Any] = json.loads(line)
            if answer["id"] != self._next_id:
                continue
            if "weights" in answer:
                await self._grant(running, deadline, leave, answer["weights"])
                continue
            if "step" not in answer:
                return answer
            steps.append(answer["step"])
            if answer["step"] == "import":
                armed = False
            elif not armed:
                armed = True
                deadline.reschedule(loop.time() + self._limits.timeout_s)
            if on_step is not None:
                on_step(answer["step"])

    @staticmethod
    async def _grant(
        running: _Process,
        deadline: asyncio.Timeout,
        leave: Callable[[int], Awaitable[None]] | None,
        weight_bytes: int,
    ) -> None:
        """Let the worker go on, when `leave` says so."""
        loop = asyncio.get_running_loop()
        left = max(0.0, (deadline.when() or loop.time()) - loop.time())
        if leave is not None:
            deadline.reschedule(None)
            await leave(weight_bytes)
            deadline.reschedule(loop.time() + left)
        running.writer.write(b"\n")
        await running.writer.drain()

    async def _start(self) -> _Process:
        self._layout.scratch.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        try:
            scratch = Path(tempfile.mkdtemp(dir=self._layout.scratch, prefix=f"worker-{os.getpid()}-"))
        except BaseException:
            ours.close()
            theirs.close()
            raise
        command = [sys.executable, "-P", "-m", "edgesweep.export.workers.main"]
        command += ["--fd", str(theirs.fileno()), "--parent", str(os.getpid())]
        command += ["--root", str(self._layout.root), "--scratch", str(scratch)]
        command += ["--proof-timeout", str(self._limits.timeout_s), "--threads", str(self._limits.threads)]
        command += ["--memory-bytes", str(self._limits.memory_bytes or 0)]
        command += [] if self._limits.proof else ["--no-proof"]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "ORT_DISABLE_TELEMETRY": "1"},
            )
        except BaseException:
            ours.close()
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        finally:
            theirs.close()
        running = _Process(process, scratch)
        running.reader, running.writer = await asyncio.open_connection(sock=ours, limit=_LINE_MAX_BYTES)
        self._running = running
        return running

    async def _end(self, running: _Process) -> tuple[int, str]:
        """The status and the last words of a worker that is dead or about to be."""
        self._running = None
        if running.process.returncode is None:
            # The socket closes a moment before the process ends by itself: its own status is worth that moment.
            with suppress(TimeoutError):
                await asyncio.wait_for(running.process.wait(), 1.0)
        status = await running.bury()
        return status, running.tail.decode(errors="replace")

    @staticmethod
    def _was_oom(running: _Process, status: int) -> bool:
        return status == -signal.SIGKILL and _oom_kills() > running.oom_kills


def _oom_kills() -> int:
    """How often the kernel has killed for memory since boot; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
