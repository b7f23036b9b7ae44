"""Values for tensors that nobody gave: seeded, by type and range, without denormal numbers.

Denormal numbers alone made one model 34 times slower (onnxruntime issue 7448), and an index out of range makes another
fail: neither says anything about a board.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Beyond this a deviation could overflow: its square must be a number still.
HUGE = 1e150


def generator_for(name: str, seed: int = 0) -> np.random.Generator:
    """The source of one tensor's values: the same name and seed give the same values."""
    words = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(words[:8], "little"))


def can_be_drawn(dtype: str) -> bool:
    """Whether values of the type, by numpy's name, can be made up: floats, whole numbers and booleans can."""
    try:
        return np.dtype(dtype).kind in "fiub"
    except TypeError:
        return False


def draw(dtype: str, shape: Sequence[int], generator: np.random.Generator) -> NDArray[Any]:
    """Values of which nothing is known but their type.

    Floats are normal with mean 0 and deviation 1; whole numbers are 0 and 1, safe as indices and as masks; booleans are
    true, since a mask that shuts everything out is no input.
    """
    wanted = np.dtype(dtype)
    if wanted.kind == "b":
        return np.ones(shape, dtype=wanted)
    if wanted.kind in "iu":
        return generator.integers(0, 2, size=tuple(shape)).astype(wanted)
    return _rounded(generator.standard_normal(tuple(shape)), wanted)


def draw_like(example: NDArray[Any], shape: Sequence[int], generator: np.random.Generator) -> NDArray[Any]:
    """Values like those of `example` in another shape of the same rank.

    Floats are normal with the example's mean and deviation, inside its smallest and largest value; whole numbers lie
    from its smallest to its largest; masks (booleans, whole numbers of only 0 and 1, floats with infinities) repeat its
    own pattern.
    """
    if example.size == 0:
        return draw(str(example.dtype), shape, generator)
    if _is_mask(example):
        repeated = example
        for axis, size in enumerate(shape):
            repeated = np.take(repeated, np.arange(size) % repeated.shape[axis], axis=axis)
        return np.ascontiguousarray(repeated)
    least, most = example.min(), example.max()
    if example.dtype.kind in "iu":
        return generator.integers(least, most, size=tuple(shape), dtype=example.dtype, endpoint=True)
    if least == most:
        # A constant such as all ones is as often a float mask as a placeholder: its sign and size stay, and it varies.
        share = 0.5 + 0.5 * generator.random(tuple(shape)) if least else generator.standard_normal(tuple(shape))
        return _rounded(float(least) * share if least else share, example.dtype)
    wide = example.astype(np.float64)
    largest = max(abs(float(least)), abs(float(most)))
    scale = largest if largest > HUGE else 1.0
    drawn = generator.standard_normal(tuple(shape)) * (wide / scale).std() + (wide / scale).mean()
    return _rounded(np.clip(drawn, float(least) / scale, float(most) / scale) * scale, example.dtype)


def denormals_in(array: NDArray[Any]) -> int:
    """How many numbers of `array` are so small that many processors take a slow path for them."""
    if array.dtype.kind != "f":
        return 0
    size = np.abs(array)
    return int(np.count_nonzero((size > 0) & (size < np.finfo(array.dtype).tiny)))


def _rounded(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    tiny = float(np.finfo(dtype).tiny)
    return np.where(np.abs(values) < tiny, 0.0, values).astype(dtype)


def _is_mask(example: NDArray[Any]) -> bool:
    if example.dtype.kind == "b":
        return True
    if example.dtype.kind in "iu":
        return int(example.min()) >= 0 and int(example.max()) <= 1
    return not math.isfinite(float(np.abs(example).max()))
