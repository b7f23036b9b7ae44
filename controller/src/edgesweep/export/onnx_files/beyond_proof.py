"""Ready files whose inputs or outputs the host's proof cannot hold: text, sequences, optional values, types that numpy lacks.

What the user gives for them is packed as it is, and the devices are the first to run the file.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from edgesweep_proto.blob import Tensor
from numpy.typing import NDArray

from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.facts import Declared, Facts
from edgesweep.export.onnx_files.inputs import UnusableInputError, references_of, wanted_of
from edgesweep.export.result import Payload
from edgesweep.models.given import base_name, given_inputs, is_container, is_foreign
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape

_NOTE = "nothing to compare with: give all outputs in `references:`"


def is_beyond_proof(facts: Facts) -> bool:
    """Whether an input or output of the file is of a type that the proof has no form for."""
    return any(
        is_container(value.dtype) or is_foreign(value.dtype) or value.dtype == "object"
        for value in (*facts.inputs, *facts.outputs)
    )


def given_payload(source: ModelSource, facts: Facts, shape: Shape, blobs: Blobs) -> Payload:
    """The user's inputs and references for the example.

    Raises:
        UnusableInputError: An input is not given, or another shape is asked for.
        EdgesweepError: `inputs_unusable` for a given array that the file does not take or return.
    """
    given = given_inputs(source, [wanted_of(source, value) for value in facts.inputs])
    names = {base_name(name) for name in given} | set(given)
    for value in facts.inputs:
        if value.name not in names and not is_container(value.dtype):
            kind = "text" if value.dtype == "object" else value.dtype
            raise UnusableInputError(
                f"input '{value.name}' is of {kind}, which cannot be made up: give it in `inputs:`"
            )
    if shape.sizes:
        raise UnusableInputError(f"inputs of such types cannot be made up at {shape.slug}: only the example can be run")
    references = references_of(source, facts, shape.slug)
    inputs = _tensors(given, facts.inputs, blobs)
    outputs = _tensors(references, facts.outputs, blobs)
    return Payload(shape.sizes, inputs, outputs, reference_note="" if outputs else _NOTE)


def _tensors(arrays: dict[str, NDArray[Any]], declared: tuple[Declared, ...], blobs: Blobs) -> tuple[Tensor, ...]:
    types = {value.name: value.dtype for value in declared}
    wanted = {name: array for name, array in arrays.items() if name in types or base_name(name) in types}
    return tuple(_tensor(name, array, types.get(name, ""), blobs) for name, array in wanted.items())


def _tensor(name: str, array: NDArray[Any], dtype: str, blobs: Blobs) -> Tensor:
    if array.dtype.kind == "V":
        # As whole numbers of that many bits: what the bits stand for, the model says.
        array = array.view(f"u{array.dtype.itemsize}")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return Tensor(name, blobs.put_bytes(file.getvalue()), dtype or str(array.dtype), tuple(array.shape))
