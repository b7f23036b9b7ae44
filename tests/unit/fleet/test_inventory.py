from __future__ import annotations

import stat
from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet.inventory import DeviceEntry, Inventory, entry_of, load_inventory, save_inventory

LAB = """\
# The boards in rack 2
version: 1
devices:
  # the oldest board
  - name: pi-1
    address: 192.168.1.20:50051   # by the window
    labels: {arch: aarch64, site: lab1}

  # borrowed until May
  - name: jetson-1
    address: "jetson.lab:50051"
    labels:
      arch: aarch64   # JetPack 6
      site: lab2
      slot: 3
  - name: here
    address: 127.0.0.1:50051
    insecure: true
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "inventory.yaml"
    file.write_text(LAB)
    return file


def test_load(path):
    assert load_inventory(path).devices == (
        DeviceEntry("pi-1", "192.168.1.20:50051", {"arch": "aarch64", "site": "lab1"}),
        DeviceEntry("jetson-1", "jetson.lab:50051", {"arch": "aarch64", "site": "lab2", "slot": "3"}),
        DeviceEntry("here", "127.0.0.1:50051", {}, insecure=True),
    )


def test_saving_what_was_loaded_changes_not_one_byte(path):
    save_inventory(path, load_inventory(path))
    assert path.read_text() == LAB


def test_a_change_touches_only_its_own_line(path):
    inventory = load_inventory(path)
    moved = DeviceEntry("jetson-1", "10.0.0.9:50051", inventory.get("jetson-1").labels)
    save_inventory(path, inventory.with_device(moved))
    assert path.read_text() == LAB.replace("jetson.lab", "10.0.0.9")
    assert load_inventory(path).get("jetson-1") == moved


def test_an_added_device_comes_last_and_all_comments_stay(path):
    new = DeviceEntry("rock-1", "[fe80::1]:50051", {"arch": "aarch64"})
    save_inventory(path, load_inventory(path).with_device(new))
    assert path.read_text().startswith(LAB.rstrip())
    assert load_inventory(path).devices[-1] == new


def test_the_way_to_a_shell_is_kept_beside_the_address(path):
    new = entry_of("rock-1", "rock:50051", {}, ssh="lab@rock", state_dir="~/edgesweep")
    save_inventory(path, load_inventory(path).with_device(new))
    assert path.read_text().endswith("    ssh: lab@rock\n    state_dir: ~/edgesweep\n")
    assert load_inventory(path).get("rock-1") == new
    for wrong in ({"ssh": "-oProxyCommand=x"}, {"state_dir": "edgesweep"}):
        with pytest.raises(EdgesweepError) as caught:
            entry_of("rock-1", "rock:50051", {}, **wrong)
        assert caught.value.exit_code is ExitCode.USAGE


def test_a_removed_device_takes_none_of_its_followers_comments(path):
    save_inventory(path, load_inventory(path).without("pi-1"))
    text = path.read_text()
    assert "pi-1" not in text
    for comment in ("# The boards in rack 2", "# borrowed until May", "# JetPack 6"):
        assert comment in text
    assert [entry.name for entry in load_inventory(path).devices] == ["jetson-1", "here"]
    assert text.index("# borrowed until May") < text.index("jetson-1")


def test_all_devices_can_go_and_come_back(path):
    inventory = load_inventory(path)
    save_inventory(path, Inventory())
    assert load_inventory(path) == Inventory()
    save_inventory(path, inventory)
    assert load_inventory(path) == inventory


def test_a_device_that_gets_another_address_keeps_what_was_said_of_it():
    known = DeviceEntry("pi-1", "pi:50051", {"site": "lab1", "case": "open"}, ssh="lab@pi", state_dir="/srv/state")
    other = DeviceEntry("pi-2", "pi2:50051")
    inventory = Inventory((known, other)).with_changed(DeviceEntry("pi-1", "192.0.2.9:50051", {"case": "closed"}))
    changed = DeviceEntry(
        "pi-1", "192.0.2.9:50051", {"site": "lab1", "case": "closed"}, ssh="lab@pi", state_dir="/srv/state"
    )
    assert inventory == Inventory((changed, other))
    moved = inventory.with_changed(DeviceEntry("pi-1", "192.0.2.9:50051", ssh="root@pi", state_dir="/var/state"))
    assert (moved.get("pi-1").ssh, moved.get("pi-1").state_dir) == ("root@pi", "/var/state")


def test_a_new_file_is_made_with_its_folder(tmp_path):
    path = tmp_path / "config" / "inventory.yaml"
    assert load_inventory(path) == Inventory()
    inventory = Inventory((DeviceEntry("pi-1", "pi:50051", {"a": "true"}),))
    save_inventory(path, inventory)
    assert path.read_text().startswith("version: 1\ndevices:\n  - name: pi-1\n    address: pi:50051\n")
    assert load_inventory(path) == inventory
    assert [file.name for file in path.parent.iterdir()] == ["inventory.yaml"]


def test_a_broken_file_is_never_overwritten(path):
    path.write_text("version: 1\ndevices: [")
    with pytest.raises(EdgesweepError):
        save_inventory(path, Inventory())
    assert path.read_text() == "version: 1\ndevices: ["


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("version: 1\ndevices:\n  - name: a\n    address: [", 4, "expected"),
        ("version: 1\nversion: 1\n", 2, 'found duplicate key "version"'),
        ("- a\n", 1, "not a mapping"),
        ("devices: []\n", 1, "version is missing"),
        ("version: 2\n", 1, "version 2 is newer than this Edgesweep knows"),
        ("version: one\n", 1, "version must be 1, not 'one'"),
        ("version: 1\ndevice: []\n", 2, "unknown key 'device', did you mean 'devices'?"),
        ("version: 1\ndevices: pi\n", 2, "devices must be a list, not 'pi'"),
        ("version: 1\ndevices:\n  - pi\n", 3, "devices must be a mapping with at least name and address"),
        ("version: 1\ndevices:\n  - name: a\n", 3, "devices.address is missing"),
        ("version: 1\ndevices:\n  - name: a\n    adress: b:1\n", 4, "unknown key 'adress', did you mean"),
        (
            "version: 1\ndevices:\n  - name: a\n    address: b:1\n    label: {}\n",
            5,
            "unknown key 'label', did you mean 'labels'?",
        ),
        ("version: 1\ndevices:\n  - name: Pi\n    address: b:1\n", 3, "'Pi' is not a name"),
        ("version: 1\ndevices:\n  - address: b:1\n    name: 7\n", 4, "devices.name must be a text, not 7"),
        ("version: 1\ndevices:\n  - name: a\n    address: b\n", 4, "address 'b' has no port"),
        ("version: 1\ndevices:\n  - name: a\n    address: b:0\n", 4, "'0' is not a number from 1 to 65535"),
        ("version: 1\ndevices:\n  - name: a\n    address: b:99999\n", 4, "not a number from 1 to 65535"),
        ("version: 1\ndevices:\n  - name: a\n    address: fe80::1:5\n", 4, "write an IPv6 address in brackets"),
        ('version: 1\ndevices:\n  - name: a\n    address: "[nope]:5"\n', 4, "no IPv6 address in its brackets"),
        ("version: 1\ndevices:\n  - name: a\n    address: http://b:5\n", 4, "cannot be a host name"),
        (
            "version: 1\ndevices:\n  - name: a\n    address: b:5\n    insecure: true\n",
            5,
            "insecure is for loopback addresses only",
        ),
        (
            "version: 1\ndevices:\n  - name: a\n    address: b:5\n    insecure: 1\n",
            5,
            "devices.insecure must be true or false, not 1",
        ),
        (
            "version: 1\ndevices:\n  - name: a\n    address: b:5\n    labels: x\n",
            5,
            "devices.labels must be a mapping of labels, not 'x'",
        ),
        (
            "version: 1\ndevices:\n  - name: a\n    address: b:5\n  - name: a\n    address: c:5\n",
            5,
            "two devices are called 'a'",
        ),
    ],
)
def test_each_fault_is_one_sentence_with_file_and_line(path, text, line, sentence):
    path.write_text(text)
    with pytest.raises(EdgesweepError) as caught:
        load_inventory(path)
    assert caught.value.code == "config_invalid"
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy


def test_a_file_that_is_no_text(path):
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EdgesweepError, match="is not a UTF-8 text"):
        load_inventory(path)


def test_a_folder_in_its_place(path):
    path.unlink()
    path.mkdir(stat.S_IRWXU)
    with pytest.raises(EdgesweepError, match="cannot be read"):
        load_inventory(path)


def test_an_entry_from_the_command_line_is_checked_alike():
    assert entry_of("pi-9", "pi:1", {"a": "b"}) == DeviceEntry("pi-9", "pi:1", {"a": "b"})
    with pytest.raises(EdgesweepError, match="has no port") as caught:
        entry_of("pi-9", "pi")
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_unknown_device_gets_the_nearest_name(path):
    with pytest.raises(EdgesweepError, match="no device 'jetson1' in the inventory, did you mean 'jetson-1'") as caught:
        load_inventory(path).get("jetson1")
    assert caught.value.code == "unknown_device"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("all", ["pi-1", "jetson-1", "here"]),
        (["all"], ["pi-1", "jetson-1", "here"]),
        (["here", "pi-1", "pi-1"], ["pi-1", "here"]),
        ("here", ["here"]),
        ("pi-1, here", ["pi-1", "here"]),
        (["*-1"], ["pi-1", "jetson-1"]),
        ("arch=aarch64", ["pi-1", "jetson-1"]),
        ("arch=aarch64, site=lab2", ["jetson-1"]),
        ("site=lab*", ["pi-1", "jetson-1"]),
        ("slot=3", ["jetson-1"]),
        ([], []),
    ],
)
def test_select(path, selector, names):
    assert [entry.name for entry in load_inventory(path).select(selector)] == names


@pytest.mark.parametrize(
    ("selector", "code", "sentence"),
    [
        (["pi-11"], "unknown_device", "did you mean 'pi-1'"),
        (["rock-*"], "unknown_device", "no device of the inventory fits 'rock-*'"),
        ("arch=riscv", "nothing_selected", "no device carries the labels 'arch=riscv'"),
        ("sites=lab1", "nothing_selected", "no device carries the label 'sites', did you mean 'site'"),
        ("arch=aarch64,lab1", "usage", "'lab1' in the selector"),
    ],
)
def test_a_selector_that_finds_nothing_says_why(path, selector, code, sentence):
    with pytest.raises(EdgesweepError) as caught:
        load_inventory(path).select(selector)
    assert caught.value.code == code
    assert sentence in caught.value.message
