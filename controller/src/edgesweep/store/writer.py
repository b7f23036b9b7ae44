"""The one thread that writes to the store, so that no event loop waits for a disk."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Self, TypeVar

from edgesweep.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class StoreWriter:
    """Runs calls one after the other, in the order in which they were handed in, on a thread of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edgesweep-store")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `function` on the writer's thread.

        What was handed in is done even when the waiting task is cancelled: Ctrl-C loses no result.
        """
        work = asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(function, *args, **kwargs))
        return await asyncio.shield(work)

    async def close(self) -> None:
        """Waits until everything handed in is done, then ends the thread. The store itself stays open."""
        await asyncio.to_thread(self._thread.shutdown)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
