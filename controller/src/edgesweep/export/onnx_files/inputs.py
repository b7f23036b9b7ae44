"""Inputs for a ready `.onnx` file: the user's own where they are given, else made from the declared types and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesweep.export.artifacts.facts import Declared, Facts
from edgesweep.export.failures.host import host_trouble
from edgesweep.export.proof.prove import Case
from edgesweep.models.drawing import can_be_drawn, draw, draw_like, generator_for
from edgesweep.models.given import (
    Wanted,
    check_given,
    given_inputs,
    is_container,
    read_given,
    refused,
    sizes_given,
)
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape

Arrays = dict[str, NDArray[Any]]


class UnusableInputError(Exception):
    """No input can be made; the sentence says what to give instead."""


def case_for(source: ModelSource, facts: Facts, shape: Shape, folder: Path) -> Case:
    """Inputs for one shape as `.npy` files, and the user's references where there are any for that shape.

    Args:
        source: The file's source. Its `inputs` are the example; at another shape values like them are drawn. Its
            `references` are a `.npz` file with the outputs for the example, or a folder that holds `NAME.npy` per input
            and output for the example, and the same in a sub-folder called like the shape for another one.
        facts: What the file declares.
        shape: The sizes of the dynamic dimensions; those not named are as in the given inputs, else their range's
            smallest size, or 1.
        folder: Where the files go.

    Raises:
        UnusableInputError: An input's type or shape cannot be made up, or a given array cannot be read.
        EdgesweepError: `inputs_unusable` for a given array that the file does not take or return.
    """
    folder.mkdir(parents=True)
    wanted = tuple(wanted_of(source, value) for value in facts.inputs)
    example = given_inputs(source, wanted)
    sizes = sizes_given(source, example, wanted) | dict(shape.sizes)
    known = references_of(source, facts, shape.slug)
    # As they are where nothing else is asked for; at another shape only what is called like it is the user's.
    given = {**(example if not shape.sizes else {}), **known}
    inputs = {}
    for index, value in enumerate(facts.inputs):
        array = given.get(value.name)
        inputs[value.name] = folder / f"input{index}.npy"
        made = array if array is not None else _made(source, value, sizes, example.get(value.name))
        np.save(inputs[value.name], made, allow_pickle=False)
    references = None
    if facts.outputs and all(value.name in given for value in facts.outputs):
        references = tuple(folder / f"output{index}.npy" for index in range(len(facts.outputs)))
        for value, path in zip(facts.outputs, references, strict=True):
            np.save(path, given[value.name], allow_pickle=False)
    outputs = folder / "host" if references is None else None
    return Case(shape.slug, inputs, references, example=not shape.sizes, outputs=outputs)


def wanted_of(source: ModelSource, value: Declared) -> Wanted:
    """What the file takes as one of its inputs, its dimensions called as the plan calls them."""
    names = source.dynamic.get(value.name, {})
    if value.shape is None:
        return Wanted(value.name, value.dtype, None)
    return Wanted(
        value.name,
        value.dtype,
        tuple(dim if isinstance(dim, int) else names.get(axis, dim) for axis, dim in enumerate(value.shape)),
    )


def references_of(source: ModelSource, facts: Facts, slug: str) -> Arrays:
    """The user's references at the shape called `slug`, and whatever else lies beside them; none where none are given.

    Raises:
        UnusableInputError: An array cannot be read.
        EdgesweepError: `inputs_unusable` for a file with other outputs than the model's.
    """
    references = source.references
    if references is None:
        return {}
    if references.endswith(".npz"):
        return _references_of_file(source, references, facts) if slug == "example" else {}
    folder = Path(references) if slug == "example" else Path(references) / slug
    try:
        return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError) as error:
        if host_trouble(error):
            raise
        raise UnusableInputError(f"a reference in {folder} cannot be read: {error}") from error


def _references_of_file(source: ModelSource, path: str, facts: Facts) -> Arrays:
    arrays = read_given(source.name, path)
    outputs = [Wanted(value.name, value.dtype, value.shape) for value in facts.outputs]
    name = Path(path).name
    check_given(source.name, name, arrays, outputs, what="output")
    missing = [value.name for value in outputs if value.name not in arrays and not is_container(value.dtype)]
    if missing:
        raise refused(source.name, f"{name} lacks the output '{missing[0]}'", remedy="give all outputs, or none")
    return arrays


def _made(source: ModelSource, value: Declared, sizes: dict[str, int], example: NDArray[Any] | None) -> NDArray[Any]:
    """Values like the user's in another shape, or of the declared type where the user gave none."""
    generator = generator_for(value.name, source.seed)
    asked = _sizes(source, value, sizes, example)
    if example is not None:
        return draw_like(example, asked, generator)
    if not can_be_drawn(value.dtype):
        kind = value.dtype or "an unknown type"
        raise UnusableInputError(f"input '{value.name}' is of {kind}, which cannot be made up: give it in `inputs:`")
    return draw(value.dtype, asked, generator)


def _sizes(
    source: ModelSource, value: Declared, sizes: dict[str, int], example: NDArray[Any] | None
) -> tuple[int, ...]:
    """An input's sizes: the file's numbers, the asked ones by dimension name, and the smallest for what stays open."""
    if value.shape is None:
        if example is not None:
            return example.shape
        raise UnusableInputError(f"input '{value.name}' declares no shape: give it in `inputs:`, a .npz file")
    names = source.dynamic.get(value.name, {})
    found = []
    for axis, declared in enumerate(value.shape):
        if isinstance(declared, int):
            found.append(declared)
            continue
        name = names.get(axis, declared or "")
        smallest = source.ranges.get(name, (1, 1))[0] if example is None or name else example.shape[axis]
        found.append(sizes.get(name, smallest))
    return tuple(found)
