"""Conversions of an exported fp32 model to another precision, found by name: a new file here that defines `PRECISION` adds one.

The file's name, its underscores as hyphens, is the precision's name in plans; `registry` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from edgesweep.export.registry import plugin

#: One set of inputs by the model's input names, as they would be fed to it.
Feed = Mapping[str, NDArray[Any]]


class UnconvertibleError(Exception):
    """The model has nothing that the precision could change, or cannot have it; the sentence is for the user."""


class Precision(Protocol):
    """One way from an fp32 file to another precision.

    `calibrates` tells that it needs inputs to look at, `halves` that it computes in half precision, which the host's CPU
    does not do by itself.
    """

    calibrates: bool
    halves: bool

    def convert(self, source: Path, target: Path, feeds: Sequence[Feed], /) -> None:
        """Write the model at `source` (external data beside it) in this precision to `target`, in an empty folder.

        Inputs and outputs keep their types.

        Args:
            source: A checked fp32 model.
            target: The file to write; external data goes beside it.
            feeds: Seeded calibration inputs; empty unless `calibrates`.

        Raises:
            UnconvertibleError: The model cannot have this precision.
            Exception: Whatever the converter raises; `conversion_failure` knows what it means.
        """


def precision_named(name: str) -> Precision:
    """The conversion that a plan calls `name`.

    Raises:
        KeyError: No file of that name is in this folder.
    """
    precision: Precision = plugin("precisions", name, "PRECISION")
    return precision
