"""`detector`: an anchor-free object detector over a feature pyramid (Lin et al., 2016; Tian et al., 2019), small."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
    )


class Stage(nn.Module):
    """Halves the size, then adds what a filter finds."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # 2 x 2 without padding: size // 2 stays a simple expression, which the dynamo exporter needs half the time for.
        self.down = _conv(inputs, outputs, 2, 2)
        self.body = _conv(outputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, inputs, height, width) to (batch, outputs, height // 2, width // 2)."""
        x = self.down(x)
        y: torch.Tensor = x + self.body(x)
        return y


class Detector(nn.Module):
    """Finds boxes and class scores at strides 8, 16 and 32; works at any height and width from 32 on, odd ones too."""

    def __init__(self, classes: int, neck: int) -> None:
        super().__init__()
        self.stem = _conv(3, 48, 4, 4)
        self.stages = nn.ModuleList([Stage(48, 64), Stage(64, 96), Stage(96, 160)])
        self.lateral = nn.ModuleList(nn.Conv2d(channels, neck, 1) for channels in (64, 96, 160))
        self.smooth = _conv(neck, neck, 3, padding=1)
        self.head = nn.Conv2d(neck, 4 + classes, 1)

    def _pyramid(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(image)
        features: list[torch.Tensor] = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            features.append(lateral(x))
        levels = [features[-1]]
        for feature in reversed(features[:-1]):
            # To the size of the finer level, not by a factor of two: an odd size has no exact half.
            above = functional.interpolate(levels[0], size=feature.shape[2:], mode="nearest")
            levels.insert(0, feature + above)
        return levels

    @staticmethod
    def _centres(level: torch.Tensor) -> torch.Tensor:
        """Where the cells of a level lie, as fractions of the image: x and y (2, positions)."""
        height, width = level.shape[2], level.shape[3]
        y = (torch.arange(height, device=level.device) + 0.5) / height
        x = (torch.arange(width, device=level.device) + 0.5) / width
        return torch.stack((x.expand(height, width), y[:, None].expand(height, width))).flatten(1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (batch, 3, height, width) to boxes (batch, positions, 4) and scores (batch, positions, classes).

        A box is its left, top, right and bottom as fractions of the image.
        """
        levels = self._pyramid(image)
        found = torch.cat([self.head(self.smooth(level)).flatten(2) for level in levels], 2).transpose(1, 2)
        centres = torch.cat([self._centres(level) for level in levels], 1).transpose(0, 1)
        distances = functional.softplus(found[:, :, :4]) * 0.1
        boxes = torch.cat((centres - distances[:, :, :2], centres + distances[:, :, 2:]), 2)
        return boxes, found[:, :, 4:].sigmoid()


def build(classes: int = 20) -> Model:
    """The built-in model `detector` with `classes` classes."""
    entry = ZOO["detector"]
    return Model(
        module=seeded(lambda: Detector(classes, 64), seed=4, gain=1.35),
        example_inputs=(seeded_example((1, 3, 192, 192), seed=4),),
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("boxes", "scores"),
    )
