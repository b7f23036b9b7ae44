"""Input arrays: read without pickles, laid out as a careful application would, checked against the session."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import NamedFile
from edgesweep_worker.values import base_name

#: onnxruntime's own allocator aligns to this; a caller's buffer at an odd address would cost the model, not us.
ALIGNMENT_BYTES = 64

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def aligned_empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An uninitialised C-contiguous array of `shape` and `dtype` that starts on a 64-byte boundary."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT_BYTES, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)


def load_inputs(files: Sequence[NamedFile]) -> dict[str, np.ndarray]:
    """Read every input into an aligned array.

    Raises:
        TrialFailed: shape_mismatch, a file is not a plain `.npy` array.
    """
    arrays = {}
    for file in files:
        try:
            loaded = np.load(file.path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's words say nothing about the array
            raise TrialFailed(
                "shape_mismatch", f"input {file.name} is not a readable .npy array", str(error)
            ) from error
        if loaded.dtype.hasobject or loaded.dtype.kind in "US":
            arrays[file.name] = loaded
            continue
        array = aligned_empty(loaded.shape, loaded.dtype)
        array[...] = loaded
        arrays[file.name] = array
    return arrays


def check_inputs(arrays: Mapping[str, np.ndarray], session: Any) -> None:
    """Hold the arrays against what the session asks for.

    Args:
        arrays: input arrays by name.
        session: an onnxruntime InferenceSession.

    Raises:
        TrialFailed: shape_mismatch, with every difference found.
    """
    # NodeArg objects keep the whole session alive: only plain values leave this function.
    wanted = [(arg.name, arg.type, arg.shape) for arg in session.get_inputs()]
    optional = {arg.name for arg in session.get_overridable_initializers()}
    given = {base_name(name) for name in arrays} | set(arrays)
    faults = [
        f"input {name} is missing" for name, kind, _ in wanted if name not in given and not kind.startswith("optional(")
    ]
    known = {name for name, _, _ in wanted} | optional
    faults += [f"the model has no input {name}" for name in arrays if not {name, base_name(name)} & known]
    for name, kind, shape in wanted:
        if name in arrays:
            faults += _differences(name, arrays[name], kind, shape)
    if faults:
        raise TrialFailed("shape_mismatch", "; ".join(faults))


def _differences(name: str, array: np.ndarray, kind: str, shape: Sequence[Any] | None) -> list[str]:
    faults = []
    dtype = _DTYPES.get(kind[len("tensor(") : -1]) if kind.startswith("tensor(") else None
    if dtype is not None and array.dtype != np.dtype(dtype):
        faults.append(f"input {name} is {array.dtype} where the model wants {dtype}")
    if shape is not None and not _fits(array.shape, shape):
        faults.append(f"input {name} has shape {list(array.shape)} where the model wants {list(shape)}")
    return faults


def _fits(given: Sequence[int], wanted: Sequence[Any]) -> bool:
    # A name or None is a dynamic dimension; it takes any size.
    return len(given) == len(wanted) and all(
        not isinstance(size, int) or size == given[index] for index, size in enumerate(wanted)
    )
