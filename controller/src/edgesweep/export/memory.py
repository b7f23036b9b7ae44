"""Memory of the host: what an export will need, who may go on beside whom, and a limit that keeps the host alive."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

#: An export's peak of memory, proof included, in bytes per byte of weights. Measured on chains of linear layers of 100,
#: 200 and 400 MB: the slope is 4.1 with dynamo and 4.0 with TorchScript; what is above them is slack.
NEED_PER_WEIGHT = 4.5
#: What an export worker and its proof hold without any model: torch, onnx, onnxscript and onnxruntime.
NEED_BASE_BYTES = 900 << 20

#: Left to the rest of the host, whatever happens.
_RESERVE_LEAST_BYTES = 512 << 20
_RESERVE_SHARE = 0.05

#: Other programs give memory back without a word, so a wait looks again after this many seconds.
_LOOK_AGAIN_S = 1.0

_CGROUP = Path("/sys/fs/cgroup")


def need_of(weight_bytes: int) -> int:
    """The memory in bytes that an export of a model with `weight_bytes` of parameters and buffers may take in all."""
    return NEED_BASE_BYTES + int(NEED_PER_WEIGHT * weight_bytes)


def reserve_bytes() -> int:
    """What exports leave to the rest of the host, in bytes."""
    return max(_RESERVE_LEAST_BYTES, int(_RESERVE_SHARE * psutil.virtual_memory().total))


def free_bytes() -> int:
    """Bytes that may still be taken without swapping: the host's, or this process's control group's where it is less."""
    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        free = min(free, _free_in_group())
    return max(0, free)


def used_bytes(pid: int) -> int:
    """Bytes of memory that a process and its children hold; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        held = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for one in held:
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def limit_to_host() -> None:
    """Have this process run out of memory before the host does.

    Its private writable memory may grow by what the host has to spare now. To be called again as time goes by.
    """
    if sys.platform != "linux":
        return
    held = next(
        int(line.split()[1]) << 10
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        if line.startswith("VmData:")
    )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held + max(_RESERVE_LEAST_BYTES, free_bytes() - reserve_bytes())
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


@dataclass(frozen=True, slots=True)
class Claim:
    """What an export will hold at its peak, and what it holds now; both in bytes."""

    need_bytes: int
    used_bytes: int

    @property
    def outstanding(self) -> int:
        """What it is still going to take."""
        return max(0, self.need_bytes - self.used_bytes)


def fits(free: int, reserve: int, granted: Iterable[Claim], asked: Claim) -> bool:
    """Whether `asked` may go on beside what is granted. Alone it always may: nothing would be won by waiting.

    Args:
        free: Bytes that the host has to spare now.
        reserve: Bytes of them that nobody may take.
        granted: Who goes on already.
        asked: Who wants to.
    """
    others = list(granted)
    return not others or asked.outstanding <= free - reserve - sum(claim.outstanding for claim in others)


class MemoryGate:
    """Lets exports go on while the host has the memory, in the order in which they asked.

    Args:
        free: Bytes that the host has to spare.
        reserve: Bytes of them that nobody may take.
    """

    def __init__(self, free: Callable[[], int] = free_bytes, reserve: Callable[[], int] = reserve_bytes) -> None:
        self._free = free
        self._reserve = reserve
        self._granted: dict[int, tuple[int, Callable[[], int]]] = {}
        self._queue: deque[int] = deque()
        self._changed = asyncio.Event()

    async def enter(
        self,
        who: int,
        need_bytes: int,
        used: Callable[[], int],
        *,
        make_room: Callable[[], Awaitable[bool]],
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        """Wait until `who` may go on.

        Args:
            who: Who asks; one at a time each.
            need_bytes: What it will hold at its peak.
            used: Tells what it holds now.
            make_room: Frees memory that nobody works with; tells whether there was any.
            on_wait: Called once when it has to wait.
        """
        self._queue.append(who)
        told = False
        try:
            while self._queue[0] != who or not self._fits(Claim(need_bytes, used())):
                if self._queue[0] == who and await make_room():
                    continue
                if not told and on_wait is not None:
                    on_wait()
                told = True
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN_S)
            self._granted[who] = (need_bytes, used)
        finally:
            self._queue.remove(who)
            self._changed.set()

    def leave(self, who: int) -> None:
        """`who` has ended; a second call does nothing."""
        if self._granted.pop(who, None) is not None:
            self._changed.set()

    def _fits(self, asked: Claim) -> bool:
        granted = [Claim(need, used()) for need, used in self._granted.values()]
        return fits(self._free(), self._reserve(), granted, asked)


def _free_in_group() -> int:
    """What the control group (version 2) of this process leaves; memory that only caches files counts as free.

    Raises:
        OSError: There is no such group.
        ValueError: It has no limit.
    """
    entry = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()[-1]
    folder = _CGROUP / entry.partition("::")[2].lstrip("/")
    limit = int((folder / "memory.max").read_text(encoding="ascii"))
    held = int((folder / "memory.current").read_text(encoding="ascii"))
    stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    return limit - held + int(stat["inactive_file"]) + int(stat.get("slab_reclaimable", 0))
