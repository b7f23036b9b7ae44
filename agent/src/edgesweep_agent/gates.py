"""What a trial waits for before it begins: a device that does nothing else, and one that is cool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from edgesweep_proto.evidence import Gate
from edgesweep_proto.trial import Protocol

from edgesweep_agent.clock import boottime
from edgesweep_agent.idle_reference import IdleReference
from edgesweep_agent.probes import cpu_time, pressure, temperatures

#: Seconds over which the device has to be idle.
IDLE_WINDOW_S = 2.0
_MOST_OF_A_WINDOW = 0.75

#: Most share of that time in which some task may wait for a CPU, and most of the machine that others may use.
MAX_PRESSURE = 0.05
MAX_FOREIGN = 0.10

#: Degrees above its idle temperature that a sensor may be, and seconds between two looks.
MAX_ABOVE_IDLE_C = 3.0
THERMAL_POLL_S = 5.0

#: Seconds after which a board that was switched on has the temperature at which it idles.
SETTLED_S = 600.0

#: Tags of a trial that went on although a gate did not pass.
TAGS = {"idle": "busy_host", "thermal": "hot_start"}


@dataclass(frozen=True, slots=True)
class Pace:
    """The time that gates live in; tests bring their own."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    #: CPU seconds of the agent itself, which are not somebody else's.
    own_cpu: Callable[[], float] = time.process_time
    #: Seconds since the board was switched on.
    uptime: Callable[[], float] = boottime


@dataclass(frozen=True, slots=True)
class _Look:
    """One figure and what it is held against; the gate passes when no value lies above its limit."""

    value: float
    limit: float
    sensor: str

    @property
    def excess(self) -> float:
        return self.value - self.limit


class Gates:
    """Waits, at most as long as a trial's protocol says, and tells how it went."""

    def __init__(self, sysroot: Path, reference: IdleReference, pace: Pace | None = None) -> None:
        self._sysroot = sysroot
        self._reference = reference
        self._pace = pace or Pace()

    async def wait(self, protocol: Protocol, on_wait: Callable[[str], None] = lambda _: None) -> tuple[Gate, ...]:
        """Pass the idle gate, then the thermal one.

        Args:
            protocol: How long it may take; with a wait of 0 a gate only records what can be read at once.
            on_wait: Is told the name of a gate that did not pass at its first look, and is waited for.

        Returns:
            How each gate ended. Cancelling this ends it at once.
        """
        idle = await self._idle(protocol.idle_wait_s, on_wait)
        return idle, await self._thermal(protocol.thermal_wait_s, on_wait, idle=idle.passed)

    async def _idle(self, patience_s: float, on_wait: Callable[[str], None]) -> Gate:
        if patience_s <= 0:
            average = pressure.read(self._sysroot).get("cpu_pressure")
            shown = [] if average is None else [_Look(average, MAX_PRESSURE, "CPU pressure over 10 s")]
            return _gate("idle", tuple(shown), 0.0)
        clock = self._pace.clock
        began = clock()
        told = False
        while True:
            looks = await self._idle_window()
            waited = clock() - began
            # Sleeps are a little longer than asked: the last window may end that much late, rather than not be looked at.
            if not _worst(looks) or waited + _MOST_OF_A_WINDOW * IDLE_WINDOW_S > patience_s:
                return _gate("idle", looks, waited)
            if not told:
                on_wait("idle")
                told = True

    async def _idle_window(self) -> tuple[_Look, ...]:
        clock, own_cpu = self._pace.clock, self._pace.own_cpu
        began, own = clock(), own_cpu()
        waited, busy = pressure.cpu_waited_s(self._sysroot), cpu_time.read(self._sysroot).get("cpu_busy_s")
        await self._pace.sleep(IDLE_WINDOW_S)
        waited_then, busy_then = (
            pressure.cpu_waited_s(self._sysroot),
            cpu_time.read(self._sysroot).get("cpu_busy_s"),
        )
        seconds = max(clock() - began, 1e-9)
        looks = []
        if waited is not None and waited_then is not None:
            looks.append(_Look((waited_then - waited) / seconds, MAX_PRESSURE, "CPU pressure"))
        if busy is not None and busy_then is not None:
            foreign = max(0.0, busy_then - busy - (own_cpu() - own))
            cpus = max(1, cpu_time.cpu_count(self._sysroot))
            looks.append(_Look(foreign / seconds / cpus, MAX_FOREIGN, "CPU use by others"))
        return tuple(looks)

    async def _thermal(self, patience_s: float, on_wait: Callable[[str], None], *, idle: bool) -> Gate:
        clock = self._pace.clock
        began = clock()
        told = False
        while True:
            found = temperatures(self._sysroot)
            looks = self._above_idle(found)
            waited = clock() - began if told else 0.0
            hot = _worst(looks)
            if not hot or waited >= patience_s:
                break
            if not told:
                on_wait("thermal")
                told = True
            await self._pace.sleep(min(THERMAL_POLL_S, patience_s - waited))
        # What is hot just after a trial, and was not waited for, tells nothing about the idle board.
        # Nor does a board that was switched on just now and has not come to its own warmth yet.
        if idle and (not hot or patience_s > 0) and self._pace.uptime() >= SETTLED_S:
            self._reference.learn(found)
        return _gate("thermal", looks, waited)

    def _above_idle(self, found: dict[str, float]) -> tuple[_Look, ...]:
        looks = []
        for sensor, value in found.items():
            reference = self._reference.of(sensor)
            # With nothing learned yet, this look is the first to learn from.
            limit = (value if reference is None else reference) + MAX_ABOVE_IDLE_C
            looks.append(_Look(value, limit, sensor))
        return tuple(looks)


def _worst(looks: tuple[_Look, ...]) -> _Look | None:
    """What lies farthest above its limit, if anything does."""
    above = [look for look in looks if look.excess > 0]
    return max(above, key=lambda look: look.excess, default=None)


def _gate(name: str, looks: tuple[_Look, ...], waited_s: float) -> Gate:
    if not looks:
        return Gate(name, passed=True, waited_s=waited_s, note="the board has no sensor for this")
    shown = max(looks, key=lambda look: look.excess)
    return Gate(name, shown.excess <= 0, waited_s, shown.value, shown.limit, shown.sensor)
