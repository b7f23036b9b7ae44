"""Example inputs of text models: token ids within the vocabulary, and masks that really mask something."""

from __future__ import annotations

import torch


def token_ids(vocabulary: int, shape: tuple[int, int], seed: int) -> torch.Tensor:
    """Ids (batch, seq), each from 0 to `vocabulary` - 1, the same on every machine."""
    return torch.randint(0, vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def padding_mask(shape: tuple[int, int], padding: int, *, left: bool = False) -> torch.Tensor:
    """A mask (batch, seq) of ones with `padding` zeros at its end, or at its beginning with `left`.

    A mask of ones alone proves nothing: a model may look whether there is anything to mask, and a trace keeps the answer.
    """
    positions = torch.arange(shape[1])
    kept = positions >= padding if left else positions < shape[1] - padding
    return kept.to(torch.int64).expand(shape).contiguous()
