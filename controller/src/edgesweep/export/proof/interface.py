"""Whether an artifact asks for the model's inputs: every name, element type and rank read back from the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from edgesweep_proto.trial import Stage

from edgesweep.export.artifacts.facts import Facts
from edgesweep.export.failures.failure import Failure


def check_interface(facts: Facts, inputs: Mapping[str, Path]) -> Failure | None:
    """`interface_mismatch` when the file asks for something that the model does not take.

    An input that the file lacks is one that the model does not use.

    Args:
        facts: What the file declares.
        inputs: The model's own inputs for one case, as `.npy` files by name.
    """
    for value in facts.inputs:
        if value.name not in inputs:
            known = ", ".join(f"'{name}'" for name in inputs)
            return _mismatch(f"the artifact asks for an input '{value.name}', and the model's inputs are {known}")
        array = np.load(inputs[value.name], allow_pickle=False)
        if value.dtype and value.dtype != str(array.dtype):
            return _mismatch(f"input '{value.name}' is {array.dtype} in the model and {value.dtype} in the artifact")
        if value.shape is not None and len(value.shape) != array.ndim:
            return _mismatch(
                f"input '{value.name}' has {array.ndim} dimensions in the model and {len(value.shape)} in the artifact"
            )
    return None


def _mismatch(message: str) -> Failure:
    return Failure(Stage.CHECK, "interface_mismatch", message)
