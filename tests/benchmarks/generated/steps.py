"""What a generated model is put together from: a value's layout, steps that map one to another, and where they are listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import nn

#: Layouts of a float tensor: (batch, channels), (batch, length, channels), (batch, channels, height, width).
VECTOR, SEQUENCE, IMAGE = "vector", "sequence", "image"


@dataclass(frozen=True)
class Value:
    """What flows between steps. `room` is the smallest size that its length, or height and width, can take."""

    layout: str
    channels: int
    room: int = 1

    def of(self, channels: int) -> Value:
        """The same layout with another number of channels."""
        return replace(self, channels=channels)


class Step(nn.Module):
    """A function of one tensor with the layers that it uses as attributes."""

    def __init__(self, function: Callable[[nn.Module, torch.Tensor], torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


@dataclass(frozen=True)
class Made:
    """A step and what it returns."""

    step: nn.Module
    value: Value


Maker = Callable[[Random, Value], Made]


@dataclass(frozen=True)
class Entry:
    """A maker with what it needs: a layout, and a smallest size of the length or of height and width."""

    name: str
    maker: Maker
    layout: str
    room: int


class Catalogue:
    """Makers by the layout that they take."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, layout: str, *, room: int = 1) -> Callable[[Maker], Maker]:
        """List the maker that follows."""

        def listed(maker: Maker) -> Maker:
            self._entries.append(Entry(maker.__name__, maker, layout, room))
            return maker

        return listed

    def fitting(self, value: Value) -> list[Entry]:
        """What can be done with `value`."""
        return [entry for entry in self._entries if entry.layout == value.layout and entry.room <= value.room]


#: What any exporter may be expected to express.
HONEST = Catalogue()
#: What a trace gets wrong: Python that sees a size or a value.
TRAPS = Catalogue()

ACTIVATIONS = (
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardswish,
    nn.Softplus,
    nn.ELU,
    nn.Mish,
    nn.LeakyReLU,
    nn.ReLU6,
    nn.Softsign,
)
