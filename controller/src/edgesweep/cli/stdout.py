"""What was printed and could not be written: a full disk behind `> FILE` is no bug."""

from __future__ import annotations

import os
import sys
import traceback

#: The modules that write to stdout and stderr for every command.
_PRINTERS = frozenset({"click.utils", "rich.console"})


def is_refused_output(error: BaseException) -> bool:
    """Whether `error` is the system's refusal of what a command prints, by the place where it was raised."""
    if not isinstance(error, OSError):
        return False
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__") in _PRINTERS


def send_nowhere() -> None:
    """Give up stdout: what is left in its buffer would be refused again when the process ends, and change its exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
