"""`llama-decoder`: a decoder in the manner of Llama (Touvron et al., 2023) that takes and returns its cache."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.architectures.text_inputs import padding_mask, token_ids
from edgesweep.models.zoo.weights import seeded, seeded_example

_VOCABULARY = 512
_LAYERS = 2
_HEADS = 4
_CACHED_HEADS = 2
_HEAD_SIZE = 16

#: The cache of one layer: `key` and `value`, each (batch, cached heads, past_sequence, head size).
LayerCache = dict[str, torch.Tensor]


class LlamaDecoder(nn.Module):
    """Reads `sequence` tokens after `past_sequence` others, of which it knows the cache alone.

    The mask of the tokens behind is an input of its own: one mask over all would be as long as two dimensions together,
    and no exporter could be told so by a name.
    """

    def __init__(self, attention: str) -> None:
        super().__init__()
        self.llama = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=_VOCABULARY,
                hidden_size=_HEADS * _HEAD_SIZE,
                intermediate_size=176,
                num_hidden_layers=_LAYERS,
                num_attention_heads=_HEADS,
                num_key_value_heads=_CACHED_HEADS,
                max_position_embeddings=128,
                attn_implementation=attention,
            )
        )

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        past_mask: torch.Tensor,
        past: tuple[LayerCache, ...],
    ) -> tuple[torch.Tensor, ...]:
        """Scores the next token after each new one, and returns the cache with the new tokens in it.

        Args:
            input_ids: The new tokens (batch, sequence).
            attention_mask: Which of them are no padding (batch, sequence).
            past_mask: Which of the tokens behind were no padding (batch, past_sequence).
            past: The cache of each layer.

        Returns:
            Scores (batch, sequence, vocabulary), then key and value of each layer, (batch, cached heads,
            past_sequence + sequence, head size).
        """
        cache = DynamicCache(config=self.llama.config)
        for index, layer in enumerate(past):
            cache.update(layer["key"], layer["value"], index)
        output = self.llama(
            input_ids,
            attention_mask=torch.cat((past_mask, attention_mask), 1),
            past_key_values=cache,
            use_cache=True,
        )
        grown = (tensor for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values))
        return output.logits, *grown


def build(attention: str = "sdpa") -> Model:
    """The built-in model `llama-decoder` with `attention` as `sdpa` or `eager`."""
    entry = ZOO["llama-decoder"]
    new, behind = (1, 4), (1, 24)
    cached = (1, _CACHED_HEADS, behind[1], _HEAD_SIZE)
    past = tuple(
        {"key": seeded_example(cached, seed=16 + 2 * layer), "value": seeded_example(cached, seed=17 + 2 * layer)}
        for layer in range(_LAYERS)
    )
    return Model(
        module=seeded(lambda: LlamaDecoder(attention), seed=15),
        example_inputs={
            "input_ids": token_ids(_VOCABULARY, new, seed=15),
            "attention_mask": padding_mask(new, 0),
            "past_mask": padding_mask(behind, 5, left=True),
            "past": past,
        },
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("scores", *(f"grown.{layer}.{part}" for layer in range(_LAYERS) for part in ("key", "value"))),
    )
