"""`mobile-cnn`: an image classifier in the manner of MobileNetV3 (Howard et al., 2019), with fewer blocks."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, channels // 4)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, channels, height, width) to the same shape."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(torch.relu(self.reduce(means))))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class InvertedResidual(nn.Module):
    """Widens, filters each channel by itself, gates, and narrows again; adds its input where the shape allows."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, size: int, stride: int, swish: bool) -> None:
        super().__init__()
        act = nn.Hardswish if swish else nn.ReLU
        self.body = nn.Sequential(
            *_conv(inputs, hidden, 1),
            act(),
            *_conv(hidden, hidden, size, stride, hidden),
            act(),
            SqueezeExcite(hidden),
            *_conv(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        y: torch.Tensor = self.body(x)
        return x + y if self.residual else y


class MobileCnn(nn.Module):
    """Classifies an image; works at any height and width thanks to the mean over positions at its end."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, 16, 3, 2), nn.Hardswish())
        self.blocks = nn.Sequential(
            InvertedResidual(16, 64, 24, size=3, stride=2, swish=False),
            InvertedResidual(24, 96, 40, size=5, stride=2, swish=True),
            InvertedResidual(40, 240, 80, size=5, stride=2, swish=True),
            InvertedResidual(80, 384, 80, size=5, stride=1, swish=True),
            InvertedResidual(80, 480, 96, size=5, stride=2, swish=True),
        )
        self.head = nn.Sequential(*_conv(96, 576, 1), nn.Hardswish())
        self.classifier = nn.Sequential(nn.Linear(576, 1024), nn.Hardswish(), nn.Linear(1024, classes))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 3, height, width) to class scores (batch, classes)."""
        features = self.head(self.blocks(self.stem(image)))
        scores: torch.Tensor = self.classifier(features.mean((2, 3)))
        return scores


def build(classes: int = 1000) -> Model:
    """The built-in model `mobile-cnn` with `classes` classes."""
    entry = ZOO["mobile-cnn"]
    return Model(
        module=seeded(lambda: MobileCnn(classes), seed=1, gain=1.55),
        example_inputs=(seeded_example((1, 3, 224, 224), seed=1),),
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("scores",),
    )
