"""The file behind the inventory: its schema, its faults by line, and edits that keep people's comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from edgesweep.config_file import commented_yaml, write_config
from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.address import is_loopback, split_address
from edgesweep.fleet.names import name_fault
from edgesweep.fleet.ssh_target import target_fault

VERSION = 1

#: The label of a device whose agent Edgesweep starts itself.
STARTED_BY = "started-by"


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """One device: its name, `host:port` address, labels, and whether it is spoken to without TLS (loopback only).

    `ssh` is how a shell on it is reached, `[user@]host` as ssh takes it, `state_dir` the folder of its agent's `--state-dir`;
    both are for installing runtimes, and empty when they are not known.
    """

    name: str
    address: str
    labels: dict[str, str] = field(default_factory=dict)
    insecure: bool = False
    ssh: str = ""
    state_dir: str = ""

    @property
    def on_demand(self) -> bool:
        """Whether its agent is one of ours, started only while a command needs it (`fleet/loopback.py`)."""
        return STARTED_BY in self.labels


def entry_of(
    name: str,
    address: str,
    labels: Mapping[str, str] | None = None,
    *,
    insecure: bool = False,
    ssh: str = "",
    state_dir: str = "",
) -> DeviceEntry:
    """A checked entry, for `edgesweep device add`.

    Raises:
        EdgesweepError: `usage` with the reason.
    """
    try:
        row = _DeviceRow(
            name=name, address=address, labels=dict(labels or {}), insecure=insecure, ssh=ssh, state_dir=state_dir
        )
    except ValidationError as error:
        raise EdgesweepError("usage", _sentence(_plainest(error)), remedy="correct it and run again") from error
    return row.entry()


def read_entries(path: Path) -> tuple[DeviceEntry, ...]:
    """Reads the devices in `path`; a file that does not exist (or is empty) has none.

    Raises:
        EdgesweepError: `config_invalid` with file and line.
    """
    text = _read(path)
    document = _parse(text, path)
    if document is None:
        return ()
    if not isinstance(document, CommentedMap):
        raise _invalid(path, 1, "the inventory is not a mapping with the keys version and devices")
    _refuse_other_version(document, path)
    try:
        file = _InventoryFile.model_validate(_plain(document))
    except ValidationError as error:
        first = _plainest(error)
        raise _invalid(path, _line_of(document, first["loc"]), _sentence(first)) from error
    doubles = [name for name, count in Counter(row.name for row in file.devices).items() if count > 1]
    if doubles:
        last = max(index for index, row in enumerate(file.devices) if row.name == doubles[0])
        line = _line_of(document, ("devices", last, "name"))
        raise _invalid(path, line, f"two devices are called {doubles[0]!r}")
    return tuple(row.entry() for row in file.devices)


def write_entries(path: Path, devices: Sequence[DeviceEntry]) -> None:
    """Writes `devices` to `path`, all or nothing; comments and order of what stays are kept.

    Raises:
        EdgesweepError: `config_invalid` when the file in place is broken or cannot be written.
    """
    read_entries(path)
    document = _parse(_read(path), path)
    if document is None:
        document = CommentedMap({"version": VERSION})
        document["devices"] = CommentedSeq()
    rows = document.get("devices")
    if not rows or not devices:
        # Nothing to merge: a fresh list, since an emptied one keeps comments that no longer have a place.
        rows = document["devices"] = CommentedSeq()
        document.ca.items.pop("devices", None)
    _merge(rows, devices)
    write_config(path, document)


class _DeviceRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    address: str
    labels: dict[str, str] = Field(default_factory=dict)
    insecure: bool = False
    ssh: str = ""
    state_dir: str = ""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if fault := name_fault(value):
            raise ValueError(fault)
        return value

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _text_labels(cls, value: Any) -> Any:
        # `slot: 3` in YAML is a number; a label is always a text.
        if isinstance(value, dict):
            return {str(key): _label_text(item) for key, item in value.items()}
        return value

    @field_validator("insecure")
    @classmethod
    def _loopback_only(cls, value: bool, info: ValidationInfo) -> bool:
        address = info.data.get("address")
        if value and address is not None and not is_loopback(split_address(address)[0]):
            raise ValueError(f"insecure is for loopback addresses only, and {address!r} is none")
        return value

    @field_validator("ssh")
    @classmethod
    def _check_ssh(cls, value: str) -> str:
        if value and (fault := target_fault(value)):
            raise ValueError(fault)
        return value

    @field_validator("state_dir")
    @classmethod
    def _check_state_dir(cls, value: str) -> str:
        if value and not value.startswith(("/", "~/")):
            raise ValueError(f"state_dir is the board's own path, from / or ~/ on, and {value!r} is none")
        return value

    def entry(self) -> DeviceEntry:
        return DeviceEntry(self.name, self.address, dict(self.labels), self.insecure, self.ssh, self.state_dir)


class _InventoryFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1]
    devices: list[_DeviceRow] = Field(default_factory=list)


def _label_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise EdgesweepError("config_invalid", f"{path} is not a UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise EdgesweepError(
            "config_invalid", f"{path} cannot be read: {error.strerror}", remedy="check the file and its permissions"
        ) from error


def _parse(text: str, path: Path) -> Any:
    try:
        return commented_yaml().load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = str(error.problem or "it is not valid YAML").splitlines()[0]
        raise _invalid(path, line, problem) from error
    except YAMLError as error:
        raise _invalid(path, 1, str(error).splitlines()[0]) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else value


def _refuse_other_version(document: CommentedMap, path: Path) -> None:
    version = document.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        line = _line_of(document, ("version",))
        raise EdgesweepError(
            "config_invalid",
            f"{path}:{line}: version {version} is newer than this Edgesweep knows ({VERSION})",
            remedy="install the version of Edgesweep that wrote it, or newer",
        )


def _invalid(path: Path, line: int, sentence: str) -> EdgesweepError:
    return EdgesweepError("config_invalid", f"{path}:{line}: {sentence}")


def _line_of(document: Any, location: Iterable[int | str]) -> int:
    """The line (from 1) of the deepest part of `location` that stands in the file."""
    line, node = 0, document
    for step in location:
        try:
            if isinstance(node, CommentedMap):
                line = node.lc.key(step)[0]
            elif isinstance(node, CommentedSeq):
                line = node.lc.item(step)[0]
            else:
                break
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
    return line + 1


def _plainest(error: ValidationError) -> Any:
    """The fault to tell: a misspelt key explains the missing one better than the other way round."""
    faults = error.errors()
    return next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])


def _sentence(error: Any) -> str:
    """One plain sentence for one of pydantic's errors."""
    where = ".".join(str(step) for step in error["loc"] if not isinstance(step, int)) or "the inventory"
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        word = str(error["loc"][-1])
        known = ("version", "devices") if len(error["loc"]) == 1 else tuple(_DeviceRow.model_fields)
        return f"unknown key {word!r}{hint(word, known)}"
    if kind == "literal_error":
        return f"{where} must be {VERSION}, not {error['input']!r}"
    wanted = {
        "string_type": "a text",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "a mapping of labels",
        "model_type": "a mapping with at least name and address",
    }.get(kind)
    return f"{where} must be {wanted}, not {error['input']!r}" if wanted else f"{where}: {error['msg']}"


def _merge(rows: CommentedSeq, devices: Sequence[DeviceEntry]) -> None:
    wanted = {entry.name: entry for entry in devices}
    for index in reversed(range(len(rows))):
        if rows[index].get("name") not in wanted:
            _drop(rows, index)
    for row in rows:
        _update(row, wanted.pop(row["name"]))
    for entry in wanted.values():
        row = CommentedMap({"name": entry.name, "address": entry.address})
        _update(row, entry)
        rows.append(row)


def _update(row: CommentedMap, entry: DeviceEntry) -> None:
    if row["address"] != entry.address:
        row["address"] = entry.address
    if entry.insecure != row.get("insecure", False):
        row["insecure"] = entry.insecure
    for key, value in (("ssh", entry.ssh), ("state_dir", entry.state_dir)):
        if value != row.get(key, ""):
            row[key] = value
    labels = row.get("labels")
    present = {} if labels is None else {str(key): _label_text(value) for key, value in labels.items()}
    if present != entry.labels:
        row["labels"] = CommentedMap(entry.labels)
        row["labels"].fa.set_flow_style()


def _drop(rows: CommentedSeq, index: int) -> None:
    """Removes one row, but keeps the comment lines after it: they speak of what follows."""
    tail = _tail_comment(rows[index])
    del rows[index]
    if tail is None:
        return
    lines = [line.strip().removeprefix("#").strip() for line in tail.split("\n", 1)[-1].strip().splitlines()]
    text = "\n".join(line for line in lines if line)
    if text and index < len(rows):
        before = rows.ca.items.get(index)
        rows.yaml_set_comment_before_after_key(index, before=text, indent=2 if before is None else None)


def _tail_comment(node: Any) -> str | None:
    """The text of the comment that ruamel hung on the last leaf of `node`."""
    while isinstance(node, (CommentedMap, CommentedSeq)) and len(node):
        key = list(node)[-1] if isinstance(node, CommentedMap) else len(node) - 1
        tokens = node.ca.items.get(key)
        for token in tokens or ():
            if token is not None and not isinstance(token, list):
                return str(token.value)
        node = node[key]
    return None
