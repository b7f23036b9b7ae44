"""The dashboard on a terminal: redraws the view a few times a second, seldom while this very host is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from edgesweep.dashboard.screen import draw
from edgesweep.dashboard.view import SweepView
from edgesweep.sweep.events import SweepEvent

REDRAW_S = 0.25
REDRAW_WHILE_MEASURED_S = 1.0


class LiveDashboard:
    """Shows a sweep on `console` between entering and leaving; the last picture stays on the screen.

    `handle` may be called from any one thread; drawing happens on a thread of its own.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.view = SweepView(clock)
        self._console = console
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live = Live(self, console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._thread = threading.Thread(target=self._redraw, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        """Starts drawing."""
        self._live.start(refresh=True)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Draws the last state and gives the terminal back, whatever happened."""
        self._over.set()
        self._thread.join()
        self._live.refresh()
        self._live.stop()

    def handle(self, event: SweepEvent) -> None:
        """Takes one event; it shows with the next redraw."""
        with self._lock:
            self.view.apply(event)

    @property
    def redraw_every_s(self) -> float:
        """Seconds between two redraws, as the view's state has it now."""
        with self._lock:
            return REDRAW_WHILE_MEASURED_S if self.view.measuring_here else REDRAW_S

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws into the size that the terminal has right now."""
        with self._lock:
            segments = list(console.render(draw(self.view, options.max_width, console.size.height - 1), options))
        yield from segments

    def _redraw(self) -> None:
        while not self._over.wait(self.redraw_every_s):
            self._live.refresh()
