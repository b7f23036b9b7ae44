"""`bert`: the encoder of BERT (Devlin et al., 2018), with the sizes of BERT-Tiny and a short vocabulary."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn
from transformers import BertConfig, BertModel

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.architectures.text_inputs import padding_mask, token_ids
from edgesweep.models.zoo.weights import seeded

_VOCABULARY = 1024


class Bert(nn.Module):
    """Encodes one or two texts into one vector per token and one for all."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        self.bert = BertModel(
            BertConfig(
                vocab_size=_VOCABULARY,
                hidden_size=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=512,
                max_position_embeddings=128,
                attn_implementation=attention,
            )
        )

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps ids, mask and text numbers (batch, seq) to (batch, seq, 128) and to (batch, 128)."""
        output = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return output.last_hidden_state, output.pooler_output


def build(attention: str = "sdpa") -> Model:
    """The built-in model `bert` with `attention` as `sdpa` or `eager`."""
    entry = ZOO["bert"]
    shape = (1, 48)
    second_text = (torch.arange(shape[1]) >= 20).to(torch.int64).expand(shape)  # noqa: PLR2004 - a short first text
    return Model(
        module=seeded(lambda: Bert(attention), seed=11),
        example_inputs={
            "input_ids": token_ids(_VOCABULARY, shape, seed=11),
            "attention_mask": padding_mask(shape, 8),
            "token_type_ids": second_text.contiguous(),
        },
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("hidden", "pooled"),
    )
