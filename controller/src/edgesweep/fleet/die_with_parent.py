"""Launcher: `python die_with_parent.py PARENT_PID PROGRAM ARGUMENT...` becomes PROGRAM, which dies when its parent does.

Run as a file, by any Python, so it imports nothing of ours. The kernel keeps the request over `exec`.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks for the signal, looks whether the parent is still there, and becomes the program."""
    parent = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(error)}")
    # A parent that died before the request was made will never send it.
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becoming the given program is the purpose of this file


if __name__ == "__main__":
    main()
