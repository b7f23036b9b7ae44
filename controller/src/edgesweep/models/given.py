"""Inputs that the user gives as a `.npz` file, held against what the model takes: one sentence for whatever differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError
from edgesweep.models.source import ModelSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


_ITEM = re.compile(r"\[\d*\]$")
#: How the names of those types begin that onnx has and numpy lacks.
_FOREIGN = ("bfloat", "float8", "float6", "float4", "int4", "uint4", "int2", "uint2")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a model takes under one name.

    `dtype` is numpy's name, or the model's own word for a type that numpy lacks. A size is a number, a dimension's name,
    or None where the model leaves it open; `sizes` is None where nothing is said of them.
    """

    name: str
    dtype: str
    sizes: tuple[int | str | None, ...] | None


def refused(model: str, sentence: str, *, remedy: str = "") -> EdgesweepError:
    """The error for inputs or references that do not fit `model`."""
    return EdgesweepError("inputs_unusable", f"model '{model}': {sentence}", remedy=remedy)


def read_given(model: str, path: str) -> dict[str, Array]:
    """The arrays of a `.npz` file that a plan or a command line names for `model`.

    Raises:
        EdgesweepError: `inputs_unusable`, in one sentence.
    """
    # Late: what planning needs of a model without inputs of its own does without numpy.
    from edgesweep.models.npz_file import read_npz

    try:
        return read_npz(Path(path))
    except ValueError as error:
        raise refused(model, str(error)) from error
    except OSError as error:
        raise refused(model, f"{path} cannot be read: {error.strerror or error}") from error


def given_inputs(source: ModelSource, wanted: Sequence[Wanted]) -> dict[str, Array]:
    """The arrays of `source.inputs` by name; none where the source gives none.

    An input that the file does not hold is made up, at the sizes that the others have.

    Raises:
        EdgesweepError: `inputs_unusable` for a file that is none, or an array whose name, type, shape or sizes the model
            does not take.
    """
    if source.inputs is None:
        return {}
    arrays = read_given(source.name, source.inputs)
    check_given(source.name, Path(source.inputs).name, arrays, wanted, what="input")
    sizes_given(source, arrays, wanted)
    return arrays


def check_given(model: str, file: str, arrays: Mapping[str, Array], wanted: Iterable[Wanted], *, what: str) -> None:
    """Refuse an array that `model` does not take; `what` it is to be (input, input or output) stands in the sentence."""
    known = {value.name: value for value in wanted}
    for name, array in arrays.items():
        value = known.get(name) or known.get(base_name(name))
        if value is not None and is_container(value.dtype):
            continue  # a header does not say what is in it; the runtime does
        if value is None or value.name != name:
            sentence = f"{file} holds '{name}', and the model has no {what} of that name{hint(name, known)}"
            raise refused(model, sentence)
        if not _is_of(array, value.dtype):
            remedy = f"save it with {name}.astype('{value.dtype}')" if name.isidentifier() else ""
            sentence = f"'{name}' in {file} is of {array.dtype}, and the model takes {value.dtype or 'another type'}"
            raise refused(model, sentence, remedy=remedy)
        if value.sizes is not None and not _fits(array.shape, value.sizes):
            raise refused(
                model,
                f"'{name}' in {file} has the shape {_shape(array.shape)}, and the model takes {_shape(value.sizes)}",
            )


def sizes_given(source: ModelSource, arrays: Mapping[str, Array], wanted: Iterable[Wanted]) -> dict[str, int]:
    """The size that the given arrays have along each dimension that has a name.

    Raises:
        EdgesweepError: `inputs_unusable` where two arrays disagree, or a size lies outside the dimension's range.
    """
    found: dict[str, tuple[int, str]] = {}
    for value in wanted:
        array = arrays.get(value.name)
        if array is None:
            continue
        for size, dimension in zip(array.shape, value.sizes or (), strict=False):
            if not isinstance(dimension, str):
                continue
            first, where = found.setdefault(dimension, (size, value.name))
            if first != size:
                raise refused(
                    source.name, f"dimension '{dimension}' is {first} in '{where}' and {size} in '{value.name}'"
                )
            low, high = source.ranges.get(dimension, (0, size))
            if not low <= size <= high:
                raise refused(
                    source.name,
                    f"dimension '{dimension}' is {size} in '{value.name}', outside its range {low} to {high}",
                )
    return {dimension: size for dimension, (size, _) in found.items()}


def is_container(dtype: str) -> bool:
    """Whether a model's own word for a type is none: that of a sequence, an optional value or a map."""
    return dtype == ""


def base_name(name: str) -> str:
    """`x` of `x[0]`, which is the first item of a sequence, and of `x[]`, which stands for an empty one."""
    return _ITEM.sub("", name)


def is_foreign(dtype: str) -> bool:
    """Whether numpy has no type of that name."""
    return dtype.startswith(_FOREIGN)


def _is_of(array: Array, dtype: str) -> bool:
    """Whether the array is of the type that the model calls `dtype`; text, and what numpy lacks, has no name there."""
    if dtype == "object":
        return array.dtype.kind == "U"
    if array.dtype.kind == "V":
        return is_foreign(dtype) and array.dtype.itemsize == (2 if dtype == "bfloat16" else 1)
    return str(array.dtype) == dtype


def _fits(shape: Sequence[int], sizes: Sequence[int | str | None]) -> bool:
    pairs = zip(shape, sizes, strict=False)
    return len(shape) == len(sizes) and all(size == asked for size, asked in pairs if isinstance(asked, int))


def _shape(sizes: Sequence[int | str | None]) -> str:
    """`[1, 3, height, ?]`."""
    return f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"
