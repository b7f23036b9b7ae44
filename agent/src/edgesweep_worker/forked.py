"""Questions that may crash or hang the runtime, asked in a forked child: a fork costs a millisecond, an import seconds."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import warnings
from typing import Callable

from edgesweep_worker import process


class NoAnswer(Exception):  # noqa: N818 - what happened, in the words of the probe
    """The child gave none; the words say why. `died` is false when it was silent for too long; `signal` ended it."""

    def __init__(self, words: str, died: bool, signal: int | None = None) -> None:
        super().__init__(words)
        self.died = died
        self.signal = signal


def ask_child(question: Callable[[], str], seconds: float) -> str:
    """What `question` returns in a child of this process, which must not have made a session yet.

    Args:
        question: runs in the child only.
        seconds: how long it may take.

    Raises:
        NoAnswer: the child crashed, left without an answer, or took too long.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # 3.12 warns of any thread; the only ones here are idle pools of libraries that handle a fork themselves.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _answer(writer, parent, question)
    os.close(writer)
    try:
        data = read_all(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
    if data is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise NoAnswer(f"no answer within {seconds:g} s", died=False)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        raise NoAnswer(f"the process died of signal {number}", died=True, signal=number)
    if os.WEXITSTATUS(status):
        raise NoAnswer(f"the process ended with status {os.WEXITSTATUS(status)}", died=True)
    return data.decode("utf-8", "replace")


def _answer(writer: int, parent: int, question: Callable[[], str]) -> None:
    status = 1
    try:
        if process.die_with_parent(parent):
            left = question().encode()
            while left:
                left = left[os.write(writer, left) :]
            status = 0
    finally:
        # Never back into the parent's code, and no exit handlers: they belong to the parent.
        os._exit(status)


def read_all(reader: int, deadline: float) -> bytes | None:
    """Everything until the pipe closes; None when `deadline` (monotonic seconds) comes first."""
    parts = []
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        part = os.read(reader, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)
