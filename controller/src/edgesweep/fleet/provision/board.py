"""What a board says of itself when it is asked over its shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgesweep.fleet.provision.wanted import Wanted, runtime_name


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One Python of the board; `glibc` is major and minor, `fault` says why no onnxruntime can live there."""

    path: str
    version: tuple[int, ...] = ()
    machine: str = ""
    glibc: tuple[int, int] = (0, 0)
    ensurepip: bool = False
    fault: str = ""

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor version, which wheels are made for."""
        return self.version[0], self.version[1]

    @property
    def release(self) -> str:
        """Major and minor version as people write them."""
        return ".".join(map(str, self.version[:2]))

    def __str__(self) -> str:
        version = ".".join(map(str, self.version))
        return f"Python {version} ({self.path})" if version else self.path


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment under the agent's state folder; one that we did not make has no version."""

    name: str
    path: str
    flavour: str = ""
    version: str = ""
    python: str = ""

    @property
    def id(self) -> str:
        """What the agent calls it when no other is like it."""
        return runtime_name(self.flavour, self.version) if self.version else self.name

    def is_what(self, wanted: Wanted, python: tuple[int, ...] | None) -> bool:
        """Whether it is the runtime that is wanted, on any Python or on that of this version."""
        same = (self.flavour, self.version) == (wanted.flavour, wanted.version)
        minor = self.python.split(".")[:2]
        return same and (python is None or minor == [str(number) for number in python[:2]])


@dataclass(frozen=True, slots=True)
class Board:
    """The answer to a look: the state folder as the board resolves it, who we are there, and what there is."""

    state_dir: str
    state_dir_exists: bool
    user: str
    interpreters: tuple[Interpreter, ...]
    installed: tuple[Installed, ...]

    def named(self, text: str) -> tuple[Installed, ...]:
        """The environments that a person means by `text`: the folder's name, else the id with or without its Python."""
        exact = tuple(each for each in self.installed if each.name == text)
        if exact:
            return exact
        plain, _, python = text.partition("@")
        return tuple(
            each
            for each in self.installed
            if each.id == plain and python in {"", "py" + "".join(each.python.split(".")[:2])}
        )


def board_from(answer: Mapping[str, Any]) -> Board:
    """Reads what `on_board.look` answers."""
    return Board(
        answer["state_dir"],
        answer["state_dir_exists"],
        answer["user"],
        tuple(_interpreter(row) for row in answer["interpreters"]),
        tuple(
            Installed(row["name"], row["path"], row.get("flavour", ""), row.get("version", ""), row.get("python", ""))
            for row in answer["installed"]
        ),
    )


def _interpreter(row: Mapping[str, Any]) -> Interpreter:
    if "version" not in row:
        return Interpreter(row["path"], fault=row["fault"])
    numbers = row["libc"].removeprefix("glibc ").split(".")
    glibc = (int(numbers[0]), int(numbers[1])) if row["libc"].startswith("glibc ") else (0, 0)
    return Interpreter(
        row["path"], tuple(row["version"]), row["machine"], glibc, ensurepip=row["ensurepip"], fault=row["fault"]
    )
