"""The operator tests of the package onnx as files: a model, its inputs and the outputs that it must give.

A case is a folder with `model.onnx`, `inputs.npz` and `references.npz`, which are not there where the model has none. A
sequence is written as `name[0]`, `name[1]` and so on; `name[]` is an empty one. Of an optional value that is missing
nothing is written. Types that numpy lacks are written as ml_dtypes holds
them, without their name, and strings as text of a fixed width.
"""

from __future__ import annotations

import importlib
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

#: Kinds of onnx.backend.test whose models and data come with the package; `real` are small copies of known networks.
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")

#: Types whose arrays numpy writes and reads by itself.
_NUMPYS = frozenset(
    {"bool", "float16", "float32", "float64", "complex64", "complex128"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)

_PACKAGE = Path(onnx.__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One test: `inputs` and `outputs` tell whether the files of that name are there."""

    name: str
    kind: str
    folder: Path
    inputs: bool
    outputs: bool


def write_cases(folder: Path, kinds: Sequence[str] = KINDS) -> list[Case]:
    """Write the tests of `kinds` below `folder`, kind by kind in the order of their names."""
    cases = []
    for kind in kinds:
        with warnings.catch_warnings():
            # The package computes overflows and divisions by zero on purpose.
            warnings.simplefilter("ignore", RuntimeWarning)
            tests = load_model_tests(kind=kind)
        for test in sorted(tests, key=lambda test: test.name):
            cases += list(_write(test, kind, folder))
    return cases


def write_some(folder: Path, modules: Sequence[str], names: Collection[str]) -> list[Case]:
    """Write those node tests below `folder` that are called as in `names`; `modules` are the package's that make them.

    All others are not made: that alone takes seconds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for module in modules:
            importlib.import_module(f"onnx.backend.test.case.node.{module}")
    from onnx.backend.test.case.node import _NodeTestCases

    made = {test.name.removeprefix("test_"): test for test in _NodeTestCases}
    return [case for name in names for case in _write(made[name], "node", folder)]


def _write(test: Any, kind: str, folder: Path) -> Iterator[Case]:
    """The test's cases: one for each set of data."""
    model, sets = _content(test)
    names = [value.name for value in _fed(model)]
    outputs = [value.name for value in model.graph.output]
    for index, (given, expected) in enumerate(sets):
        name = test.name.removeprefix("test_") + (f"-{index}" if len(sets) > 1 else "")
        place = folder / name
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(model.SerializeToString())
        fed = _save(place / "inputs.npz", names, given)
        yield Case(name, kind, place, fed, _save(place / "references.npz", outputs, expected))


def _content(test: Any) -> tuple[onnx.ModelProto, list[tuple[list[Any], list[Any]]]]:
    if test.model is not None:
        return test.model, test.data_sets
    if test.url is not None:
        model = onnx.load(_PACKAGE.parent / test.url)
        made = [_ramp(value) for value in _fed(model)]
        wanted = _tensor(_PACKAGE.parent / test.url.replace(".onnx", "_output_0.pb"))
        return model, [(made, [wanted])]
    place = Path(test.model_dir)
    model = onnx.load(place / "model.onnx")
    sets = []
    for data in sorted(place.glob("test_data_set_*")):
        given, expected = (
            [
                _value(path, value)
                for index, value in enumerate(values)
                if (path := data / f"{what}_{index}.pb").exists()
            ]
            for what, values in (("input", _fed(model)), ("output", model.graph.output))
        )
        sets.append((given, expected))
    return model, sets


def _fed(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _ramp(value: onnx.ValueInfoProto) -> np.ndarray:
    """What the package itself feeds these networks: numbers from 0 to 1 in order."""
    shape = tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) / size).astype(np.float32)


def _value(path: Path, value: onnx.ValueInfoProto) -> Any:
    kind = value.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(path.read_bytes()))
    return _tensor(path)


def _tensor(path: Path) -> np.ndarray:
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def _save(path: Path, names: Sequence[str], values: Sequence[Any]) -> bool:
    """Write the values under their names; False, and no file, when there is nothing to write."""
    arrays = [pair for name, value in zip(names, values, strict=False) for pair in _arrays(name, value)]
    if not arrays:
        return False
    # By hand: numpy.savez takes no array called `file`.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return True


def _arrays(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if value is None:
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _arrays(f"{name}[{index}]", item)
        if not value:
            yield f"{name}[]", np.empty(0, np.float32)
        return
    array = np.asarray(value)
    if array.dtype.hasobject:
        array = _text(array)
    elif array.dtype.name not in _NUMPYS:
        # numpy writes no header for some of these types that it could read again.
        array = array.view(f"V{array.dtype.itemsize}")
    yield name, array


def _text(array: np.ndarray) -> np.ndarray:
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in array.reshape(-1)]
    return np.array(words, dtype=np.str_).reshape(array.shape) if words else np.empty(array.shape, "U1")
