"""`keyword-spotter`: a recurrent speech classifier, a convolutional front before a gated recurrent unit."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example


class KeywordSpotter(nn.Module):
    """Classifies a stretch of mel features of any length.

    torch.export unrolls the recurrence while it traces, so the dynamo exporter cannot keep `time` dynamic and says so.
    """

    def __init__(self, mels: int, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(mels, channels, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.recurrent = nn.GRU(channels, width, batch_first=True)
        self.classifier = nn.Linear(width, classes)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Maps (batch, time, mels) to class scores (batch, classes)."""
        features = self.front(mel.transpose(1, 2)).transpose(1, 2)
        states, _ = self.recurrent(features)
        scores: torch.Tensor = self.classifier(states.mean(1))
        return scores


def build(width: int = 384, classes: int = 12) -> Model:
    """The built-in model `keyword-spotter` with a recurrent layer of `width` units and `classes` classes."""
    entry = ZOO["keyword-spotter"]
    return Model(
        module=seeded(lambda: KeywordSpotter(40, 192, width, classes), seed=3, gain=1.5),
        example_inputs=(seeded_example((1, 100, 40), seed=3),),
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("scores",),
    )
