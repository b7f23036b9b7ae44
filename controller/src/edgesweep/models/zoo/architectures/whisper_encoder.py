"""`whisper-encoder`: the audio encoder of Whisper (Radford et al., 2022), narrow and for short recordings."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as Encoder

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded, seeded_example


class WhisperEncoder(nn.Module):
    """Encodes mel features of one fixed length: Whisper pads every recording to it and refuses any other."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        self.encoder = Encoder(
            WhisperConfig(
                num_mel_bins=80,
                d_model=96,
                encoder_layers=2,
                encoder_attention_heads=4,
                encoder_ffn_dim=384,
                max_source_positions=100,
                attn_implementation=attention,
            )
        )

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 80, 200), mel bands by frames, to (batch, 100, 96)."""
        hidden: torch.Tensor = self.encoder(input_features).last_hidden_state
        return hidden


def build(attention: str = "sdpa") -> Model:
    """The built-in model `whisper-encoder` with `attention` as `sdpa` or `eager`."""
    entry = ZOO["whisper-encoder"]
    return Model(
        module=seeded(lambda: WhisperEncoder(attention), seed=14),
        example_inputs=(seeded_example((1, 80, 200), seed=14),),
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("hidden",),
    )
