"""`distilbert`: the encoder of DistilBERT (Sanh et al., 2019), with few and narrow layers and a short vocabulary."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn
from transformers import DistilBertConfig, DistilBertModel

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.architectures.text_inputs import padding_mask, token_ids
from edgesweep.models.zoo.weights import seeded

_VOCABULARY = 1024


class DistilBert(nn.Module):
    """Encodes a text into one vector per token."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        self.distilbert = DistilBertModel(
            DistilBertConfig(
                vocab_size=_VOCABULARY,
                dim=96,
                n_layers=2,
                n_heads=4,
                hidden_dim=384,
                max_position_embeddings=128,
                attn_implementation=attention,
            )
        )

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Maps ids and mask (batch, seq) to (batch, seq, 96)."""
        hidden: torch.Tensor = self.distilbert(input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


def build(attention: str = "sdpa") -> Model:
    """The built-in model `distilbert` with `attention` as `sdpa` or `eager`."""
    entry = ZOO["distilbert"]
    shape = (1, 48)
    return Model(
        module=seeded(lambda: DistilBert(attention), seed=12),
        example_inputs={"input_ids": token_ids(_VOCABULARY, shape, seed=12), "attention_mask": padding_mask(shape, 8)},
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("hidden",),
    )
