"""A model's inputs by parameter name, at the example's sizes or at others, from a seed."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgesweep.errors import EdgesweepError
from edgesweep.models.model import Model
from edgesweep.models.tree import leaves_of, map_leaves, map_tensors

if TYPE_CHECKING:
    import torch

#: The largest whole number that may be drawn up to by torch.
_LARGEST_BOUND = 2**63 - 2


def example_of(model: Model) -> dict[str, Any]:
    """The example inputs by `forward` parameter name, in the order of the signature.

    Arguments that `forward` takes as `*args` stay together in a tuple under that parameter's name; those it takes as
    `**kwargs` appear under their own names.

    Raises:
        TypeError: The example does not fit the signature of `forward`; the message is Python's own.
    """
    signature = inspect.signature(model.module.forward)
    example = model.example_inputs
    bound = signature.bind(**example) if isinstance(example, dict) else signature.bind(*example)
    inputs: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            inputs.update(value)
        else:
            inputs[name] = value
    return inputs


def tensors_in(inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Every tensor in `inputs` by its path: `x`, or `past.0.key` inside a nested argument."""
    import torch

    return {path: leaf for path, leaf in leaves_of(inputs) if isinstance(leaf, torch.Tensor)}


def settled(inputs: Any) -> Any:
    """Example inputs of which every tensor is one of its own: a copy, without gradients.

    An example that gives one tensor twice, or a weight of the model itself, is exported by torch as a single input or as
    a constant, silently. What such a file computes is right for that example and for nothing else.
    """
    import torch

    def copied(_path: str, leaf: Any) -> Any:
        return leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf

    return map_leaves(inputs, copied)


def example_sizes(model: Model) -> dict[str, int]:
    """The example's size of each dynamic dimension."""
    tensors = tensors_in(example_of(model))
    return {name: int(tensors[path].shape[axis]) for path, axes in model.dynamic.items() for axis, name in axes.items()}


def inputs_at(model: Model, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """The model's inputs with the dynamic dimensions at `sizes`; a dimension not named keeps the example's size.

    A tensor whose shape does not change is the example's own. Of the others, floats are drawn from the normal
    distribution with the example's mean and deviation inside the example's smallest and largest value, and hold no
    denormal number; integers are drawn from the example's smallest to its largest; masks (booleans, and integers that
    are only 0 and 1) and tensors with infinities repeat the example's own pattern. The same seed gives the same values.

    Args:
        model: A loaded model.
        sizes: Size per dimension name.
        seed: Seed of the random values.

    Returns:
        The arguments of `forward` by parameter name, in the order of its signature.

    Raises:
        EdgesweepError: `model_unusable` for a dimension that the model does not declare, or a size below 1.
    """
    for name, size in sizes.items():
        if name not in model.dimensions:
            known = ", ".join(model.dimensions) or "none"
            raise EdgesweepError(
                "model_unusable", f"model '{model.name}' has no dynamic dimension '{name}'; it has: {known}"
            )
        if size < 1:
            raise EdgesweepError("model_unusable", f"model '{model.name}': size {size} of '{name}' is below 1")

    def resize(path: str, value: torch.Tensor) -> torch.Tensor:
        axes = model.dynamic.get(path, {})
        shape = list(value.shape)
        for axis, name in axes.items():
            shape[axis] = sizes.get(name, shape[axis])
        if tuple(shape) == tuple(value.shape):
            return value
        return _draw(value, tuple(shape), seed ^ zlib.crc32(path.encode()))

    return map_tensors(example_of(model), resize)


def draws_like(model: Model, sizes: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Inputs at `sizes` with every tensor drawn anew as `inputs_at` draws it, those of the example's shape too.

    Args:
        model: A loaded model.
        sizes: Size per dimension name; a dimension not named keeps the example's size.
        seed: Seed of the random values; the same seed gives the same values.
    """

    def redraw(path: str, value: torch.Tensor) -> torch.Tensor:
        return _draw(value, tuple(value.shape), seed ^ zlib.crc32(path.encode()))

    return map_tensors(inputs_at(model, sizes, seed), redraw)


def bounds_of(whole: torch.Tensor) -> tuple[int, int]:
    """The smallest and the largest value of a tensor of whole numbers that is not empty."""
    # torch has no minimum for unsigned numbers beyond 8 bits; numpy has.
    array = whole.detach().cpu().numpy()
    return int(array.min()), int(array.max())


def _draw(example: torch.Tensor, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Values like those of `example` in another shape."""
    import numpy as np
    import torch

    from edgesweep.models.drawing import HUGE, draw_like

    example = example.detach()
    generator = torch.Generator().manual_seed(seed)
    if example.is_complex():
        return torch.randn(shape, generator=generator, dtype=torch.float32).to(example.dtype)
    if example.numel() == 0:
        # Nothing is known of its values: 0 is an index and a mask, and a normal number is no denormal one.
        if not example.is_floating_point():
            return torch.zeros(shape, dtype=example.dtype)
        example = torch.zeros(1, dtype=example.dtype)
    if is_mask(example):
        return _repeat(example, shape)
    if not example.is_floating_point():
        low, high = bounds_of(example)
        if high > _LARGEST_BOUND:
            # torch's own takes no bound beyond 64 bits with a sign.
            return torch.from_numpy(draw_like(example.cpu().numpy(), shape, np.random.default_rng(seed)))
        return torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int64).to(example.dtype)
    wide = example.to(torch.float64)
    least, most = float(wide.min()), float(wide.max())
    if least < most:
        # The square of a deviation must be a number still, be the example a mask of the least number that there is.
        largest = max(abs(least), abs(most))
        scale = largest if largest > HUGE else 1.0
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        wide, lowest, highest = wide / scale, least / scale, most / scale
        values = drawn * wide.std(correction=0) + wide.mean()
        # Drawn again, rather than moved to the bound: equal values have no order for `topk` and `sort` to keep.
        again = lowest + (highest - lowest) * torch.rand(shape, generator=generator, dtype=torch.float64)
        values = torch.where((values < lowest) | (values > highest), again, values) * scale
    elif least:
        # A constant such as all ones is as often a float mask as a placeholder: keep its sign and size, yet vary it.
        values = least * (0.5 + 0.5 * torch.rand(shape, generator=generator, dtype=torch.float64))
    else:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
    tiny = torch.finfo(example.dtype).tiny
    return values.masked_fill(values.abs() < tiny, 0.0).to(example.dtype)


def is_mask(example: torch.Tensor) -> bool:
    """Whether a tensor that is not empty opens and shuts: booleans, whole numbers of 0 and 1, or infinities among floats."""
    import torch

    if example.dtype is torch.bool:
        return True
    if example.is_floating_point():
        return not bool(torch.isfinite(example).all())
    low, high = bounds_of(example)
    return low >= 0 and high <= 1


def _repeat(example: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    for axis, size in enumerate(shape):
        example = example.index_select(axis, torch.arange(size) % example.shape[axis])
    return example.contiguous()
