"""The processes that fork workers for untimed trials, one per runtime: started when first needed, ended when idle.

The other end, and the words that travel, are in `edgesweep_worker.fork_server`. A trial that a server cannot take is run
in a fresh process, as every timed one is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from edgesweep_agent.worker_process import Ending, WorkerStartError, kill_group, supervise, worker_environment

#: Seconds without a trial after which a server is ended: it holds a runtime's libraries in memory.
IDLE_S = 30.0
#: Seconds that a server may take to load its runtime, or to fork.
PATIENCE_S = 120.0

#: Bytes of a pipe that nobody has read yet: as much is written without waiting (pipe(7)).
_PIPE_BYTES = 1 << 16
_MESSAGE_BYTES = 1 << 16
_STDERR_BYTES = 2000

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class UnfitError(Exception):
    """No worker can be forked for this runtime; the sentence says why."""


class ForkServers:
    """The servers of one agent, by interpreter.

    Args:
        run_py: The worker's starting point.
        idle_s: Seconds without a trial after which a server is ended.
    """

    def __init__(self, run_py: Path, *, idle_s: float = IDLE_S) -> None:
        self._run_py = run_py
        self._idle_s = idle_s
        self._servers: dict[str, ForkServer] = {}
        self._unfit: dict[tuple[str, str], str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def run_worker(
        self,
        python: str,
        fingerprint: str,
        job: dict[str, Any],
        *,
        folder: Path,
        stderr_path: Path,
        deadline_s: Callable[[], float],
        on_start: Callable[[int], None],
        on_event: Callable[[dict[str, Any]], None],
        keep_stderr: bool = False,
    ) -> Ending:
        """Run one worker, forked from the server of `python`, to its end; otherwise as `worker_process.run_worker`.

        Args:
            python: The runtime's interpreter.
            fingerprint: What it held when it was probed; a server that was started with another one is ended first.
            job: What it reads; it gets that after `on_start` has returned.
            folder: Where it runs.
            stderr_path: Where its standard error and output go.
            deadline_s: The longest silence in seconds at this moment.
            on_start: Is told the pid.
            on_event: Is told every event but the last.
            keep_stderr: Whether what lies at `stderr_path` already stays before its own words.

        Raises:
            UnfitError: this runtime cannot be forked from; a fresh process has to do it.
            WorkerStartError: there is no process, or the server ended while it ran: that says nothing of the model.
        """
        server = await self._server(python, fingerprint)
        self._hold(python)
        try:
            return await server.run_worker(
                job,
                folder=folder,
                stderr_path=stderr_path,
                deadline_s=deadline_s,
                on_start=on_start,
                on_event=on_event,
                keep_stderr=keep_stderr,
            )
        except UnfitError as error:
            self._unfit[python, fingerprint] = str(error)
            raise
        finally:
            self._release(python)

    async def close(self) -> None:
        """End every server, and whatever it has forked."""
        for python in tuple(self._servers):
            await self._close(python)

    async def _server(self, python: str, fingerprint: str) -> ForkServer:
        if why := self._unfit.get((python, fingerprint)):
            raise UnfitError(why)
        server = self._servers.get(python)
        if server is not None and (server.fingerprint != fingerprint or not server.alive):
            await self._close(python)
            server = None
        if server is None:
            try:
                server = await ForkServer.started([python, "-I", str(self._run_py)], fingerprint, self._run_py.parent)
            except UnfitError as error:
                _log.warning("no worker can be forked for %s: %s", python, error)
                self._unfit[python, fingerprint] = str(error)
                raise
            self._servers[python] = server
        return server

    def _hold(self, python: str) -> None:
        if timer := self._timers.pop(python, None):
            timer.cancel()

    def _release(self, python: str) -> None:
        self._hold(python)
        self._timers[python] = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle, python)

    def _end_idle(self, python: str) -> None:
        if server := self._servers.get(python):
            server.hang_up()

    async def _close(self, python: str) -> None:
        self._hold(python)
        await self._servers.pop(python).close()


class ForkServer:
    """One server process. `fingerprint` is that of its runtime when it was started."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._process = process
        self._control = control
        self._count = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked: dict[int, asyncio.Future[_Forked]] = {}
        self._running: dict[int, _Forked] = {}
        self._gone = False
        asyncio.get_running_loop().add_reader(control, self._listen)

    @classmethod
    async def started(cls, command: Sequence[str], fingerprint: str, folder: Path) -> ForkServer:
        """A server that has loaded its runtime.

        Raises:
            UnfitError: it could not.
            WorkerStartError: there is no process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the function takes no keywords
        # What a broken runtime prints is told once; it needs no file.
        words = os.memfd_create("fork-server")
        try:
            process = await asyncio.create_subprocess_exec(
                *command, "--serve", "--parent", str(os.getpid()), "--events-fd", str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=words, stderr=words, pass_fds=(theirs.fileno(),),
                start_new_session=True, cwd=folder, env=worker_environment(dict(os.environ)),
            )  # fmt: skip
        except OSError as error:
            ours.close()
            os.close(words)
            raise WorkerStartError.of(command[0], error) from error
        except BaseException:
            ours.close()
            os.close(words)
            raise
        finally:
            theirs.close()
        server = cls(process, ours, fingerprint)
        try:
            await _in_time(server._ready, "the runtime was not loaded")
        except UnfitError as error:
            await server.close()
            said = os.pread(words, _STDERR_BYTES, 0).decode("utf-8", "replace").strip()
            raise UnfitError(f"{error}: {said}" if said else str(error)) from error
        except BaseException:
            await server.close()
            raise
        finally:
            os.close(words)
        return server

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked for another worker."""
        return not self._gone

    async def run_worker(
        self,
        job: dict[str, Any],
        *,
        folder: Path,
        stderr_path: Path,
        deadline_s: Callable[[], float],
        on_start: Callable[[int], None],
        on_event: Callable[[dict[str, Any]], None],
        keep_stderr: bool = False,
    ) -> Ending:
        """See `ForkServers.run_worker`."""
        forked, events = await self._fork(folder, stderr_path, os.O_APPEND if keep_stderr else os.O_TRUNC)
        ending = await supervise(forked, events, job, deadline_s, on_start, on_event)
        if not forked.lost or ending.timed_out_s is not None or ending.broken:
            return ending
        if ending.end is None:
            raise WorkerStartError("the process that the worker was forked from ended while the trial ran")
        # It has said how it ended; what killed it then was the end of the server.
        return replace(ending, exit_code=None, signal=None)

    async def close(self) -> None:
        """End the server and its workers; they are gone when this returns."""
        self.hang_up()
        await self._process.wait()

    def hang_up(self) -> None:
        """End the server without waiting for it."""
        if not self._gone:
            self._end(UnfitError("it was ended"))
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _fork(self, folder: Path, stderr_path: Path, how: int) -> tuple[_Forked, int]:
        """A child that waits for its job, and the end of the pipe on which it will tell."""
        theirs: list[int] = []
        ours: list[int] = []
        number = self._count = self._count + 1
        answer: asyncio.Future[_Forked] = asyncio.get_running_loop().create_future()
        try:
            for reads in (False, True):
                pair = os.pipe()
                ours.append(pair[0] if reads else pair[1])
                theirs.append(pair[1] if reads else pair[0])
            theirs.append(os.open(stderr_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o644))
            self._asked[number] = answer
            request = json.dumps({"fork": number, "folder": str(folder)}).encode()
            socket.send_fds(self._control, [request], theirs)
            forked = await _in_time(answer, "no worker was forked")
            # Not before: whoever is cancelled meanwhile closes both, and a fork without a job leaves.
            forked.takes_from(ours[0])
            return forked, ours[1]
        except BaseException as error:
            for descriptor in ours:
                os.close(descriptor)
            if isinstance(error, OSError):
                raise WorkerStartError.of("a forked worker", error) from error
            raise
        finally:
            self._asked.pop(number, None)
            for descriptor in theirs:
                os.close(descriptor)

    def _listen(self) -> None:
        try:
            content = self._control.recv(_MESSAGE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            content = b""
        if content:
            self._take(json.loads(content))
        else:
            self._end(UnfitError("the process that loads the runtime ended"))

    def _take(self, told: dict[str, Any]) -> None:
        if told.get("ready") and not self._ready.done():
            self._ready.set_result(None)
        elif "unfit" in told and not self._ready.done():
            self._ready.set_exception(UnfitError(told["unfit"]))
        elif "ended" in told and (forked := self._running.pop(told["ended"], None)):
            forked.has_ended(os.waitstatus_to_exitcode(told["status"]))
        elif "forked" in told and (asked := self._asked.pop(told["forked"], None)):
            # At once: its end may be the next thing that is told.
            forked = self._running[told["forked"]] = _Forked(told["pid"])
            asked.set_result(forked)
        elif "refused" in told and (asked := self._asked.pop(told["refused"], None)):
            asked.set_exception(UnfitError(told["why"]))

    def _end(self, why: UnfitError) -> None:
        """Nothing more will be heard of the server: neither may anything of it run on."""
        self._gone = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        if not self._ready.done():
            self._ready.set_exception(why)
        for answer in self._asked.values():
            answer.set_exception(WorkerStartError("the process that workers are forked from has ended"))
        self._asked.clear()
        for forked in self._running.values():
            kill_group(forked.pid)
            forked.is_lost()
        self._running.clear()


async def _in_time(answer: asyncio.Future[_T], what: str) -> _T:
    """The answer of a server; UnfitError when it takes too long."""
    await asyncio.wait({answer}, timeout=PATIENCE_S)
    if not answer.done():
        raise UnfitError(f"{what} within {PATIENCE_S:g} s")
    return answer.result()


class _Forked:
    """A worker that is a child of a server. `lost` tells that the server ended first, so that its status is not known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.lost = False
        self._stdin: int | None = None
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    def takes_from(self, stdin: int) -> None:
        """Own the descriptor that its job is written to."""
        self._stdin = stdin

    async def wait(self) -> int:
        returncode = await asyncio.shield(self._ended)
        self._close()
        return returncode

    async def feed(self, job: bytes) -> None:
        if self._stdin is None:
            return
        # Whoever writes closes: a descriptor that is closed under a thread may be another file's by its next write.
        stdin, self._stdin = self._stdin, None
        if len(job) <= _PIPE_BYTES:
            _write(stdin, job)
        else:
            await asyncio.to_thread(_write, stdin, job)

    def has_ended(self, returncode: int) -> None:
        """Note how it ended."""
        if not self._ended.done():
            self._ended.set_result(returncode)

    def is_lost(self) -> None:
        """Note that nobody will tell how it ended; it was killed."""
        self.lost = True
        self.has_ended(-9)

    def _close(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None


def _write(stdin: int, job: bytes) -> None:
    """All of `job`, then the end. Without a reader a write fails at once; with one a large job waits until it is read."""
    left = memoryview(job)
    try:
        with contextlib.suppress(BrokenPipeError):
            while left:
                left = left[os.write(stdin, left) :]
    finally:
        os.close(stdin)
