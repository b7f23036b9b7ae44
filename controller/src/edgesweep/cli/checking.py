"""`edgesweep device check`: the device of the inventory, its agent started first where it is this host's own."""

from __future__ import annotations

import contextlib

from edgesweep.fleet.fitness import Look
from edgesweep.home import Home


async def look_at(home: Home, name: str) -> Look:
    """What the device says of itself.

    Raises:
        EdgesweepError: `unknown_device`, or `unreachable` when no agent answers.
    """
    from edgesweep.fleet.inventory import load_inventory
    from edgesweep.fleet.looking import look_at_device
    from edgesweep.fleet.loopback import agent_on_this_host, wants_agent
    from edgesweep.sweep.launch import client_opener

    load_inventory(home.inventory).get(name)
    async with (
        agent_on_this_host(home) if wants_agent(home, {name}) else contextlib.nullcontext(),
        # Read again: an agent that was just started has another port.
        client_opener(home)(load_inventory(home.inventory).get(name)) as client,
    ):
        return await look_at_device(client)
