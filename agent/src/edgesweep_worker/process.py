"""What the worker does to its own process before any native library is loaded."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

#: The kernel's own scale for whom it kills first when memory runs out (man proc_pid_oom_score_adj(5)).
_FIRST_TO_GO = 1000

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None) -> bool:
    """Ask the kernel to kill this process when its parent ends.

    Args:
        parent: process id of the agent, or None when it is not known.

    Returns:
        False when the parent has already gone, so that the caller should leave at once.
    """
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux: the agent's own kill of the process group must do
        return True
    # The parent may have ended between its fork and the call above: then no signal will ever come.
    return parent is None or os.getppid() == parent


def die_when_told() -> None:
    """Let SIGINT end this process as SIGTERM does: as an exception it could be taken for a failure of the model's."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def yield_memory(limit_bytes: int | None) -> bool:
    """Be the one that the kernel kills when memory runs out, and be refused what lies beyond `limit_bytes`.

    A model that allocates without end must cost its own trial, not the agent or a neighbour on the board. The limit
    counts private writable memory (RLIMIT_DATA, since Linux 4.7), so that files and address space alone are free.

    Args:
        limit_bytes: the most that this process may take; None leaves it to the kernel.

    Returns:
        False when a limit was asked for and is not in force: an emulator may take the call and do nothing.
    """
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(_FIRST_TO_GO))
    except OSError:
        pass  # not Linux, or hidden: then the kernel chooses by size, which is mostly the same process
    if limit_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        return resource.getrlimit(resource.RLIMIT_DATA)[0] == soft
    return True


def send_stdout_to_stderr() -> None:
    """Point descriptor 1 at descriptor 2: native libraries print, and what they print is evidence, not data."""
    os.dup2(2, 1)
