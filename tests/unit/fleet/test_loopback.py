from __future__ import annotations

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import Inventory, entry_of, load_inventory, save_inventory
from edgesweep.fleet.loopback import DEVICE, LABELS, agent_on_this_host, wants_agent
from edgesweep.fleet.pki import controller_tls_dir
from edgesweep.home import Home


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(*(tmp_path / part for part in ("config", "cache", "state", "data")))


BOARD = entry_of("board", "192.0.2.7:50051")
USERS_OWN = entry_of(DEVICE, "127.0.0.1:50051", {"site": "desk"})
LEFT_BEHIND = entry_of(DEVICE, "127.0.0.1:1", LABELS)


@pytest.mark.parametrize("before", [(), (LEFT_BEHIND, BOARD), (BOARD, USERS_OWN)])
async def test_the_agent_runs_only_while_it_is_needed_and_a_device_of_the_users_is_put_back(home, before) -> None:
    save_inventory(home.inventory, Inventory(before))
    async with agent_on_this_host(home):
        ours = load_inventory(home.inventory).get(DEVICE)
        async with DeviceClient(ours, controller_tls_dir(home.pki), controller_version="0") as client:
            assert (await client.describe()).device.name == DEVICE
    left = load_inventory(home.inventory)
    assert left.get(DEVICE) == (USERS_OWN if USERS_OWN in before else ours)
    assert {entry.name for entry in left.devices} == {DEVICE, *(entry.name for entry in before)}
    with pytest.raises(EdgesweepError) as caught:
        async with DeviceClient(ours, controller_tls_dir(home.pki), controller_version="0") as client:
            await client.describe()
    assert caught.value.code == "unreachable"


async def test_what_the_user_changes_meanwhile_is_kept_and_a_failure_cleans_up_too(home) -> None:
    async def fail() -> None:
        async with agent_on_this_host(home):
            save_inventory(home.inventory, load_inventory(home.inventory).with_device(BOARD))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert BOARD in load_inventory(home.inventory).devices
    async with agent_on_this_host(home):
        save_inventory(home.inventory, Inventory((USERS_OWN,)))
    assert load_inventory(home.inventory).devices == (USERS_OWN,)


def test_all_means_the_boards_whose_agents_the_user_runs() -> None:
    inventory = Inventory((LEFT_BEHIND, BOARD))
    assert inventory.select("all") == (BOARD,)
    assert inventory.select([DEVICE]) == (LEFT_BEHIND,)
    assert inventory.select(["*"]) == (LEFT_BEHIND, BOARD)


def test_the_agent_is_wanted_only_for_a_run_that_names_its_device(home) -> None:
    assert not wants_agent(home, {DEVICE})
    save_inventory(home.inventory, Inventory((LEFT_BEHIND, BOARD)))
    assert wants_agent(home, {DEVICE, "board"})
    assert not wants_agent(home, {"board"})
    save_inventory(home.inventory, Inventory((USERS_OWN,)))
    assert not wants_agent(home, {DEVICE})
