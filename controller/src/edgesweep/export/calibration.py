"""Inputs that a quantizer looks at to choose its scales: the example, and seeded draws like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesweep.models.inputs import draws_like, inputs_at, tensors_in

if TYPE_CHECKING:
    from edgesweep.models.model import Model

#: Draws beside the example: ranges settle after a few, and each costs a run of the fp32 model.
DRAWS = 7


def calibration_feeds(model: Model, sizes: Mapping[str, int]) -> tuple[dict[str, NDArray[Any]], ...]:
    """The example and `DRAWS` seeded draws like it, by input name; the same values every time.

    Args:
        model: A loaded model.
        sizes: Sizes of dynamic dimensions where they are not the example's, so that any variant of a profile takes them.
    """
    inputs = [inputs_at(model, sizes), *(draws_like(model, sizes, seed) for seed in range(1, DRAWS + 1))]
    return tuple(
        {path: np.array(tensor.detach().cpu().numpy()) for path, tensor in tensors_in(given).items()}
        for given in inputs
    )
