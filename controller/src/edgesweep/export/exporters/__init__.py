"""The exporters, found by name: a new file in this folder that defines `EXPORTER` adds one.

The file's name is the exporter's name in plans; `registry` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgesweep.export.registry import plugin

if TYPE_CHECKING:
    import torch


class InterfaceError(Exception):
    """The exported graph does not take the model's inputs or give its outputs, so no name could be trusted."""


@dataclass(frozen=True, slots=True)
class Request:
    """A model as an exporter takes it: one axes profile, any opset.

    `inputs` are the arguments of `forward` by parameter name, at the sizes to trace at. `input_names` and
    `output_names` name every tensor in order. `dynamic` maps an input to its dynamic dimensions by axis, `ranges` a
    dimension to the sizes it may take.
    """

    module: torch.nn.Module
    inputs: dict[str, Any]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    dynamic: dict[str, dict[int, str]] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)


class Tracing(Protocol):
    """One model and axes profile, opened once and exported at many opsets."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the tracer warned of, in its own words: where a trace may not hold for other values or sizes."""

    def export(self, opset: int, path: Path) -> None:
        """Write the model at `opset` to `path`, with external data beside it where the exporter wants that.

        Raises:
            Exception: Whatever the exporter raises; `classify` knows what it means.
        """


class Exporter(Protocol):
    """One way from torch to ONNX. `captures_once` tells that all opsets of a profile share the first one's capture."""

    captures_once: bool

    def open(self, request: Request) -> Tracing:
        """Take up a model; nothing need be traced yet."""


def exporter_named(name: str) -> Exporter:
    """The exporter that a plan calls `name`.

    Raises:
        KeyError: No file of that name is in this folder.
    """
    exporter: Exporter = plugin("exporters", name, "EXPORTER")
    return exporter
