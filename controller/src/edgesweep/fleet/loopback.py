"""An agent on this very host for as long as one command runs, as the quickstart needs it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from edgesweep.fleet.inventory import entry_of, load_inventory, save_inventory
from edgesweep.fleet.local_agent import LocalAgent
from edgesweep.fleet.pki import ensure_device, ensure_lab
from edgesweep.home import Home

#: The device's name in the inventory, in its certificate and in every cell that it measures.
DEVICE = "local"
#: Marks an entry as ours, so that one which a killed command left behind is not taken for the user's.
LABELS = {"started-by": "quickstart"}


@contextlib.asynccontextmanager
async def agent_on_this_host(home: Home) -> AsyncIterator[None]:
    """Makes the lab's certificates, starts an agent on loopback and puts it into the inventory as `DEVICE`.

    On leaving, the agent is stopped and the inventory is as it was: an entry whose agent is gone would turn every later
    plan with `devices: all` into lab trouble.

    Raises:
        EdgesweepError: `certificate_unusable`, `config_invalid` or `unreachable` when one of the three cannot be done.
    """
    ensure_lab(home.pki)
    tls_dir = ensure_device(home.pki, DEVICE)
    async with LocalAgent() as agent:
        address = await agent.start(DEVICE, home.state / "agents" / DEVICE, tls_dir)
        ours = entry_of(DEVICE, address, LABELS)
        inventory = load_inventory(home.inventory)
        before = next((entry for entry in inventory.devices if entry.name == DEVICE), None)
        save_inventory(home.inventory, inventory.with_device(ours))
        try:
            yield
        finally:
            # Read again: the user may have added boards meanwhile, and what they changed is theirs.
            inventory = load_inventory(home.inventory)
            if ours in inventory.devices:
                users = before is not None and before.labels != LABELS
                after = inventory.with_device(before) if before and users else inventory.without(DEVICE)
                save_inventory(home.inventory, after)
