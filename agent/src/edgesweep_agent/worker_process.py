"""One fresh worker process: started, fed its job, listened to, and ended as a tree."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgesweep_agent.durable import is_no_room

#: Seconds that a worker may take to leave after its last word.
EXIT_GRACE_S = 10.0

#: Longest line that a worker may send.
_LINE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker process ended.

    `end` is its last word, if it gave one. `signal` is set only for a death that was not our doing. `timed_out_s`
    is set when it was killed after that many seconds without an event, `broken` when it sent what is no event.
    """

    exit_code: int | None
    signal: int | None
    end: dict[str, Any] | None
    timed_out_s: float | None = None
    broken: str = ""


class WorkerStartError(Exception):
    """There is no worker process, because the board refused one: no memory, no process, no descriptor, no disk.

    Args:
        sentence: What could not be done, and the system's own words.
        full_disk: Whether it was for want of room on the disk.
    """

    def __init__(self, sentence: str, *, full_disk: bool = False) -> None:
        self.full_disk = full_disk
        super().__init__(sentence)

    @classmethod
    def of(cls, what: str, error: OSError) -> WorkerStartError:
        """The refusal `error` of the system to start `what`."""
        return cls(f"{what} could not be started: {error.strerror or error}", full_disk=is_no_room(error))


def worker_environment(environ: dict[str, str]) -> dict[str, str]:
    """The environment of a worker, made from the agent's own.

    onnxruntime 1.29 and later reports home unless told not to; glibc's moving mmap threshold would make resident
    memory a matter of luck; OMP_NUM_THREADS would silently override the thread count that the cell asks for.
    """
    kept = {k: v for k, v in environ.items() if not k.startswith("PYTHON") and k != "OMP_NUM_THREADS"}
    return kept | {"ORT_DISABLE_TELEMETRY": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}


class Process(Protocol):
    """A worker that runs, whoever started it."""

    @property
    def pid(self) -> int:
        """Its process id, which is that of its process group too."""

    @property
    def returncode(self) -> int | None:
        """None while it runs, its exit status then, negative for a signal."""

    async def wait(self) -> int:
        """Its returncode, once it has ended."""

    async def feed(self, job: bytes) -> None:
        """Write its job to its standard input, all of it; fine when it has ended already."""


class _Executed:
    """A worker that is a child of the agent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.wait = process.wait

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def feed(self, job: bytes) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        # A worker that is dead already has its ending told by its exit status.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(job)
            await stdin.drain()
        stdin.close()


async def run_worker(
    command: Sequence[str],
    job: dict[str, Any],
    *,
    folder: Path,
    stderr_path: Path,
    deadline_s: Callable[[], float],
    on_start: Callable[[int], None],
    on_event: Callable[[dict[str, Any]], None],
    keep_stderr: bool = False,
) -> Ending:
    """Run one worker to its end. Nothing of its process group outlives this call, cancelled or not.

    Args:
        command: Interpreter and arguments; `--parent PID` and `--events-fd N` are added.
        job: What it reads from its standard input. It gets that after `on_start` has returned.
        folder: Where it runs.
        stderr_path: Where its standard error and output go.
        deadline_s: The longest silence in seconds at this moment.
        on_start: Is told the pid.
        on_event: Is told every event but the last; a ValueError from it ends the worker as `broken`.
        keep_stderr: Whether it writes behind what an earlier worker of the same trial wrote there.

    Raises:
        WorkerStartError: there is no process.
    """
    try:
        read_end, write_end = os.pipe()
    except OSError as error:
        raise WorkerStartError.of(command[0], error) from error
    try:
        with stderr_path.open("ab" if keep_stderr else "wb") as stderr:
            # Started by this thread itself, the main one: the worker's death signal follows the thread that started it.
            process = await asyncio.create_subprocess_exec(
                *command,
                "--parent",
                str(os.getpid()),
                "--events-fd",
                str(write_end),
                stdin=asyncio.subprocess.PIPE,
                stdout=stderr,
                stderr=stderr,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd=folder,
                env=worker_environment(dict(os.environ)),
            )
    except OSError as error:
        os.close(read_end)
        raise WorkerStartError.of(command[0], error) from error
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return await supervise(_Executed(process), read_end, job, deadline_s, on_start, on_event)


async def supervise(
    process: Process,
    read_end: int,
    job: dict[str, Any],
    deadline_s: Callable[[], float],
    on_start: Callable[[int], None],
    on_event: Callable[[dict[str, Any]], None],
) -> Ending:
    """Bring a worker that has just been started to its end; see `run_worker`. `read_end` is that of its events."""
    try:
        on_start(process.pid)
        return await _converse(process, read_end, job, deadline_s, on_event)
    finally:
        kill_group(process.pid)
        await _shielded(process.wait())


def kill_group(pid: int) -> None:
    """Kill the process group that `pid` leads; fine when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _converse(
    process: Process,
    read_end: int,
    job: dict[str, Any],
    deadline_s: Callable[[], float],
    on_event: Callable[[dict[str, Any]], None],
) -> Ending:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    end: dict[str, Any] | None = None
    timed_out: float | None = None
    broken = ""
    try:
        await process.feed(json.dumps(job).encode())
        while end is None:
            patience = deadline_s()
            line = await _within(patience, reader.readline())
            if line is None:
                timed_out = patience
                break
            if not line.endswith(b"\n"):
                break  # the end of the stream; half a line is what a death leaves
            event = _parse(line)
            if event["event"] == "end":
                end = event
            else:
                on_event(event)
    except ValueError as error:
        broken = str(error)
    finally:
        transport.close()
    if timed_out is None and not broken:
        patience = EXIT_GRACE_S if end is not None else deadline_s()
        if await _within(patience, process.wait()) is None and end is None:
            timed_out = patience
    ours = process.returncode is None
    if ours:
        kill_group(process.pid)
    code = await process.wait()
    return Ending(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 and not ours else None,
        end=end,
        timed_out_s=timed_out,
        broken=broken,
    )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError(f"the worker sent {line[:200]!r}, which is no event")  # noqa: TRY004 - bad data, not a bad call
    return event


async def _within(seconds: float, waiting: Any) -> Any:
    """The result of `waiting`, or None when it takes longer than `seconds`."""
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() else None
    finally:
        task.cancel()


async def _shielded(waiting: Any) -> None:
    """Wait to the end even when this task is cancelled meanwhile: no child is left unreaped."""
    task = asyncio.ensure_future(waiting)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
