"""Where a model comes from, and what is known of it without loading it: plain data that crosses processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edgesweep_proto.trial import Tolerance


class SourceKind(StrEnum):
    """The three places a model can come from."""

    ZOO = "zoo"
    FACTORY = "factory"
    ONNX = "onnx"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as a plan names it.

    `ref` is a zoo name, `file.py:callable` / `package.module:callable`, or the path of an `.onnx` file; file paths are
    absolute. `dynamic` maps an input to its named dynamic dimensions by axis, `ranges` a dimension to the sizes it may take.
    `inputs` is a `.npz` file with the example inputs, `references` a folder or a `.npz` file with an `.onnx` file's outputs for
    them; `seed` that of the inputs that are made up for an `.onnx` file. `tolerances` is what its outputs are held to on this
    host, by precision, where the plan says so.
    """

    kind: SourceKind
    ref: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)
    dynamic: dict[str, dict[int, str]] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    references: str | None = None
    inputs: str | None = None
    seed: int = 0
    tolerances: dict[str, Tolerance] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What planning needs to know of a model: its dynamic dimensions in order, their ranges and its own opset.

    `opset` is set for a ready `.onnx` file only. `missing` says which package the model needs and this host lacks. `example` holds the example's size of each dynamic dimension.
    """

    name: str
    dimensions: tuple[str, ...]
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    example: dict[str, int] = field(default_factory=dict)
    opset: int | None = None
    missing: str = ""
