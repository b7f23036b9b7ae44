"""What the worker does to its own process before any native library is loaded."""

from __future__ import annotations

import ctypes
import os
import signal

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


def send_stdout_to_stderr() -> None:
    """Point descriptor 1 at descriptor 2: native libraries print, and what they print is evidence, not data."""
    os.dup2(2, 1)
