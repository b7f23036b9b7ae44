"""Inputs that a quantizer looks at to choose its scales: the example, and seeded draws like it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesweep.models.inputs import draws_like, inputs_at, tensors_in

if TYPE_CHECKING:
    from edgesweep.models.model import Model

#: Draws beside the example: ranges settle after a few, and each costs a run of the fp32 model.
DRAWS = 7


def calibration_feeds(model: Model, sizes: Sequence[Mapping[str, int]]) -> tuple[dict[str, NDArray[Any]], ...]:
    """Seeded draws like the example, by input name; the same values every time.

    Args:
        model: A loaded model.
        sizes: The sizes that the artifact will be run at, the example's first. What a model computes may grow with its
            input's size, so the draws go round them, beginning with the last: there all dimensions move together.
    """
    turns = itertools.islice(itertools.cycle(reversed(sizes)), DRAWS)
    inputs = [inputs_at(model, sizes[0])]
    inputs += [draws_like(model, size, seed) for seed, size in enumerate(turns, start=1)]
    return tuple(
        {path: np.array(tensor.detach().cpu().numpy()) for path, tensor in tensors_in(given).items()}
        for given in inputs
    )
