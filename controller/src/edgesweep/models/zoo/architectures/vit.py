"""`vit`: the Vision Transformer (Dosovitskiy et al., 2020) as a classifier, for small images."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example

_NATIVE_SIZE = 64


class Vit(nn.Module):
    """Classifies images of many sizes: the learned positions are interpolated to the image's own grid of patches.

    At the native size there is nothing to interpolate, and the package's code looks whether that is so. The dynamo
    exporter follows it: traced at the native size, height and width come out static; traced at another they do not.
    """

    def __init__(self, attention: str, classes: int) -> None:
        super().__init__()
        self.vit = ViTForImageClassification(
            ViTConfig(
                image_size=_NATIVE_SIZE,
                patch_size=8,
                hidden_size=96,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=384,
                num_labels=classes,
                attn_implementation=attention,
            )
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 3, height, width) to class scores (batch, classes)."""
        scores: torch.Tensor = self.vit(pixel_values, interpolate_pos_encoding=True).logits
        return scores


def build(attention: str = "sdpa", classes: int = 100, size: int = _NATIVE_SIZE) -> Model:
    """The built-in model `vit` with `classes` classes.

    Args:
        attention: `sdpa` or `eager`.
        classes: How many scores it gives.
        size: Height and width of the example image, at which the model is traced.
    """
    entry = ZOO["vit"]
    return Model(
        module=seeded(lambda: Vit(attention, classes), seed=13),
        example_inputs=(seeded_example((1, 3, size, size), seed=13),),
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("scores",),
    )
