"""`detector`: an anchor-free object detector over a feature pyramid (Lin et al., 2016; Tian et al., 2019), small."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
    )


class Block(nn.Module):
    """Narrows, filters and adds its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels // 2, 1), _conv(channels // 2, channels, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, channels, height, width) to the same shape."""
        y: torch.Tensor = x + self.body(x)
        return y


class Detector(nn.Module):
    """Finds boxes and class scores at strides 8, 16 and 32; works at any height and width, odd ones too."""

    def __init__(self, classes: int, neck: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 16, 3, 2), _conv(16, 32, 3, 2))
        self.stages = nn.ModuleList([
            nn.Sequential(_conv(32, 64, 3, 2), Block(64)),
            nn.Sequential(_conv(64, 96, 3, 2), Block(96)),
            nn.Sequential(_conv(96, 128, 3, 2), Block(128)),
        ])
        self.lateral = nn.ModuleList(nn.Conv2d(channels, neck, 1) for channels in (64, 96, 128))
        self.smooth = nn.ModuleList(_conv(neck, neck, 3) for _ in range(3))
        self.score = nn.Conv2d(neck, classes, 1)
        self.box = nn.Conv2d(neck, 4, 1)

    def _pyramid(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(image)
        features: list[torch.Tensor] = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            features.append(lateral(x))
        above = features[-1]
        levels = [above]
        for feature in reversed(features[:-1]):
            # To the size of the finer level, not by a factor of two: an odd size has no exact half.
            above = feature + functional.interpolate(above, size=feature.shape[2:], mode="nearest")
            levels.insert(0, above)
        return [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]

    def _boxes(self, level: torch.Tensor) -> torch.Tensor:
        """Corners (batch, positions, 4) as fractions of the image, from distances to each cell's centre."""
        height, width = level.shape[2], level.shape[3]
        y = (torch.arange(height, device=level.device) + 0.5) / height
        x = (torch.arange(width, device=level.device) + 0.5) / width
        left, top, right, bottom = (functional.softplus(self.box(level)) * 0.1).unbind(1)
        corners = (x - left, y[:, None] - top, x + right, y[:, None] + bottom)
        return torch.stack(corners, 3).flatten(1, 2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (batch, 3, height, width) to boxes (batch, positions, 4) and scores (batch, positions, classes)."""
        levels = self._pyramid(image)
        boxes = torch.cat([self._boxes(level) for level in levels], 1)
        scores = torch.cat([self.score(level).flatten(2).transpose(1, 2) for level in levels], 1)
        return boxes, scores.sigmoid()


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
