"""`text-encoder`: a transformer encoder in the manner of BERT (Devlin et al., 2018), small."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import nn

from edgesweep.models.model import Model
from edgesweep.models.zoo import ZOO
from edgesweep.models.zoo.weights import seeded

# Added to the attention scores of masked positions: far below any score, yet finite in half precision.
_MASKED = -10_000.0


class Attention(nn.Module):
    """Self-attention in plain operators, which every opset has, rather than as one fused operator."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Maps (batch, seq, width), with a mask (batch, 1, 1, seq) to add to the scores, to (batch, seq, width)."""
        heads = self.projection(x).unflatten(2, (3 * self.heads, -1)).transpose(1, 2)
        query, key, value = heads.chunk(3, 1)
        scores = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5) + mask
        mixed = scores.softmax(3) @ value
        out: torch.Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """Attention and a two-layer perceptron, each added to its input and normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Maps (batch, seq, width) to the same shape."""
        x = self.norm1(x + self.attention(x, mask))
        y: torch.Tensor = self.norm2(x + self.perceptron(x))
        return y


class TextEncoder(nn.Module):
    """Encodes token ids into one vector per token and one per text."""

    def __init__(self, vocabulary: int, width: int, heads: int, layers: int, longest: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(longest, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.pooler = nn.Linear(width, width)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps ids and mask (batch, seq) to (batch, seq, width) and to (batch, width)."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.norm(self.token_embedding(input_ids) + self.position_embedding(positions))
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * _MASKED
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))


def build(layers: int = 4) -> Model:
    """The built-in model `text-encoder` with `layers` layers."""
    entry = ZOO["text-encoder"]
    vocabulary, longest = 8192, 256
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, vocabulary, (1, 64), generator=generator)
    return Model(
        module=seeded(lambda: TextEncoder(vocabulary, 256, 4, layers, longest), seed=2),
        example_inputs={"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        dynamic=entry.dynamic,
        ranges=entry.facts.ranges,
        name=entry.name,
        output_names=("hidden", "pooled"),
    )
