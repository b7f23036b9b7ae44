"""Asks a device what its fitness is judged by: what it is, and two looks at its state while nothing of ours runs there."""

from __future__ import annotations

import asyncio
import contextlib

from edgesweep_proto.device import Reading

from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.fitness.finding import Look

#: Seconds between the two looks, and for which a device that measures is waited for: it sends no readings then.
APART_S = 2.0
PATIENCE_S = 10.0


async def look_at_device(client: DeviceClient) -> Look:
    """Describe the device, then watch it for `APART_S` seconds.

    The description comes first, because an agent probes a new runtime for it: that is not to be taken for load.

    Raises:
        EdgesweepError: as `DeviceClient` raises it.
    """
    found = await client.describe()
    leases = await client.list_leases()
    readings: list[Reading] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(client.telemetry(APART_S)) as telemetry:
            async for reading in telemetry:
                readings.append(reading)
                if len(readings) == 2:  # noqa: PLR2004 - two looks make an interval
                    break
    pair = tuple(readings) if len(readings) == 2 else ()  # noqa: PLR2004 - the same
    return Look(found, pair, leases[0].owner if leases else "")
