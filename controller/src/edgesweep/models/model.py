"""What a factory may return: a module with example inputs and named dynamic dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A PyTorch model as Edgesweep exports and proves it.

    Public as `edgesweep.Model`; importing it does not import torch.

    Attributes:
        module: The module. Edgesweep puts it in eval mode.
        example_inputs: Arguments of `forward`: a tuple by position, or a dict by parameter name.
        dynamic: Per input the names of its dynamic dimensions by axis, e.g. `{"x": {0: "batch"}}`. An input is a
            parameter of `forward`; a tensor inside a nested argument is named by its path, e.g. `past.0.key`.
        ranges: Per dimension the smallest and the largest size it may take.
        name: What the model is called where the plan gives it no name.
        output_names: Names of the outputs in order; empty means that the exporter chooses.
    """

    module: torch.nn.Module
    example_inputs: tuple[Any, ...] | dict[str, Any]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    name: str = ""
    output_names: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the dynamic dimensions, each once, by input and axis."""
        return tuple(dict.fromkeys(axes[axis] for axes in self.dynamic.values() for axis in sorted(axes)))
