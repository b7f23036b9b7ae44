"""The lab's devices: `inventory.yaml`, written by people and by `edgesweep device add`."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.inventory_file import DeviceEntry, entry_of, read_entries, write_entries

__all__ = ["DeviceEntry", "Inventory", "entry_of", "load_inventory", "save_inventory"]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The devices of a lab in the order of the file."""

    devices: tuple[DeviceEntry, ...] = ()

    def get(self, name: str) -> DeviceEntry:
        """The device called `name`.

        Raises:
            EdgesweepError: `unknown_device`, with the nearest name.
        """
        for entry in self.devices:
            if entry.name == name:
                return entry
        known = [entry.name for entry in self.devices]
        raise EdgesweepError("unknown_device", f"no device {name!r} in the inventory{hint(name, known)}")

    def select(self, selector: str | Sequence[str]) -> tuple[DeviceEntry, ...]:
        """The devices that a plan or an option asks for, each once, in the order of the inventory.

        Args:
            selector: `all` (but those on demand, whose agent runs only when they are named); a list of names or globs (`pi-*`); or, as one text, a name, a glob or a label selector
                such as `arch=aarch64,site=lab1`, where a value may be a glob and all pairs must hold.

        Raises:
            EdgesweepError: `unknown_device` for a name or glob that fits nothing, `nothing_selected` for labels
                that no device carries.
        """
        if isinstance(selector, str):
            if selector == "all":
                return tuple(entry for entry in self.devices if not entry.on_demand)
            if "=" in selector:
                return self._by_labels(selector)
            selector = [part.strip() for part in selector.split(",") if part.strip()]
        chosen = {entry.name for pattern in selector for entry in self._by_pattern(pattern)}
        return tuple(entry for entry in self.devices if entry.name in chosen)

    def with_device(self, entry: DeviceEntry) -> Inventory:
        """A copy with `entry` added, or put in the place of the device of the same name."""
        if any(known.name == entry.name for known in self.devices):
            return Inventory(tuple(entry if known.name == entry.name else known for known in self.devices))
        return Inventory((*self.devices, entry))

    def with_changed(self, entry: DeviceEntry) -> Inventory:
        """A copy with `entry`; where a device of that name is known, what `entry` leaves empty stays as it was.

        Its labels are added to the known ones: a board that gets another address keeps all that people wrote of it.
        """
        known = next((known for known in self.devices if known.name == entry.name), None)
        if known is not None and not known.on_demand:
            entry = replace(
                entry,
                labels={**known.labels, **entry.labels},
                ssh=entry.ssh or known.ssh,
                state_dir=entry.state_dir or known.state_dir,
            )
        return self.with_device(entry)

    def without(self, name: str) -> Inventory:
        """A copy without the device called `name`; an unknown one raises as `get` does."""
        gone = self.get(name)
        return Inventory(tuple(entry for entry in self.devices if entry is not gone))

    def _by_pattern(self, pattern: str) -> tuple[DeviceEntry, ...]:
        if pattern == "all":
            return self.devices
        if not any(sign in pattern for sign in "*?["):
            return (self.get(pattern),)
        found = tuple(entry for entry in self.devices if fnmatch.fnmatchcase(entry.name, pattern))
        if not found:
            raise EdgesweepError("unknown_device", f"no device of the inventory fits {pattern!r}")
        return found

    def _by_labels(self, selector: str) -> tuple[DeviceEntry, ...]:
        wanted: dict[str, str] = {}
        for part in selector.split(","):
            key, sign, value = part.partition("=")
            if not sign or not key.strip() or not value.strip():
                raise EdgesweepError(
                    "usage",
                    f"{part.strip()!r} in the selector {selector!r} is not of the form label=value",
                    remedy="write pairs with commas between, e.g. arch=aarch64,site=lab1",
                )
            wanted[key.strip()] = value.strip()
        labels = {key for entry in self.devices for key in entry.labels}
        for key in wanted:
            if key not in labels:
                raise EdgesweepError(
                    "nothing_selected",
                    f"no device carries the label {key!r}{hint(key, sorted(labels))}",
                    remedy="see the labels with `edgesweep device list`",
                )
        found = tuple(
            entry
            for entry in self.devices
            if all(fnmatch.fnmatchcase(entry.labels.get(key, ""), value) for key, value in wanted.items())
        )
        if not found:
            raise EdgesweepError(
                "nothing_selected",
                f"no device carries the labels {selector!r}",
                remedy="see the labels with `edgesweep device list`",
            )
        return found


def load_inventory(path: Path) -> Inventory:
    """Reads the inventory at `path`; a file that does not exist (or is empty) is an inventory without devices.

    Raises:
        EdgesweepError: `config_invalid` with file and line.
    """
    return Inventory(read_entries(path))


def save_inventory(path: Path, inventory: Inventory) -> None:
    """Writes `inventory` to `path`, all or nothing; comments and order of what stays are kept.

    Raises:
        EdgesweepError: `config_invalid` when the file in place is broken or cannot be written.
    """
    write_entries(path, inventory.devices)
