"""Installs and removes the runtimes of one board, over whichever shell leads there."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.provision.board import Board, Installed, Interpreter, board_from
from edgesweep.fleet.provision.shell import Say, Shell, converse
from edgesweep.fleet.provision.wanted import Wanted, runtime_name
from edgesweep.fleet.provision.wheels import NO_PIP, Collected, Source, UnfitError, collect

#: What ends the whole command: the next runtime would meet it as well.
_HOPELESS = frozenset(
    {
        "ssh_unreachable",
        "ssh_refused",
        "index_unreachable",
        "missing_extra",
        "machine_unfit",
        "state_dir_unusable",
        "disk_full",
        "no_interpreter",
        "unreachable",
    }
)

#: Seconds after which a folder of wheels that pass through is nobody's any more.
_STALE_S = 24 * 3600.0

_STEPS = {
    "environment": "making its environment",
    "install": "installing",
    "check": "importing onnxruntime",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one wanted runtime: `installed`, `present` (it was there before) or `failed` with its error."""

    wanted: Wanted
    state: str
    name: str = ""
    path: str = ""
    flavour: str = ""
    version: str = ""
    python: str = ""
    error: EdgesweepError | None = None


class Provisioner:
    """Puts runtimes on a board and takes them off it.

    Args:
        shell: The way to the board.
        state_dir: The agent's state folder there; `~/` is the shell user's home.
        python: The board's interpreter to use, by path or name; None finds one that fits.
        say: Is told each step in a sentence.
    """

    def __init__(self, shell: Shell, state_dir: str, python: str | None, say: Say) -> None:
        self._shell = shell
        self._state_dir = state_dir
        self._python = python
        self._say = say

    async def look(self) -> Board:
        """The board's interpreters and what is installed there."""
        return board_from(await self._do({"do": "look", "python": self._python}))

    async def install(
        self, wanted: Sequence[Wanted], source: Source, cache: Path, *, online: bool, done: Callable[[Outcome], None]
    ) -> None:
        """Install each of `wanted` that is not there yet. One that fails does not keep the next from being tried.

        Args:
            wanted: What.
            source: Where its wheels are collected from.
            cache: A folder of ours for files that pass through.
            online: The board's own pip fetches the wheels, and nothing is collected here.
            done: Is told each outcome as it comes.

        Raises:
            EdgesweepError: what the next one would meet as well, such as a link that broke.
        """
        await asyncio.to_thread(_make_cache, cache)
        board = await self.look()
        if not board.state_dir_exists:
            self._say(f"{board.state_dir} is not there yet and is made; an agent must be started with it")
        for each in wanted:
            try:
                outcome = await self._install_one(each, board, source, cache, online=online)
            except EdgesweepError as error:
                if error.code in _HOPELESS:
                    raise
                outcome = Outcome(each, "failed", error=error)
            done(outcome)
            if outcome.state == "installed":
                board = await self.look()

    async def remove(self, text: str) -> Installed:
        """Remove the runtime that `text` names.

        Raises:
            EdgesweepError: `unknown_runtime`.
        """
        found = self.which(await self.look(), text)
        await self._do({"do": "remove", "name": found.name})
        return found

    @staticmethod
    def which(board: Board, text: str) -> Installed:
        """The one environment that `text` names.

        Raises:
            EdgesweepError: `unknown_runtime` when there is none, or more than one.
        """
        found = board.named(text)
        if len(found) == 1:
            return found[0]
        names = ", ".join(each.name for each in board.installed) or "none"
        if found:
            names = ", ".join(each.name for each in found)
            raise EdgesweepError("unknown_runtime", f"{text} may be any of {names}", remedy="name one of them")
        raise EdgesweepError(
            "unknown_runtime",
            f"{board.state_dir}/runtimes holds no {text}; it holds {names}",
            remedy="a runtime that is not in that folder (the agent's own, or one of its --runtime) is not ours to remove",
        )

    async def _install_one(self, wanted: Wanted, board: Board, source: Source, cache: Path, *, online: bool) -> Outcome:
        candidates = _candidates(board, wanted)
        python = wanted.python or (candidates[0].minor if self._python else None)
        if wanted.version and (there := _there(board, wanted, python)):
            return _present(wanted, there)
        if online:
            return await self._install_online(wanted, board, candidates)
        reasons = []
        for interpreter in candidates:
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                self._say(f"{wanted.text}: collecting wheels for {interpreter}")
                try:
                    collected = await collect(wanted, interpreter, source, Path(folder))
                except UnfitError as error:
                    reasons.append(f"Python {interpreter.release} {error}")
                    continue
                found = wanted.of_version(wanted.version or collected.version)
                if there := _there(board, found, python):
                    return _present(found, there)
                size = sum(path.stat().st_size for path in collected.files)
                self._say(f"{wanted.text}: copying {size / 1e6:.0f} MB to {self._shell.place}")
                return await self._make(found, board, interpreter, collected)
        raise _unfit(wanted, reasons)

    async def _install_online(self, wanted: Wanted, board: Board, candidates: Sequence[Interpreter]) -> Outcome:
        reasons = []
        for interpreter in candidates:
            if not interpreter.ensurepip:
                reasons.append(f"Python {interpreter.release} {NO_PIP}")
                continue
            try:
                return await self._make(wanted, board, interpreter, None)
            except EdgesweepError as error:
                if error.code != "runtime_unfit":
                    raise
                reasons.append(f"Python {interpreter.release} ({error.message})")
        raise _unfit(wanted, reasons)

    async def _make(
        self, wanted: Wanted, board: Board, interpreter: Interpreter, collected: Collected | None
    ) -> Outcome:
        requirement = wanted.wheel.name if wanted.wheel is not None else wanted.requirement
        answer = await self._do(
            {
                "do": "install",
                "name": _free_name(board, wanted, interpreter) if wanted.version else "",
                "flavour": wanted.flavour,
                "version": wanted.version,
                "python": interpreter.path,
                "requirement": requirement,
                "constraints": list(wanted.constraints),
                "online": collected is None,
                "needs_bytes": collected.needs_bytes if collected else 0,
            },
            collected.files if collected else (),
            wanted.text,
        )
        name = Path(answer["path"]).name
        if answer["present"]:
            return Outcome(wanted, "present", name, answer["path"], wanted.flavour, wanted.version)
        return Outcome(
            wanted, "installed", name, answer["path"], answer["flavour"], answer["onnxruntime"], answer["python"]
        )

    async def _do(self, job: dict[str, Any], files: Sequence[Path] = (), what: str = "") -> dict[str, Any]:
        python = self._python or "python3"
        return await converse(
            self._shell,
            {"state_dir": self._state_dir, **job},
            files,
            python=python,
            on_step=lambda step: self._say(f"{what}: {_STEPS.get(step, step)}"),
        )


def _make_cache(cache: Path) -> None:
    """The folder of ours, without what a killed call has left in it long ago."""
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.iterdir():
        if left.stat().st_mtime < time.time() - _STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _candidates(board: Board, wanted: Wanted) -> list[Interpreter]:
    """The interpreters that `wanted` may live in, newest first, one of each version.

    Raises:
        EdgesweepError: `no_interpreter`, with what is there.
    """
    usable: dict[tuple[int, int], Interpreter] = {}
    for interpreter in board.interpreters:
        if not interpreter.fault and wanted.python in {None, interpreter.minor}:
            usable.setdefault(interpreter.minor, interpreter)
    if usable:
        return [usable[minor] for minor in sorted(usable, reverse=True)]
    want = "" if wanted.python is None else " {}.{}".format(*wanted.python)
    there = "; ".join(f"{each}: {each.fault}" if each.fault else str(each) for each in board.interpreters) or "none"
    raise EdgesweepError(
        "runtime_unfit" if wanted.python else "no_interpreter",
        f"the board has no Python{want} for {wanted.text}; it has: {there}",
        remedy="install one with its venv module on the board, or name an interpreter with --python",
    )


def _there(board: Board, wanted: Wanted, python: tuple[int, int] | None) -> Installed | None:
    return next((each for each in board.installed if each.is_what(wanted, python)), None)


def _present(wanted: Wanted, there: Installed) -> Outcome:
    return Outcome(wanted, "present", there.name, there.path, there.flavour, there.version, there.python)


def _free_name(board: Board, wanted: Wanted, interpreter: Interpreter) -> str:
    """The folder's name: the runtime's id, with its Python where one of that id is there already."""
    name = runtime_name(wanted.flavour, wanted.version)
    if any(each.name == name for each in board.installed):
        name += "@py{}{}".format(*interpreter.minor)
    return name


def _unfit(wanted: Wanted, reasons: Sequence[str]) -> EdgesweepError:
    what = wanted.wheel.name if wanted.wheel else " ".join(filter(None, (wanted.distribution, wanted.version)))
    return EdgesweepError("runtime_unfit", f"no {what} fits a Python of the board: {'; '.join(reasons)}")
