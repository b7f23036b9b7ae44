"""The interpreters on this device that may hold an onnxruntime, found without importing any."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgesweep_agent.system_python import system_pythons


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that may hold an onnxruntime; `name` is the id that the settings give it, or empty."""

    python: str
    name: str = ""


def discover(named: Iterable[Interpreter], state_dir: Path) -> tuple[Interpreter, ...]:
    """Interpreters to look into: the named ones, those under `state_dir/runtimes`, the agent's own, and the system's.

    The agent's own and the system's count when they could import onnxruntime; they are asked without importing it.
    """
    found = {interpreter.python: interpreter for interpreter in named}
    for python in sorted((state_dir / "runtimes").glob("*/bin/python")):
        found.setdefault(str(python), Interpreter(str(python)))
    if _importable("onnxruntime"):
        found.setdefault(sys.executable, Interpreter(sys.executable))
    known = {os.path.realpath(name) for name in found if not _in_environment(name)}
    for system in system_pythons():
        if os.path.realpath(system) not in known:
            found.setdefault(system, Interpreter(system))
    return tuple(found.values())


def _in_environment(python: str) -> bool:
    """Whether an interpreter is one of a virtual environment, which shares its program with another's."""
    return os.path.exists(os.path.join(os.path.dirname(os.path.dirname(python)), "pyvenv.cfg"))  # noqa: PTH110, PTH118, PTH120


def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
