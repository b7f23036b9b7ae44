"""What a trial at one shape takes to the board: inputs and references as digest-named `.npy` blobs, never a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from edgesweep_proto.blob import Tensor

from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.facts import Declared, Facts
from edgesweep.export.proof.prove import Case
from edgesweep.export.result import Payload
from edgesweep.models.drawing import denormals_in
from edgesweep.plan.cell import Shape

#: Of references beyond this a sample is sent: a board's memory and link have better uses, and the host has compared them whole.
REFERENCES_MAX_BYTES = 64 << 20
#: Elements of such a sample, over all outputs together.
SAMPLED_ELEMENTS = 1 << 20

_IMAGE_RANK = 4


def payload_of(
    case: Case,
    shape: Shape,
    facts: Facts,
    blobs: Blobs,
    *,
    dynamic: Mapping[str, Mapping[int, str]],
    note: str = "",
) -> Payload:
    """Store the inputs that the artifact takes and torch's outputs for them.

    Args:
        case: Inputs and outputs on disk, at the shape's sizes.
        shape: The shape that the payload is for.
        facts: What the artifact declares; inputs that it dropped are not sent, outputs carry its names.
        blobs: Where the bytes go.
        dynamic: The model's dimension names per input by axis, to find the batch.
        note: Why there is no reference, where the case has none.
    """
    inputs = tuple(_store(value.name, case.inputs[value.name], blobs) for value in facts.inputs)
    files = case.references or ()
    whole = sum(path.stat().st_size for path in files) <= REFERENCES_MAX_BYTES
    most = None if whole else SAMPLED_ELEMENTS // len(files)
    references = tuple(
        _store_reference(value.name, path, blobs, most) for value, path in zip(facts.outputs, files, strict=bool(files))
    )
    # Only what the user gave can hold any: those that are drawn hold none.
    denormals = sum(
        denormals_in(np.load(case.inputs[value.name], mmap_mode="r", allow_pickle=False)) for value in facts.inputs
    )
    sampled = 0 if most is None else sum(min(math.prod(tensor.shape), most) for tensor in references)
    return Payload(shape.sizes, inputs, references, _items(inputs, dynamic), note, denormals, sampled)


def missing_input(case: Case, inputs: Sequence[Declared]) -> str | None:
    """The first input of the artifact that the model does not have under that name."""
    return next((value.name for value in inputs if value.name not in case.inputs), None)


def _store(name: str, path: Path, blobs: Blobs) -> Tensor:
    array = np.load(path, allow_pickle=False)
    return Tensor(name, blobs.put_file(path), str(array.dtype), tuple(array.shape))


def _store_reference(name: str, path: Path, blobs: Blobs, most: int | None) -> Tensor:
    """The reference at `path` whole or, of one with more than `most` elements, so many of them with their flat positions.

    Positions are drawn, since any regular step may be blind to a regular fault, and travel with the values: nothing is left
    for a board to draw again.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if most is None or array.size <= most:
        return _store(name, path, blobs)
    positions = np.random.default_rng(0).choice(array.size, most, replace=False, shuffle=False)
    sample = np.empty(most, [("position", "<i8"), ("value", array.dtype)])
    sample["position"] = np.sort(positions)
    sample["value"] = array.reshape(-1)[sample["position"]]
    file = path.with_name(f"{path.stem}.sample.npy")
    np.save(file, sample, allow_pickle=False)
    return Tensor(name, blobs.put_file(file), str(array.dtype), tuple(array.shape))


def _items(inputs: Sequence[Tensor], dynamic: Mapping[str, Mapping[int, str]]) -> int:
    """Items per inference: the size of the dimension called batch, else the first axis of an image-like input."""
    shapes = {tensor.name: tensor.shape for tensor in inputs}
    for name, axes in dynamic.items():
        for axis, dimension in axes.items():
            if dimension in {"batch", "batch_size", "n"} and name in shapes:
                return shapes[name][axis]
    first = inputs[0].shape if inputs else ()
    return first[0] if len(first) >= _IMAGE_RANK else 1
