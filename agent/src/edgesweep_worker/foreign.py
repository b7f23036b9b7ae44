"""Element types that numpy lacks: how many bits they have, how onnxruntime is handed them, and what their bits stand for.

They travel as whole numbers: an element of 16 bits as uint16, smaller ones as uint8 each, as ml_dtypes lays them out.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesweep_worker.failure import TrialFailed

_BYTE = 8


@dataclass(frozen=True)
class ElementType:
    """One type: its number in onnx's TensorProto.DataType and its bits.

    A float has `exponent` bits with their `bias`, and the rest of its bits but for the sign is its fraction. What the
    highest exponent stands for is told by `special`: `ieee` infinities and NaN, `fn` one NaN where all bits are set, `fnuz`
    one NaN where only the sign is, `none` numbers alone. Without an exponent it is a whole number.
    """

    number: int
    bits: int
    exponent: int = 0
    bias: int = 0
    special: str = "none"
    signed: bool = True

    @property
    def carrier(self) -> Any:
        """The whole number of numpy's that an element travels as."""
        return np.uint16 if self.bits > _BYTE else np.uint8


#: By onnxruntime's name in lower case: onnx/docs/docsgen/source/technical/float8.md and int4.md of onnx say what each is.
TYPES = {
    "bfloat16": ElementType(16, 16, 8, 127, "ieee"),
    "float8e4m3fn": ElementType(17, 8, 4, 7, "fn"),
    "float8e4m3fnuz": ElementType(18, 8, 4, 8, "fnuz"),
    "float8e5m2": ElementType(19, 8, 5, 15, "ieee"),
    "float8e5m2fnuz": ElementType(20, 8, 5, 16, "fnuz"),
    "uint4": ElementType(21, 4, signed=False),
    "int4": ElementType(22, 4),
    "float4e2m1": ElementType(23, 4, 2, 1),
    "float8e8m0": ElementType(24, 8, 8, 127, "fn", signed=False),
    "uint2": ElementType(25, 2, signed=False),
    "int2": ElementType(26, 2),
}


def element_type(kind: str) -> ElementType | None:
    """The type of `tensor(bfloat16)` and its like; None for what numpy has, and for what is no tensor."""
    return TYPES.get(kind[len("tensor(") : -1].lower()) if kind.startswith("tensor(") else None


def to_value(ort: Any, raw: np.ndarray, kind: ElementType) -> Any:
    """An OrtValue that holds the bits of `raw`.

    Raises:
        TrialFailed: element_type_unsupported, this onnxruntime's Python has no way to take them.
    """
    try:
        if kind.bits >= _BYTE:
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.asarray(raw, order="C"), kind.number)
        value = ort.OrtValue.ortvalue_from_shape_and_type(list(raw.shape), kind.number)
        packed = _pack(raw, kind.bits).tobytes()
        ctypes.memmove(value.data_ptr(), packed, len(packed))
    except Exception as error:
        sentence = f"onnxruntime {ort.__version__} takes no values of type number {kind.number} from Python"
        raise TrialFailed("element_type_unsupported", sentence, f"{type(error).__name__}: {error}") from error
    return value


def from_value(value: Any, kind: ElementType) -> np.ndarray:
    """What an OrtValue of that type holds, as `decode` gives it."""
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    size = -(-count * kind.bits // _BYTE)
    held = np.frombuffer(ctypes.string_at(value.data_ptr(), size) if size else b"", np.uint8)
    if kind.bits >= _BYTE:
        raw = held.view(kind.carrier)
    else:
        places = range(0, _BYTE, kind.bits)
        raw = np.stack([(held >> place) & (2**kind.bits - 1) for place in places], axis=1).reshape(-1)[:count]
    return decode(raw.reshape(shape), kind)


def decode(raw: np.ndarray, kind: ElementType) -> np.ndarray:
    """The numbers that the bits stand for: float32 for a float, int8 or uint8 for a whole number."""
    if not kind.exponent:
        bits = raw.view(np.uint8) & np.uint8(2**kind.bits - 1)
        sign = np.uint8(2 ** (kind.bits - 1))
        return ((bits ^ sign) - sign).view(np.int8) if kind.signed else bits
    return _table(kind)[raw.view(kind.carrier) & (2**kind.bits - 1)]


def _table(kind: ElementType) -> np.ndarray:
    """The float32 of every pattern of bits."""
    codes = np.arange(2**kind.bits, dtype=np.int64)
    fraction_bits = kind.bits - kind.exponent - int(kind.signed)
    fraction = (codes & (2**fraction_bits - 1)) / 2**fraction_bits
    exponent = (codes >> fraction_bits) & (2**kind.exponent - 1)
    normal = np.ldexp(1 + fraction, exponent - kind.bias)
    # A type without a sign has no zero and no numbers below the smallest normal one.
    values = np.where((exponent == 0) & kind.signed, np.ldexp(fraction, 1 - kind.bias), normal)
    top = exponent == 2**kind.exponent - 1
    if kind.special == "ieee":
        values = np.where(top, np.where(fraction == 0, np.inf, np.nan), values)
    elif kind.special == "fn":
        values = np.where(top & (codes & (2**fraction_bits - 1) == 2**fraction_bits - 1), np.nan, values)
    if kind.signed:
        negative = codes >> (kind.bits - 1) == 1
        values = np.where(negative, -values, values)
        if kind.special == "fnuz":
            values = np.where(codes == 2 ** (kind.bits - 1), np.nan, values)
    return values.astype(np.float32)


def _pack(raw: np.ndarray, bits: int) -> np.ndarray:
    """Elements in the low bits of a byte each, packed, the first in the lowest bits."""
    each = _BYTE // bits
    flat = raw.reshape(-1).view(np.uint8) & np.uint8(2**bits - 1)
    padded = np.zeros(-(-flat.size // each) * each, np.uint8)
    padded[: flat.size] = flat
    packed = np.zeros(padded.size // each, np.uint8)
    for place in range(each):
        packed |= padded[place::each] << np.uint8(bits * place)
    return packed
