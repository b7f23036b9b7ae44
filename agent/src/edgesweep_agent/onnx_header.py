"""Reads the outside of an .onnx file without the onnx package: opsets, inputs, outputs, external files.

An .onnx file is one protobuf message (onnx/onnx.proto). This reads only the fields it needs and seeks over the
rest, so that gigabytes of weights cost nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: numpy's name for each TensorProto.DataType; types without one keep ONNX's own lower-case name.
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "object", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2", 27: "float6_e2m3fn", 28: "float6_e3m2fn",
}  # fmt: skip

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_MAX_DEPTH = 64
#: Names of the default operator set.
_DEFAULT_DOMAINS = ("", "ai.onnx")
#: TensorProto.DataLocation.EXTERNAL
_EXTERNAL = 1
#: The node that holds what a provider has compiled, or names the file that does.
_CONTEXT = "EPContext"


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """An input or output: numpy's dtype name, and its sizes, a name for a dynamic one, None for an unknown one.

    `dims` is None-filled only where the model says nothing; a model without any shape gives an empty tuple.
    """

    name: str
    dtype: str
    dims: tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class OnnxHeader:
    """What the outside of a model says. `inputs` leaves out those that an initializer fills."""

    ir_version: int
    opset: int
    domains: dict[str, int]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    external_locations: tuple[str, ...]
    node_count: int


def read_header(path: Path) -> OnnxHeader:
    """Read the header of the .onnx file at `path`.

    Raises:
        ValueError: in one sentence, when the file is cut off or is no ONNX model.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        try:
            header = _model(_Reader(file, 0, size))
        except (_MalformedError, UnicodeDecodeError) as error:
            raise ValueError(f"{path.name} is not a whole ONNX model: {error}") from error
    return header


class _MalformedError(Exception):
    """The bytes are no protobuf message of the kind expected."""


@dataclass(slots=True)
class _Reader:
    """A stretch of the file that holds one message."""

    file: BinaryIO
    start: int
    end: int
    depth: int = 0

    def fields(self) -> Iterator[tuple[int, int, int | _Reader]]:
        """Number, wire type and value of each field; a length-delimited one is a reader of its own, not yet read."""
        position = self.start
        while position < self.end:
            key, position = self._varint(position)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise _MalformedError(f"there is no field 0 (at byte {position})")
            if wire == _VARINT:
                value, position = self._varint(position)
                yield number, wire, value
            elif wire == _BYTES:
                size, position = self._varint(position)
                self._need(position, size)
                yield number, wire, _Reader(self.file, position, position + size, self.depth + 1)
                position += size
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
                self._need(position, size)
                position += size
            else:
                raise _MalformedError(f"wire type {wire} at byte {position} is none that ONNX uses")

    def content(self) -> bytes:
        """All bytes of the stretch."""
        self.file.seek(self.start)
        return self.file.read(self.end - self.start)

    def text(self) -> str:
        """The stretch as text."""
        return self.content().decode("utf-8")

    def _need(self, position: int, size: int) -> None:
        if position + size > self.end:
            raise _MalformedError(f"it ends at byte {self.end}, in the middle of a field of {size} bytes")

    def _varint(self, position: int) -> tuple[int, int]:
        self.file.seek(position)
        data = self.file.read(min(_MAX_VARINT_BYTES, self.end - position))
        value = 0
        for index, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                return value, position + index + 1
        raise _MalformedError(f"it ends at byte {self.end}, in the middle of a number")


def _model(reader: _Reader) -> OnnxHeader:
    ir_version, domains, graph = 0, {}, None
    externals: dict[str, None] = {}
    for number, _, value in reader.fields():
        if number == 1 and isinstance(value, int):
            ir_version = value
        elif number == 7 and isinstance(value, _Reader):  # noqa: PLR2004
            graph = _graph(value, externals)
        elif number == 8 and isinstance(value, _Reader):  # noqa: PLR2004
            domain, version = _opset(value)
            domains["" if domain in _DEFAULT_DOMAINS else domain] = version
        elif number == 20 and isinstance(value, _Reader):  # noqa: PLR2004 - training graphs
            for _, _, part in value.fields():
                if isinstance(part, _Reader):
                    _graph(part, externals)
        elif number == 25 and isinstance(value, _Reader):  # noqa: PLR2004 - a function has nodes with attributes too
            _function(value, externals)
    if not ir_version or graph is None or not domains:
        lacking = "IR version" if not ir_version else "graph" if graph is None else "operator set"
        raise _MalformedError(f"it has no {lacking}")
    inputs, outputs, node_count = graph
    return OnnxHeader(ir_version, domains.get("", 0), domains, inputs, outputs, tuple(externals), node_count)


def _opset(reader: _Reader) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in reader.fields():
        if number == 1 and isinstance(value, _Reader):
            domain = value.text()
        elif number == 2 and isinstance(value, int):  # noqa: PLR2004
            version = value
    return domain, version


def _graph(reader: _Reader, externals: dict[str, None]) -> tuple[tuple[ValueInfo, ...], tuple[ValueInfo, ...], int]:
    inputs, outputs, filled, nodes = [], [], set(), 0
    for number, _, value in reader.fields():
        if not isinstance(value, _Reader):
            continue
        if number == 1:
            nodes += 1
            _node(value, externals)
        elif number == 5:  # noqa: PLR2004
            filled.add(_tensor(value, externals))
        elif number == 11:  # noqa: PLR2004
            inputs.append(_value_info(value))
        elif number == 12:  # noqa: PLR2004
            outputs.append(_value_info(value))
        elif number == 15:  # noqa: PLR2004
            filled.add(_sparse_tensor(value, externals))
    return tuple(v for v in inputs if v.name not in filled), tuple(outputs), nodes


def _function(reader: _Reader, externals: dict[str, None]) -> None:
    for number, _, value in reader.fields():
        if number == 7 and isinstance(value, _Reader):  # noqa: PLR2004
            _node(value, externals)
        elif number == 11 and isinstance(value, _Reader):  # noqa: PLR2004 - attributes with default values
            _attribute(value, externals)


def _node(reader: _Reader, externals: dict[str, None]) -> None:
    operator, attributes = "", []
    for number, _, value in reader.fields():
        if number == 4 and isinstance(value, _Reader):  # noqa: PLR2004
            operator = value.text()
        elif number == 5 and isinstance(value, _Reader):  # noqa: PLR2004
            _attribute(value, externals)
            attributes.append(value)
    if operator == _CONTEXT:
        _context(attributes, externals)


def _context(attributes: list[_Reader], externals: dict[str, None]) -> None:
    """The file of compiled code that an EPContext node names, if its code is not inside it."""
    named, embedded = [], True
    for attribute in attributes:
        found = {number: value for number, _, value in attribute.fields()}
        name, text = found.get(1), found.get(4)
        key = name.text() if isinstance(name, _Reader) else ""
        if key == "embed_mode":
            embedded = embedded and bool(found.get(3, 0))
        elif key == "ep_cache_context" and isinstance(text, _Reader):
            named.append(text)
    if not embedded:
        externals.update(dict.fromkeys(text.text() for text in named))


def _attribute(reader: _Reader, externals: dict[str, None]) -> None:
    if reader.depth > _MAX_DEPTH:
        raise _MalformedError(f"graphs are nested deeper than {_MAX_DEPTH} levels")
    for number, _, value in reader.fields():
        if not isinstance(value, _Reader):
            continue
        if number in (5, 10):
            _tensor(value, externals)
        elif number in (6, 11):
            _graph(value, externals)
        elif number in (22, 23):
            _sparse_tensor(value, externals)


def _sparse_tensor(reader: _Reader, externals: dict[str, None]) -> str:
    name = ""
    for number, _, value in reader.fields():
        if number in (1, 2) and isinstance(value, _Reader):
            found = _tensor(value, externals)
            name = found if number == 1 else name
    return name


def _tensor(reader: _Reader, externals: dict[str, None]) -> str:
    name, locations, external = "", [], False
    for number, _, value in reader.fields():
        if number == 8 and isinstance(value, _Reader):  # noqa: PLR2004
            name = value.text()
        elif number == 13 and isinstance(value, _Reader):  # noqa: PLR2004
            key, entry = _entry(value)
            if key == "location":
                locations.append(entry)
        elif number == 14 and isinstance(value, int):  # noqa: PLR2004
            external = value == _EXTERNAL
    if external and not locations:
        locations.append("")
    # A reader may take the first or the last of two: all of them count.
    externals.update(dict.fromkeys(locations))
    return name


def _entry(reader: _Reader) -> tuple[str, str]:
    texts = {number: value.text() for number, _, value in reader.fields() if isinstance(value, _Reader)}
    return texts.get(1, ""), texts.get(2, "")


def _value_info(reader: _Reader) -> ValueInfo:
    name, dtype = "", ""
    dims: tuple[int | str | None, ...] = ()
    for number, _, value in reader.fields():
        if number == 1 and isinstance(value, _Reader):
            name = value.text()
        elif number == 2 and isinstance(value, _Reader):  # noqa: PLR2004
            dtype, dims = _type(value)
    return ValueInfo(name, dtype, dims)


def _type(reader: _Reader) -> tuple[str, tuple[int | str | None, ...]]:
    for number, _, value in reader.fields():
        if number == 1 and isinstance(value, _Reader):
            return _tensor_type(value)
    # A sequence, a map or an optional: there is no numpy name for it.
    return "", ()


def _tensor_type(reader: _Reader) -> tuple[str, tuple[int | str | None, ...]]:
    dtype = ""
    dims: tuple[int | str | None, ...] = ()
    for number, _, value in reader.fields():
        if number == 1 and isinstance(value, int):
            dtype = DTYPES.get(value, f"type{value}")
        elif number == 2 and isinstance(value, _Reader):  # noqa: PLR2004
            dims = tuple(_dim(dim) for kind, _, dim in value.fields() if kind == 1 and isinstance(dim, _Reader))
    return dtype, dims


def _dim(reader: _Reader) -> int | str | None:
    for number, _, value in reader.fields():
        if number == 1 and isinstance(value, int):
            return value - (1 << 64) if value >> 63 else value
        if number == 2 and isinstance(value, _Reader):  # noqa: PLR2004
            return value.text() or None
    return None
