"""Reads the few fields of an ONNX file that explain why a runtime refuses it, and counts its nodes.

A minimal reader of the protobuf wire format (https://protobuf.dev/programming-guides/encoding/): the worker may not
depend on `onnx`, and the file may be larger than the board's memory, so it is mapped and its tensors are skipped.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from typing import Iterator

# Field numbers of onnx.proto.
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_BODIES = (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS)
_TENSOR_EXTERNAL = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class ExternalData:
    """Where a tensor's bytes should lie: `location` relative to the model, sizes in bytes."""

    location: str
    offset: int
    length: int


@dataclass(frozen=True)
class ModelHeader:
    """IR version, opset per domain (the ONNX domain is ""), and external data of a model file."""

    ir_version: int
    opsets: tuple[tuple[str, int], ...]
    external: tuple[ExternalData, ...]


def read_header(path: str) -> ModelHeader:
    """Read the header of the model at `path`.

    Raises:
        ValueError: the bytes are no protobuf message.
        OSError: the file cannot be read.
    """
    with _mapped(path) as data:
        return _model(data)


def count_nodes(path: str) -> int:
    """Nodes of the model at `path`, those of subgraphs too: the figure that the controller has of an artifact.

    Raises:
        ValueError: the bytes are no protobuf message.
        OSError: the file cannot be read.
    """
    with _mapped(path) as data:
        graphs = [span for number, _, span in fields(data, 0, len(data)) if number == _MODEL_GRAPH]
        return sum(_count(data, span) for span in graphs)


def missing_external_data(path: str, header: ModelHeader) -> str | None:
    """Say what is wrong with the external data of the model at `path`; None when it is all there."""
    folder = os.path.dirname(os.path.abspath(path))
    for item in header.external:
        file = os.path.join(folder, item.location)
        if not os.path.isfile(file):
            return f"external data file {item.location} is not there"
        size = os.path.getsize(file)
        if size < item.offset + item.length:
            return f"external data file {item.location} has {size} bytes where {item.offset + item.length} are needed"
    return None


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _count(data: mmap.mmap, graph: tuple[int, int]) -> int:
    nodes = 0
    for number, _, node in fields(data, *graph):
        if number != _GRAPH_NODE:
            continue
        nodes += 1
        for part, _, attribute in fields(data, *node):
            if part == _NODE_ATTRIBUTE:
                bodies = [span for kind, _, span in fields(data, *attribute) if kind in _BODIES]
                nodes += sum(_count(data, span) for span in bodies)
    return nodes


def _model(data: mmap.mmap) -> ModelHeader:
    ir_version = 0
    opsets: list[tuple[str, int]] = []
    external: list[ExternalData] = []
    for number, value, span in fields(data, 0, len(data)):
        if number == _MODEL_IR:
            ir_version = value
        elif number == _MODEL_OPSET:
            domain, version = "", 0
            for inner, inner_value, inner_span in fields(data, *span):
                if inner == _OPSET_DOMAIN:
                    domain = text(data, inner_span)
                elif inner == _OPSET_VERSION:
                    version = inner_value
            opsets.append((domain, version))
        elif number == _MODEL_GRAPH:
            external.extend(_graph(data, span))
    return ModelHeader(ir_version, tuple(opsets), tuple(external))


def _graph(data: mmap.mmap, span: tuple[int, int]) -> Iterator[ExternalData]:
    for number, _, inner in fields(data, *span):
        if number == _GRAPH_INITIALIZER:
            yield from _tensor(data, inner)
        elif number == _GRAPH_NODE:
            for part, _, attribute in fields(data, *inner):
                if part == _NODE_ATTRIBUTE:
                    yield from _attribute(data, attribute)


def _attribute(data: mmap.mmap, span: tuple[int, int]) -> Iterator[ExternalData]:
    for number, _, inner in fields(data, *span):
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            yield from _tensor(data, inner)
        elif number in _BODIES:
            yield from _graph(data, inner)


def _tensor(data: mmap.mmap, span: tuple[int, int]) -> Iterator[ExternalData]:
    entries: dict[str, str] = {}
    for number, _, inner in fields(data, *span):
        if number == _TENSOR_EXTERNAL:
            pair = {part: text(data, words) for part, _, words in fields(data, *inner)}
            entries[pair.get(_ENTRY_KEY, "")] = pair.get(_ENTRY_VALUE, "")
    if "location" in entries:
        yield ExternalData(entries["location"], int(entries.get("offset") or 0), int(entries.get("length") or 0))


def text(data: mmap.mmap, span: tuple[int, int]) -> str:
    """The text that stands at `span`."""
    return data[span[0] : span[1]].decode("utf-8", "replace")


def fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Field number, value of a varint (else 0) and span of a length-delimited field (else empty)."""
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        value, span = 0, (at, at)
        if wire == _VARINT:
            value, at = _varint(data, at, end)
        elif wire == _BYTES:
            length, at = _varint(data, at, end)
            span = (at, at + length)
            at += length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"no protobuf message: wire type {wire} at byte {at}")
        if at > end:
            raise ValueError(f"the message is cut off: field {number} goes beyond byte {end}")
        yield number, value, span


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of a varint
            return value, at
        shift += 7
    raise ValueError(f"the message is cut off inside a number at byte {end}")
