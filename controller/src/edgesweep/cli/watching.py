"""Shows a sweep's events: the live dashboard on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from edgesweep.cli.options import Settings
from edgesweep.sweep.events import SweepEvent


@contextlib.contextmanager
def shown_progress(settings: Settings, how: str) -> Iterator[Callable[[SweepEvent], None]]:
    """A consumer of events that shows them on stderr as `how` (auto, live, plain or none) says."""
    if settings.quiet or how == "none":
        yield lambda _event: None
        return
    console = settings.console(stderr=True)
    if how == "live" or (how == "auto" and console.is_terminal):
        from edgesweep.dashboard.live import LiveDashboard

        with LiveDashboard(console) as dashboard:
            yield dashboard.handle
        return
    from edgesweep.dashboard.plain import PlainProgress

    yield PlainProgress(sys.stderr).handle
