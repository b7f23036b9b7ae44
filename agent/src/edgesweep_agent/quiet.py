"""Nothing is measured while something else runs on the device for us: uploads and workers keep apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from edgesweep_agent.faults import Fault


class Quiet:
    """Lets in either any number of uploads or one worker process.

    A worker waits for the uploads that are under way; while it waits or runs, new uploads are refused.
    `timing` is true while a worker takes times: nothing is sent to anybody then that can wait.

    Args:
        on_rest: Is called from the event loop each time the last upload or worker has ended and none waits.
    """

    def __init__(self, on_rest: Callable[[], None] = lambda: None) -> None:
        self._on_rest = on_rest
        self._worker = asyncio.Lock()
        self._claims = 0
        self._uploads = 0
        self._no_uploads = asyncio.Event()
        self._no_uploads.set()
        self._not_timing = asyncio.Event()
        self._not_timing.set()

    @property
    def timing(self) -> bool:
        """Whether a worker takes times at this moment."""
        return not self._not_timing.is_set()

    def set_timing(self, timing: bool) -> None:
        """Say that a worker begins or ends to take times."""
        if timing:
            self._not_timing.clear()
        else:
            self._not_timing.set()

    async def not_timing(self, *, at_most_s: float | None = None) -> None:
        """Return when no worker takes times, or after `at_most_s` seconds."""
        if self._not_timing.is_set():
            return
        waiting = asyncio.ensure_future(self._not_timing.wait())
        try:
            await asyncio.wait({waiting}, timeout=at_most_s)
        finally:
            waiting.cancel()

    @contextlib.contextmanager
    def upload(self) -> Iterator[None]:
        """Hold workers off while bytes arrive.

        Raises:
            Fault: `busy_measuring` while a worker runs or waits to.
        """
        if self._claims:
            raise Fault("busy_measuring", "the device is measuring; push again when the trial has ended")
        self._uploads += 1
        self._no_uploads.clear()
        try:
            yield
        finally:
            self._uploads -= 1
            if not self._uploads:
                self._no_uploads.set()
                self._rest_soon()

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Hold the device for one worker process."""
        self._claims += 1
        try:
            async with self._worker:
                await self._no_uploads.wait()
                try:
                    yield
                finally:
                    self.set_timing(timing=False)
        finally:
            self._claims -= 1
            self._rest_soon()

    def _rest_soon(self) -> None:
        # Not at once: whoever ended still holds what it worked on.
        asyncio.get_running_loop().call_soon(self._rest)

    def _rest(self) -> None:
        if not self._uploads and not self._claims:
            self._on_rest()
