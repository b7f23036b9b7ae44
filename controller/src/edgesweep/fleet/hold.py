"""Holds a device while something is done to it that no measurement may run beside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.client import DeviceClient

#: Seconds that the device stays ours after a controller that was killed.
_TTL_S = 60.0


@contextlib.asynccontextmanager
async def held(client: DeviceClient, owner: str, purpose: str) -> AsyncIterator[None]:
    """Take the device's lease, renew it, and give it back on leaving.

    Raises:
        EdgesweepError: `lease_held` when another owner has it.
    """
    lease = await client.acquire(owner, ttl_s=_TTL_S, purpose=purpose)
    renewing = asyncio.create_task(_renew(client, lease.fencing_number))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait({renewing})
        # A device that does not answer any more lets go by itself.
        with contextlib.suppress(EdgesweepError):
            await client.release(lease.fencing_number)


async def _renew(client: DeviceClient, fencing_number: int) -> None:
    while True:
        await asyncio.sleep(_TTL_S / 3)
        # A missed one is made up by the next; what is being done does not depend on it.
        with contextlib.suppress(EdgesweepError):
            await client.renew(fencing_number, _TTL_S)
