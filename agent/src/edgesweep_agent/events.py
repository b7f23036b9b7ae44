"""Steps of trials, numbered over all lives of the agent, for those who watch."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from edgesweep_proto.trial import Stage, TrialEvent, TrialState

from edgesweep_agent.quiet import Quiet

#: Events that are kept for watchers who come late.
KEPT = 4096


class EventRing:
    """Holds the last events of this life of the agent; cursors grow over all lives."""

    def __init__(self, life: int, quiet: Quiet) -> None:
        self._next = (life << 32) + 1
        self._events: deque[tuple[TrialEvent, str, str]] = deque(maxlen=KEPT)
        self._more = asyncio.Event()
        self._quiet = quiet

    def emit(
        self, trial_id: str, run_id: str, identity: str, state: TrialState, stage: Stage, waits_for: str = ""
    ) -> None:
        """Number a step and wake whoever watches."""
        event = TrialEvent(self._next, trial_id, state, stage, at=time.time(), waits_for=waits_for)
        self._next += 1
        self._events.append((event, run_id, identity))
        self._more.set()
        self._more = asyncio.Event()

    async def watch(self, identity: str, run_id: str, after_cursor: int) -> AsyncIterator[TrialEvent]:
        """The caller's own events after a cursor, those to come included; none is sent while a trial takes times.

        The event that announces `measure` is the last before the silence: by it the other side goes quiet too.
        """
        cursor = after_cursor
        while True:
            more = self._more
            for event, of_run, of_identity in list(self._events):
                if event.cursor > cursor and of_identity == identity and run_id in ("", of_run):
                    if event.stage is not Stage.MEASURE:
                        await self._quiet.not_timing()
                    cursor = event.cursor
                    yield event
            await more.wait()
