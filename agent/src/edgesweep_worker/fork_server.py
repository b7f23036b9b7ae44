"""Workers for trials that time nothing, forked from one process that has the runtime loaded: milliseconds instead of tenths.

The process makes no session and no thread and knows nothing of gRPC, so a child is as clean as a fresh process; what it
lacks is a cold start of its own. The agent asks on a socket of packets, one JSON object each:

    agent to server   {"fork": N, "folder": PATH} with three descriptors: the child's stdin, its event pipe, its stderr
    server to agent   {"ready": true} first, or {"unfit": WORDS} when the runtime cannot be loaded
                      {"forked": N, "pid": PID}, or {"refused": N, "why": WORDS}
                      {"ended": N, "status": S} with the status as os.waitpid gives it

The server ends, and its children with it, when the socket closes.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback
import warnings
from typing import Any, Callable

from edgesweep_worker import process

#: Longest request in bytes; it holds little more than a path.
_REQUEST_BYTES = 1 << 16
#: stdin, event pipe and stderr of a child.
_DESCRIPTORS = 3

#: Modules that are programs: importing them is no use, or runs them.
_ENTRANCES = ("__main__", "run")

#: Does one job: told the descriptors of its text and of its event pipe, it gives the exit status.
Work = Callable[[int, int], int]


def serve(control_fd: int, work: Work) -> None:
    """Fork a child for every request until the agent closes its end."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    try:
        _load()
    except Exception as error:  # noqa: BLE001 - whatever a broken runtime raises: a fresh worker will say it properly
        _tell(control, unfit=f"{type(error).__name__}: {error}"[:1000])
        return
    # What is loaded stays as it is: a collection in a child would copy all its pages.
    gc.collect()
    gc.freeze()
    _Server(control, work).run()


def _load() -> None:
    """Import the runtime and every module that a job may need, so that no child has to."""
    import onnxruntime  # noqa: F401 - and numpy with it

    package = os.path.dirname(os.path.abspath(__file__))
    for module in pkgutil.walk_packages([package], "edgesweep_worker."):
        if module.name.rpartition(".")[2] not in _ENTRANCES:
            importlib.import_module(module.name)


def has_one_thread() -> bool:
    """Whether this process has no thread but the one that asks: a fork takes none of the others, but all their locks."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class _Server:
    """`_numbers` holds the number of each child's request by its process id."""

    def __init__(self, control: socket.socket, work: Work) -> None:
        self._control = control
        self._work = work
        self._numbers: dict[int, int] = {}
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        _tell(self._control, ready=True)
        while True:
            ready, _, _ = select.select([self._control, self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._control in ready:
                request, descriptors = _receive(self._control)
                if request is None:
                    break
                self._answer(request, descriptors)
        for pid in self._numbers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> None:
        number = request["fork"]
        try:
            if not has_one_thread():
                _tell(self._control, refused=number, why="the runtime has started threads while it was loaded")
                return
            server = os.getpid()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                self._become_child(server, request["folder"], descriptors)
        except OSError as error:
            _tell(self._control, refused=number, why=f"no process could be forked: {error.strerror}")
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        # Here as well as in the child: whoever is told of it may want to kill the group before the child has run at all.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._numbers[pid] = number
        _tell(self._control, forked=number, pid=pid)

    def _become_child(self, server: int, folder: str, descriptors: list[int]) -> None:
        """Everything that makes a fresh worker of this fork; never returns."""
        status = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (self._wake, self._waker):
                os.close(descriptor)
            self._control.close()
            if process.die_with_parent(server):
                job, events, stderr = descriptors
                os.dup2(stderr, 2)
                process.send_stdout_to_stderr()
                os.close(stderr)
                os.chdir(folder)
                status = self._work(job, events)
                atexit._run_exitfuncs()  # noqa: SLF001 - what a fresh worker does when it leaves; os._exit leaves it out
        except BaseException:  # noqa: BLE001 - nothing may climb back into the server's loop
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._numbers.pop(pid, None)
            if number is not None:
                _tell(self._control, ended=number, status=status)


def _tell(control: socket.socket, **message: Any) -> None:
    control.sendall(json.dumps(message).encode())


def _receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next request with its descriptors; None when the agent has closed its end."""
    # By hand: socket.recv_fds is new in Python 3.9.
    found = array.array("i")
    data, ancillary, _, _ = control.recvmsg(_REQUEST_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * found.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return (json.loads(data) if data else None), found.tolist()
