"""`fourier-mixer`: tokens mixed by a Fourier transform instead of attention (FNet, Lee-Thorp et al., 2021)."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example


class Layer(nn.Module):
    """The real part of a transform over tokens and features, then a perceptron; each added and normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, seq, width) to the same shape."""
        mixed = torch.fft.fft2(x, norm="ortho").real
        x = self.norm1(x + mixed)
        y: torch.Tensor = self.norm2(x + self.perceptron(x))
        return y


class FourierMixer(nn.Module):
    """Classifies a row of tokens of any length."""

    def __init__(self, width: int, layers: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Layer(width) for _ in range(layers)))
        self.classifier = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Maps (batch, seq, width) to class scores (batch, classes)."""
        scores: torch.Tensor = self.classifier(self.layers(tokens).mean(1))
        return scores


def build(layers: int = 2, classes: int = 16) -> Model:
    """The built-in model `fourier-mixer` with `layers` layers and `classes` classes."""
    entry = ZOO["fourier-mixer"]
    return Model(
        module=seeded(lambda: FourierMixer(128, layers, classes), seed=5),
        example_inputs=(seeded_example((1, 64, 128), seed=5),),
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("scores",),
    )
