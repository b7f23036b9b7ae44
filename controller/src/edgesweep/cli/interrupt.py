"""Runs a coroutine to its end, or to a clean stop on Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from edgesweep.errors import ExitCode

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """The user or the system asked the command to stop; `exit_code` says which."""

    def __init__(self, exit_code: ExitCode) -> None:
        self.exit_code = exit_code
        super().__init__(exit_code.name.lower())


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`; SIGINT and SIGTERM cancel it, so that it can clean up after itself; a second one ends it at once.

    Raises:
        Stopped: the work was cancelled by one of the signals.
    """

    async def supervised() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        seen: list[signal.Signals] = []

        def stop(number: signal.Signals) -> None:
            if seen:
                # Asked twice: whatever we started ends with us, by the parent-death signal.
                os._exit(128 + number)
            task.cancel()
            seen.append(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        try:
            return await task
        except asyncio.CancelledError:
            code = ExitCode.INTERRUPTED if seen and seen[0] is signal.SIGINT else ExitCode.TERMINATED
            raise Stopped(code) from None

    return asyncio.run(supervised())
