"""An agent on this very host for as long as one command runs, as the quickstart needs it.

Its device stays in the inventory, so that a run can be resumed and a plan can name it; `all` leaves it out, since its
agent is there only while it is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from edgesweep.fleet.inventory import entry_of, load_inventory, save_inventory
from edgesweep.fleet.inventory_file import STARTED_BY
from edgesweep.fleet.local_agent import LocalAgent
from edgesweep.fleet.pki import ensure_device, ensure_lab
from edgesweep.home import Home

#: The device's name in the inventory, in its certificate and in every cell that it measures.
DEVICE = "local"
#: Marks an entry as ours, so that it is not taken for the user's.
LABELS = {STARTED_BY: "edgesweep"}


def state_dir_on_this_host(home: Home) -> Path:
    """The state folder of the agent on this host."""
    return home.state / "agents" / DEVICE


def wants_agent(home: Home, names: Collection[str]) -> bool:
    """Whether a command that uses the devices `names` needs the agent on this host."""
    entries = load_inventory(home.inventory).devices
    return DEVICE in names and any(entry.name == DEVICE and entry.on_demand for entry in entries)


@contextlib.asynccontextmanager
async def agent_on_this_host(home: Home) -> AsyncIterator[None]:
    """Makes the lab's certificates, starts an agent on loopback and puts it into the inventory as `DEVICE`.

    On leaving, the agent is stopped; a device of that name which was the user's own is put back.

    Raises:
        EdgesweepError: `certificate_unusable`, `config_invalid` or `unreachable` when one of the three cannot be done.
    """
    ensure_lab(home.pki)
    tls_dir = ensure_device(home.pki, DEVICE)
    async with LocalAgent() as agent:
        address = await agent.start(DEVICE, state_dir_on_this_host(home), tls_dir)
        ours = entry_of(DEVICE, address, LABELS)
        inventory = load_inventory(home.inventory)
        users_own = [entry for entry in inventory.devices if entry.name == DEVICE and not entry.on_demand]
        save_inventory(home.inventory, inventory.with_device(ours))
        try:
            yield
        finally:
            # Read again: the user may have added boards meanwhile, and what they changed is theirs.
            inventory = load_inventory(home.inventory)
            if users_own and ours in inventory.devices:
                save_inventory(home.inventory, inventory.with_device(users_own[0]))
