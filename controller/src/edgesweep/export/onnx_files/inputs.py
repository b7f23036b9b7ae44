"""Inputs for a ready `.onnx` file: the user's own where they are given, else made from the declared types and shapes."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesweep.export.artifacts.facts import Declared, Facts
from edgesweep.export.failures.host import host_trouble
from edgesweep.export.proof.prove import Case
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape


class UnusableInputError(Exception):
    """No input can be made; the sentence says what to give instead."""


def case_for(source: ModelSource, facts: Facts, shape: Shape, folder: Path) -> Case:
    """Inputs for one shape as `.npy` files, and the user's references where there are any for that shape.

    Args:
        source: The file's source. Its `references` folder holds `NAME.npy` per input and output for the example, and
            the same in a sub-folder called like the shape for another one.
        facts: What the file declares.
        shape: The sizes of the dynamic dimensions; those not named take their range's smallest size, or 1.
        folder: Where the files go.

    Raises:
        UnusableInputError: An input's type or shape cannot be made up, or a given array cannot be read.
    """
    folder.mkdir(parents=True)
    given = _given(source.references, shape.slug)
    inputs = {}
    for index, value in enumerate(facts.inputs):
        array = given.get(value.name)
        inputs[value.name] = folder / f"input{index}.npy"
        made = array if array is not None else _draw(value, _sizes(source, value, dict(shape.sizes)))
        np.save(inputs[value.name], made, allow_pickle=False)
    references = None
    if facts.outputs and all(value.name in given for value in facts.outputs):
        references = tuple(folder / f"output{index}.npy" for index in range(len(facts.outputs)))
        for value, path in zip(facts.outputs, references, strict=True):
            np.save(path, given[value.name], allow_pickle=False)
    outputs = folder / "host" if references is None else None
    return Case(shape.slug, inputs, references, example=not shape.sizes, outputs=outputs)


def _given(references: str | None, slug: str) -> dict[str, NDArray[Any]]:
    if references is None:
        return {}
    folder = Path(references) if slug == "example" else Path(references) / slug
    try:
        return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError) as error:
        if host_trouble(error):
            raise
        raise UnusableInputError(f"a reference in {folder} cannot be read: {error}") from error


def _sizes(source: ModelSource, value: Declared, sizes: dict[str, int]) -> tuple[int, ...]:
    """An input's sizes: the file's numbers, the asked ones by dimension name, and the smallest for what stays open."""
    if value.shape is None:
        raise UnusableInputError(
            f"input '{value.name}' declares no shape: give it as {value.name}.npy in `references:`"
        )
    names = source.dynamic.get(value.name, {})
    found = []
    for axis, declared in enumerate(value.shape):
        if isinstance(declared, int):
            found.append(declared)
            continue
        name = names.get(axis, declared or "")
        found.append(sizes.get(name, source.ranges.get(name, (1, 1))[0]))
    return tuple(found)


def _draw(value: Declared, sizes: tuple[int, ...]) -> NDArray[Any]:
    """Values from a seed made of the input's name: normal floats; whole numbers of 0 and 1, safe as indices and masks."""
    try:
        dtype = np.dtype(value.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if not value.dtype or dtype.kind not in "fiub":
        kind = value.dtype or "an unknown type"
        raise UnusableInputError(
            f"input '{value.name}' is of {kind}, which cannot be made up: give it as {value.name}.npy in `references:`"
        )
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(value.name.encode()).digest()[:8]))
    if dtype.kind == "b":
        return np.ones(sizes, dtype=np.bool_)
    if dtype.kind in "iu":
        return generator.integers(0, 2, size=sizes).astype(dtype)
    return generator.standard_normal(math.prod(sizes)).reshape(sizes).astype(dtype)
