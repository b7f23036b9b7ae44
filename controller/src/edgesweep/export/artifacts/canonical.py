"""One form for equal models: no host paths, no source lines, weights as blobs, the same bytes every time.

torch's exporters write stack traces, source lines and host paths into `metadata_props` and `doc_string`. They would
reach a board and would give equal models different digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesweep_proto.blob import Blob

from edgesweep.export.artifacts.graph_hash import graph_hash_of

if TYPE_CHECKING:
    import onnx

#: Weights stay inside the model file up to this many bytes in all.
EMBEDDED_MAX_BYTES = 1 << 20
#: Beyond that, each tensor of at least this many bytes becomes a file of its own, shared by all variants that hold it.
EXTERNAL_MIN_BYTES = 64 << 10

_STRIPPED = ("metadata_props", "doc_string")

#: Where a tensor's numbers may be written out one by one.
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")

#: Weights are read this much at a time: a model of gigabytes must not pass through the memory as a whole.
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical model on disk: `path` with its external data beside it as `<sha256>.bin`.

    `original` is the same model with the exporter's own metadata, for the host alone.
    """

    path: Path
    model: onnx.ModelProto
    external: tuple[Blob, ...]
    graph_hash: str
    original: bytes


def canonicalise(source: Path, folder: Path) -> Canonical:
    """Write the model at `source` into `folder` in canonical form.

    Weights that lie in other files are copied without being held: the memory is that of the graph and of one chunk. They
    are never linked to what an earlier variant left, because the ONNX checker refuses links.

    Args:
        source: What an exporter wrote, its external data beside it.
        folder: An empty folder of its own.
    """
    import onnx

    model = onnx.load(source, load_external_data=False)
    for tensor in tensors_in(model):
        _make_raw(tensor)
    external = _place_weights(model, source.parent, folder)
    original = model.SerializeToString(deterministic=True)
    for message in messages_in(model):
        for name in _STRIPPED:
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)
    _sort_by_name(model.graph.initializer)
    _sort_by_name(model.graph.value_info)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return Canonical(path, model, external, graph_hash_of(model), original)


def external_name(blob: Blob) -> str:
    """What a blob of external data is called inside a model."""
    return f"{blob.sha256}.bin"


def messages_in(message: Any) -> Iterator[Any]:
    """`message` and every message inside it, at any depth."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for part in value if descriptor.is_repeated else (value,):
            yield from messages_in(part)


def tensors_in(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model that may hold data: initializers and attributes, in subgraphs and functions too."""
    import onnx

    for message in messages_in(model):
        if isinstance(message, onnx.TensorProto):
            yield message


def location_of(tensor: onnx.TensorProto) -> tuple[str, int, int | None]:
    """File name, offset and length (None: to the end) of a tensor's external data."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    length = entries.get("length")
    return entries["location"], int(entries.get("offset", 0)), int(length) if length else None


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor's bytes lie in another file."""
    import onnx

    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def point_to(tensor: onnx.TensorProto, name: str, offset: int, length: int | None) -> None:
    """Have `tensor` take its bytes from the file `name` beside the model."""
    import onnx

    tensor.ClearField("raw_data")
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": name, "offset": str(offset)} | ({} if length is None else {"length": str(length)})
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def _make_raw(tensor: onnx.TensorProto) -> None:
    """Numbers written out one by one become the bytes that other exporters write for the same numbers."""
    import onnx

    if is_external(tensor):
        return
    tensor.ClearField("data_location")
    if tensor.HasField("raw_data") or tensor.data_type == onnx.TensorProto.STRING:
        return
    made = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor))
    if made.data_type != tensor.data_type or list(made.dims) != list(tensor.dims):
        return
    for name in _TYPED:
        tensor.ClearField(name)
    tensor.raw_data = made.raw_data


def _place_weights(model: onnx.ModelProto, origin: Path, folder: Path) -> tuple[Blob, ...]:
    """Embed the weights, or put the large ones into `folder`; the blobs there, each once."""
    sizes = [_size(tensor, origin) for tensor in model.graph.initializer]
    split = sum(sizes) > EMBEDDED_MAX_BYTES
    placed: dict[str, Blob] = {}
    for tensor, size in zip(model.graph.initializer, sizes, strict=True):
        if not split or size < EXTERNAL_MIN_BYTES:
            continue
        blob = _move_out(_chunks(tensor, origin), folder)
        placed[external_name(blob)] = blob
        point_to(tensor, external_name(blob), 0, blob.size_bytes)
    for tensor in tensors_in(model):
        if is_external(tensor) and location_of(tensor)[0] not in placed:
            data = b"".join(_chunks(tensor, origin))
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = data
    return tuple(placed.values())


def _move_out(chunks: Iterator[bytes], folder: Path) -> Blob:
    """Write a tensor's bytes into `folder` under their digest, which is taken on the way."""
    digest, size = hashlib.sha256(), 0
    aside = folder / "aside.bin"
    with aside.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
    blob = Blob(digest.hexdigest(), size)
    aside.replace(folder / external_name(blob))
    return blob


def _sort_by_name(entries: Any) -> None:
    """Order what has no order of its own: the exporters' order depends on the way that they took to the graph."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    del entries[:]
    entries.extend(ordered)


def _size(tensor: onnx.TensorProto, origin: Path) -> int:
    """Bytes of a tensor that can be moved; 0 for text, which has no raw form."""
    if not is_external(tensor):
        return len(tensor.raw_data)
    name, offset, length = location_of(tensor)
    return length if length is not None else (origin / name).stat().st_size - offset


def _chunks(tensor: onnx.TensorProto, origin: Path) -> Iterator[bytes]:
    """A tensor's bytes, a piece at a time where they lie in another file."""
    if not is_external(tensor):
        yield tensor.raw_data
        return
    name = location_of(tensor)[0]
    offset, left = location_of(tensor)[1], _size(tensor, origin)
    with (origin / name).open("rb") as file:
        file.seek(offset)
        while left:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise ValueError(f"{name} ends {left} bytes before the tensor '{tensor.name}' does")
            left -= len(chunk)
            yield chunk
