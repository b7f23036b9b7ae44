"""Weights for the built-in models: random from a seed, the same on every machine, and numerically healthy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def seeded(make: Callable[[], nn.Module], seed: int, *, gain: float = 1.0) -> nn.Module:
    """The module that `make` builds, in eval mode, with weights drawn from `seed` alone.

    Weights are uniform with variance gain^2 / fan-in: a gain of 1 keeps the magnitude of a layer's input, a larger one
    makes up for activations that lower it. Scales and running variances of norms lie around 1, biases and running means
    around 0. What is computed rather than trained, and so no part of a checkpoint (rotary frequencies, position numbers),
    stays as it is. The global random state is neither read nor changed, and uniform numbers are used because they come
    bit for bit alike from every processor.
    """
    with torch.random.fork_rng(devices=[]):
        module = make().eval()
    generator = torch.Generator().manual_seed(seed)
    trained = module.state_dict()
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name not in trained or (isinstance(tensor, nn.Parameter) and not tensor.requires_grad):
                continue
            low, high = _bounds(name, tensor, gain)
            if tensor.is_floating_point():
                # Scaling and shifting are steps of their own: fused, they round otherwise on some processors.
                tensor.uniform_(generator=generator).mul_(high - low).add_(low)
            else:
                tensor.zero_()
    return module


def seeded_example(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """A float32 example of `shape`, uniform around 0 with deviation 1, the same on every machine."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return drawn.sub_(0.5).mul_(12**0.5)


def _bounds(name: str, tensor: torch.Tensor, gain: float) -> tuple[float, float]:
    if tensor.dim() > 1:
        # A filter that makes embeddings of patches is a layer like any other: a lookup table has no more than three axes.
        table = "embedding" in name and tensor.dim() <= 3  # noqa: PLR2004
        limit = 1.0 if table else gain * (3.0 / tensor[0].numel()) ** 0.5
        return -limit, limit
    if name.endswith(("weight", "running_var")):
        return 0.8, 1.2
    return -0.1, 0.1
