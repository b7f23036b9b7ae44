"""The slots of one host, which share its cores and its memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial

from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.memory import MemoryGate, need_of
from edgesweep.export.schedule import ExportJob
from edgesweep.export.workers.requests import Attempt, attempt, describe, warm_up
from edgesweep.export.workers.slot import Limits, Slot
from edgesweep.models.source import ModelFacts, ModelSource


class Crew:
    """Slots by number. Whoever asks one for something holds its lock meanwhile.

    Args:
        layout: The folder of blobs, cached results and originals.
        count: How many slots; the cores are divided among them.
        timeout_s: Seconds that one variant may take, its model's factory included.
        memory_bytes: Address space of a worker; by default it may take what the host has to spare.
        gate: Who lets an export go on when its model is loaded and its size known.
        proof: False leaves out checks and proof.
    """

    def __init__(
        self,
        layout: Layout,
        count: int,
        *,
        timeout_s: float,
        memory_bytes: int | None = None,
        gate: MemoryGate | None = None,
        proof: bool = True,
    ) -> None:
        threads = max(1, len(os.sched_getaffinity(0)) // count)
        limits = Limits(timeout_s, memory_bytes, threads, proof)
        self.slots = tuple(Slot(layout, limits) for _ in range(count))
        self._timeout_s = timeout_s
        self._gate = gate or MemoryGate()

    def kill(self) -> None:
        """Kill every worker at once, without waiting for it; `close` tidies up."""
        for slot in self.slots:
            slot.kill()

    async def close(self) -> None:
        """Kill every worker and everything it started."""
        await asyncio.gather(*(slot.close() for slot in self.slots))

    async def attempt(self, number: int, job: ExportJob, on_step: Callable[[str], None]) -> Attempt:
        """Export one variant on that slot. Every end of its worker is a result; it waits while the host's memory is taken."""
        slot = self.slots[number]

        async def leave(weight_bytes: int) -> None:
            await self._gate.enter(
                number,
                need_of(weight_bytes),
                lambda: slot.used_bytes,
                make_room=self._recycle_idle,
                on_wait=partial(on_step, "waiting"),
            )

        try:
            return await attempt(slot, job, self._timeout_s, on_step, leave)
        finally:
            self._gate.leave(number)

    async def describe(self, number: int, source: ModelSource) -> ModelFacts:
        """The facts of a model, loaded on that slot.

        Raises:
            EdgesweepError: `model_unusable`, `missing_extra`, or `export_host_trouble`.
        """
        return await describe(self.slots[number], source, self._timeout_s)

    async def warm_up(self, number: int) -> None:
        """Start that slot's worker and have it import what exports need."""
        await warm_up(self.slots[number])

    async def _recycle_idle(self) -> bool:
        """End a worker that is warm and has no job: the model that it keeps stands in the way."""
        for slot in self.slots:
            if slot.running and not slot.lock.locked():
                async with slot.lock:
                    await slot.close()
                return True
        return False
