"""Sizes that a command line asks for, `image=1x3x224x224` or `batch=4`, held against what an `.onnx` file leaves open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError

if TYPE_CHECKING:
    from edgesweep_agent.onnx_header import OnnxHeader

_SIZES = re.compile(r"[0-9]{1,9}(x[0-9]{1,9})*")
_NO_LETTER = re.compile(r"\W+", re.ASCII)
#: Words of an axes profile, which no dimension may be called.
_RESERVED = frozenset({"static", "full", "example"})


@dataclass(frozen=True, slots=True)
class AskedSizes:
    """A size per dimension, and the names of those dimensions that the file itself gives none that can be used."""

    sizes: dict[str, int] = field(default_factory=dict)
    dynamic: dict[str, dict[int, str]] = field(default_factory=dict)


def asked_sizes(header: OnnxHeader, texts: Sequence[str]) -> AskedSizes:
    """What `texts` ask of a file's dynamic dimensions.

    Args:
        header: The file's.
        texts: Each `INPUT=SIZExSIZE…` with all sizes of an input, or `DIMENSION=SIZE`.

    Raises:
        EdgesweepError: `usage`, with a sentence that says what the file has instead.
    """
    names = _names_of(header)
    asked: dict[str, tuple[int, str]] = {}
    for text in texts:
        for dimension, size in _pairs(header, names, text):
            first, where = asked.setdefault(dimension, (size, text))
            if first != size:
                raise _wrong(f"--shape {where} and --shape {text} give dimension '{dimension}' two sizes")
    own = {value.name: value.dims for value in header.inputs}
    dynamic = {
        name: {axis: called for axis, called in axes.items() if called != own[name][axis]}
        for name, axes in names.items()
    }
    return AskedSizes(
        {dimension: size for dimension, (size, _) in asked.items()},
        {name: axes for name, axes in dynamic.items() if axes},
    )


def _pairs(header: OnnxHeader, names: Mapping[str, Mapping[int, str]], text: str) -> list[tuple[str, int]]:
    """The sizes by dimension that one text asks for."""
    name, equals, given = text.rpartition("=")
    if not equals or not name or not _SIZES.fullmatch(given):
        raise _wrong(
            f"--shape takes INPUT=SIZExSIZE or DIMENSION=SIZE, such as image=1x3x224x224 or batch=4, not '{text}'"
        )
    sizes = [int(size) for size in given.split("x")]
    dims = {value.name: value.dims for value in header.inputs}.get(name)
    dimension = _called(name)
    dimensions = {called for axes in names.values() for called in axes.values()}
    # An input may be called like a dimension: the number of sizes tells which is meant.
    if dimension in dimensions and len(sizes) == 1 and (dims is None or len(dims) != 1):
        return [(dimension, _at_least_one(sizes[0], text))]
    if dims is None:
        if dimension in dimensions:
            raise _wrong(f"--shape {text}: '{name}' is a dimension, which has one size")
        offered = [*names, *sorted(dimensions)]
        raise _wrong(f"--shape {text}: '{name}' is no input and no dynamic dimension of the file{hint(name, offered)}")
    if len(dims) != len(sizes):
        raise _wrong(f"--shape {text}: the file's '{name}' has {len(dims)} dimensions: {_shape(dims)}")
    pairs = []
    for axis, (size, dim) in enumerate(zip(sizes, dims, strict=True)):
        if axis in names[name]:
            pairs.append((names[name][axis], _at_least_one(size, text)))
        elif size != dim:
            raise _wrong(f"--shape {text}: the file fixes '{name}' at {_shape(dims)}")
    return pairs


def _names_of(header: OnnxHeader) -> dict[str, dict[int, str]]:
    """A name for every dynamic dimension by input and axis: the file's own where it is a plain word."""
    return {
        value.name: {
            axis: _called(dim) if isinstance(dim, str) else _called(f"{value.name}_{axis}")
            for axis, dim in enumerate(value.dims)
            if not isinstance(dim, int)
        }
        for value in header.inputs
    }


def _called(dim: str) -> str:
    """A dimension's name as plans and cells can hold it: `2*seq` becomes `d2_seq`."""
    word = _NO_LETTER.sub("_", dim)
    return word if word.isidentifier() and word not in _RESERVED else f"d{word}"


def _at_least_one(size: int, text: str) -> int:
    if size < 1:
        raise _wrong(f"--shape {text}: a size is at least 1")
    return size


def _shape(dims: Sequence[int | str | None]) -> str:
    return "x".join("?" if dim is None else str(dim) for dim in dims)


def _wrong(sentence: str) -> EdgesweepError:
    return EdgesweepError("usage", sentence, remedy="see edgesweep measure --help")
