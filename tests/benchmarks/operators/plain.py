"""What plain onnxruntime says of the cases: a session, one run and a comparison, in a process per case that may die.

Shares no line with the worker, whose answers are held against these. Run as a program it reads the folders of cases as
lines from stdin and writes a line of JSON for each: `name`, `ok` and `words`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Outputs agree when |a-b| <= ABSOLUTE + RELATIVE*|b|: what a sweep asks of a ready file (design.md §8).
ABSOLUTE, RELATIVE = 1e-4, 1e-3

#: Types of onnx without one in numpy: their number, the bits of an element, and what ml_dtypes calls them.
_FOREIGN = {
    "bfloat16": (16, 16, "bfloat16"), "float8e4m3fn": (17, 8, "float8_e4m3fn"),
    "float8e4m3fnuz": (18, 8, "float8_e4m3fnuz"), "float8e5m2": (19, 8, "float8_e5m2"),
    "float8e5m2fnuz": (20, 8, "float8_e5m2fnuz"), "uint4": (21, 4, "uint4"), "int4": (22, 4, "int4"),
    "float4e2m1": (23, 4, "float4_e2m1fn"), "float8e8m0": (24, 8, "float8_e8m0fnu"), "uint2": (25, 2, "uint2"),
    "int2": (26, 2, "int2"),
}  # fmt: skip
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Said:
    """Whether a case passes, and what was said where it does not."""

    ok: bool
    words: str


def ask(folders: Sequence[Path]) -> dict[str, Said]:
    """What onnxruntime says of each case, by the name of its folder."""
    command = [sys.executable, "-I", __file__]
    env = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        command, input="".join(f"{folder}\n" for folder in folders), env=env, capture_output=True, text=True, check=True
    )
    said = map(json.loads, done.stdout.splitlines())
    return {told["name"]: Said(told["ok"], told["words"]) for told in said}


def judge(folder: Path) -> str:
    """Load, run and compare one case; empty when all is as it should be, else what is not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        given = _read(folder / "inputs.npz")
        feed = {arg.name: _value(onnxruntime, arg, given) for arg in session.get_inputs()}
        optional = {arg.name for arg in session.get_inputs() if arg.type.startswith("optional(")}
        feed = {name: value for name, value in feed.items() if value is not None or name in optional}
        # Values of types that numpy lacks travel only as OrtValues, the others more easily without.
        foreign = [arg for arg in (*session.get_inputs(), *session.get_outputs()) if _foreign(arg.type)]
        if foreign:
            wrapped = {name: _wrapped(onnxruntime, value) for name, value in feed.items()}
            outputs = [_unwrapped(value) for value in session.run_with_ort_values(None, wrapped)]
        else:
            outputs = session.run(None, feed)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
        return f"{type(error).__name__}: {error}"
    expected = _read(folder / "references.npz")
    if not expected:
        return "there is nothing to compare with"
    for arg, output in zip(session.get_outputs(), outputs, strict=True):
        for name, array in _flat(arg.name, output):
            if name not in expected:
                return f"{name} is not expected"
            if words := _difference(array, expected.pop(name)):
                return f"{name}: {words}"
    left = [name for name in expected if name.removesuffix("[]") not in {arg.name for arg in session.get_outputs()}]
    return f"{left[0]} is missing" if left else ""


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _value(ort: Any, arg: Any, given: dict[str, np.ndarray]) -> Any:
    if arg.name in given:
        array = given[arg.name]
        if (foreign := _foreign(arg.type)) is not None:
            return _ort_value(ort, array, *foreign[:2])
        return array.astype(object) if array.dtype.kind == "U" else array
    items = [given[f"{arg.name}[{index}]"] for index in range(len(given)) if f"{arg.name}[{index}]" in given]
    if items or f"{arg.name}[]" in given:
        return [item.astype(object) if item.dtype.kind == "U" else item for item in items]
    return None


def _foreign(kind: str) -> tuple[int, int, str] | None:
    return _FOREIGN.get(kind.removeprefix("tensor(").removesuffix(")").lower())


def _ort_value(ort: Any, array: np.ndarray, number: int, bits: int) -> Any:
    """The bits of `array`, as ml_dtypes lays them out, as a value of onnx's type `number`."""
    raw = np.frombuffer(array.tobytes(), np.uint16 if bits == 16 else np.uint8).reshape(array.shape)
    if bits >= 8:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, number)
    value = ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), number)
    packed = _packed(raw.reshape(-1), bits)
    ctypes.memmove(value.data_ptr(), packed, len(packed))
    return value


def _packed(raw: np.ndarray, bits: int) -> bytes:
    each = 8 // bits
    padded = np.zeros(-(-raw.size // each) * each, np.uint8)
    padded[: raw.size] = raw & (2**bits - 1)
    rows = padded.reshape(-1, each)
    return bytes(sum(rows[:, place] << (bits * place) for place in range(each)).astype(np.uint8))


def _wrapped(ort: Any, value: Any) -> Any:
    return ort.OrtValue.ortvalue_from_numpy(value) if isinstance(value, np.ndarray) else value


def _unwrapped(value: Any) -> np.ndarray:
    foreign = _foreign(value.data_type())
    if foreign is None:
        return value.numpy()
    import ml_dtypes

    _, bits, name = foreign
    shape, dtype = value.shape(), np.dtype(getattr(ml_dtypes, name))
    count = int(np.prod(shape))
    held = np.frombuffer(ctypes.string_at(value.data_ptr(), -(-count * bits // 8)), np.uint8)
    if bits >= 8:
        return held.view(dtype).reshape(shape)
    spread = np.stack([(held >> (bits * place)) & (2**bits - 1) for place in range(8 // bits)], axis=1)
    return spread.reshape(-1)[:count].astype(np.uint8).view(dtype).reshape(shape)


def _flat(name: str, output: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(output, list):
        for index, item in enumerate(output):
            yield from _flat(f"{name}[{index}]", item)
    elif output is not None:
        yield name, np.asarray(output)


def _difference(array: np.ndarray, wanted: np.ndarray) -> str:
    if array.shape != wanted.shape:
        return f"shape {array.shape} instead of {wanted.shape}"
    if wanted.dtype.kind == "U":
        array = array.astype(np.str_)
    if wanted.dtype.kind == "V" and array.dtype.itemsize == wanted.dtype.itemsize:
        wanted = wanted.view(array.dtype)
    if array.dtype != wanted.dtype and array.dtype.kind != "U":
        return f"type {array.dtype} instead of {wanted.dtype}"
    if array.dtype.kind in "biuU" or array.dtype.name in {"int4", "uint4", "int2", "uint2"}:
        return "" if (array == wanted).all() else "other values"
    if array.dtype.name not in {"float16", "float32", "float64", "complex64", "complex128"}:
        array, wanted = array.astype(np.float32), wanted.astype(np.float32)
    with contextlib.suppress(AssertionError):
        np.testing.assert_allclose(array, wanted, rtol=RELATIVE, atol=ABSOLUTE)
        return ""
    return "other numbers"


def main() -> None:
    """Judge each folder of stdin in a fork: this process makes no session and no thread."""
    import onnxruntime  # noqa: F401 - so that no fork has to

    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)
            ctypes.CDLL(None).alarm(_SECONDS)
            os.write(writer, judge(folder).encode(errors="replace")[:4000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            words = pipe.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        if status:
            words = f"died: {os.waitstatus_to_exitcode(status)}"
        sys.stdout.write(json.dumps({"name": folder.name, "ok": not words, "words": words}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
