"""Tools that rewrite an exported graph before it is checked, found by name: a new file that defines `OPTIMISER` adds one.

The file's name is the optimiser's name in plans; `registry` lists them. None runs unless the plan asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edgesweep.export.registry import plugin


class Optimiser(Protocol):
    """One tool that makes a graph smaller or faster. `package` is what it imports, `extra` what pip installs for it."""

    package: str
    extra: str

    def optimise(self, source: Path, target: Path) -> None:
        """Write the model at `source` (external data beside it), rewritten, to `target`, in an empty folder.

        Raises:
            Exception: Whatever the tool raises.
        """


def optimiser_named(name: str) -> Optimiser:
    """The tool that a plan calls `name`.

    Raises:
        KeyError: No file of that name is in this folder.
    """
    optimiser: Optimiser = plugin("optimisers", name, "OPTIMISER")
    return optimiser
