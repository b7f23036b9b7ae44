"""A ready `.onnx` file: taken as it is, held to the same checks, and given inputs and references of its own."""

from __future__ import annotations

import hashlib
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.codec import to_json
from edgesweep_proto.trial import Stage
from numpy.typing import NDArray

from edgesweep.export.axes import slug_of
from edgesweep.export.blobs import Blobs, digest_of
from edgesweep.export.cache import ExportCache, environment
from edgesweep.export.canonical import external_name, graph_hash_of, is_external, location_of, point_to, tensors_in
from edgesweep.export.check import check_graph
from edgesweep.export.digest import digest_json, source_key
from edgesweep.export.facts import Declared, Facts, facts_of
from edgesweep.export.failure import Failure
from edgesweep.export.payloads import payload_of
from edgesweep.export.pipeline import Bench, failed, produced_of
from edgesweep.export.proof import Case, Proof, prove
from edgesweep.export.result import ExportResult, Payload
from edgesweep.export.tolerance import tolerance_for
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape, Variant

if TYPE_CHECKING:
    import onnx

#: What an open dimension gets where neither the plan nor the file names a size.
_OPEN_SIZE = 1


class UnusableFileError(Exception):
    """The file is not a model that can be taken; carries the failure."""

    def __init__(self, cause: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(Stage.CHECK, cause, message, detail)


def take_file(
    source: ModelSource, variant: Variant, shapes: Sequence[Shape], bench: Bench, cache: ExportCache
) -> ExportResult:
    """Check a ready model and pack what trials need. Never raises for the file's sake.

    The model's bytes stay as they are, unless it has external data: that is renamed to its digest.
    """
    started = time.perf_counter()
    path = Path(source.ref)
    try:
        model = _read(path)
        data = _data_of(model, path)
    except UnusableFileError as error:
        return failed(variant, error.failure, time.perf_counter() - started)
    key = _key(source, variant, shapes, path, data)
    found = cache.get(key)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(dir=bench.scratch, prefix="file-") as name:
        result = _take(source, variant, shapes, model, path, data, Path(name), bench)
    result = replace(result, seconds=time.perf_counter() - started)
    cache.put(key, result)
    return result


def _take(
    source: ModelSource,
    variant: Variant,
    shapes: Sequence[Shape],
    model: onnx.ModelProto,
    path: Path,
    data: Mapping[str, Path],
    folder: Path,
    bench: Bench,
) -> ExportResult:
    tolerance = tolerance_for(variant.precision)
    facts = facts_of(model)
    manifest, artifact = _store(model, path, data, folder, bench.blobs)
    proven: dict[str, tuple[str, ...]] = {}
    produced = produced_of(facts, manifest, graph_hash_of(model), proven)
    result = ExportResult(variant, Stage.CHECK, manifest=manifest, produced=produced, tolerance=tolerance)
    failure = check_graph(artifact, model)
    if failure is None:
        try:
            cases = [
                _case(source, facts, dict(shape.sizes), folder / f"shape{index}")
                for index, shape in enumerate(shapes or (Shape(),))
            ]
        except UnusableFileError as error:
            failure = error.failure
    if failure is not None:
        return replace(result, cause=failure.cause, message=failure.message, detail=failure.detail)
    proof = prove(artifact, cases, tolerance, bench.proof_timeout_s)
    if proof.failure is not None and source.references is not None and proof.failure.cause != "unprovable_here":
        failure = proof.failure
        return replace(result, cause=failure.cause, message=failure.message, detail=failure.detail)
    payloads = _pack(source, shapes or (Shape(),), cases, proof, facts, bench.blobs)
    return replace(result, numerics=proof.numerics, sizes_tried=proof.tried, payloads=payloads)


def _pack(
    source: ModelSource, shapes: Sequence[Shape], cases: Sequence[Case], proof: Proof, facts: Facts, blobs: Blobs
) -> dict[str, Payload]:
    """Payloads with the folder's references, else the host's own outputs, else none and the reason."""
    dynamic = {
        value.name: {axis: name for axis, name in enumerate(value.shape or ()) if isinstance(name, str)}
        for value in facts.inputs
    }
    packed = {}
    for shape, case in zip(shapes, cases, strict=True):
        references = case.references or proof.outputs.get(case.label) or None
        note = ""
        if references is None:
            why = proof.failure.message if proof.failure else "the host's onnxruntime gave no outputs"
            note = f"nothing to compare with: {why}"
        elif source.references is None:
            note = "compared with the host's onnxruntime: a file has no torch to be held against"
        packed[shape.slug] = payload_of(
            replace(case, references=references), shape, facts, blobs, dynamic=dynamic, note=note
        )
    return packed


def _read(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise UnusableFileError("invalid_model_file", f"{path.name} cannot be read: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise UnusableFileError("invalid_model_file", f"{path.name} is not a whole ONNX model", str(error)) from error
    if not model.opset_import or not model.graph.node:
        raise UnusableFileError("invalid_model_file", f"{path.name} holds no graph: it is not an ONNX model")
    return model


def _data_of(model: onnx.ModelProto, path: Path) -> dict[str, Path]:
    """The files of external data by the location that the model names; all lie beside the model or below it."""
    folder = path.resolve().parent
    found: dict[str, Path] = {}
    for tensor in tensors_in(model):
        if not is_external(tensor):
            continue
        location = location_of(tensor)[0]
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise UnusableFileError("invalid_model_file", f"{path.name} names data outside its own folder: {location}")
        if not file.is_file():
            raise UnusableFileError("external_data_missing", f"{path.name} names {location}, which is not there")
        found[location] = file
    return found


def _key(source: ModelSource, variant: Variant, shapes: Sequence[Shape], path: Path, data: Mapping[str, Path]) -> str:
    references = sorted(Path(source.references).rglob("*.npy")) if source.references else []
    return digest_json(
        {
            "file": digest_of(path),
            "data": sorted((location, digest_of(file)) for location, file in data.items()),
            "references": [(str(file), digest_of(file)) for file in references],
            "source": source_key(source),
            "variant": to_json(variant),
            "shapes": sorted(shape.slug for shape in shapes),
            "environment": dict(environment()),
        }
    )


def _store(
    model: onnx.ModelProto, path: Path, data: Mapping[str, Path], folder: Path, blobs: Blobs
) -> tuple[Manifest, Path]:
    """Put the artifact into the store; the manifest, and a copy in `folder` whose external data has its final names."""
    artifact = folder / "model.onnx"
    if not data:
        artifact.write_bytes(path.read_bytes())
        return Manifest(blobs.put_file(path)), artifact
    named: dict[str, Blob] = {}
    for location, file in data.items():
        named[location] = blobs.put_file(file)
        target = folder / external_name(named[location])
        if not target.exists():
            target.write_bytes(file.read_bytes())
    for tensor in tensors_in(model):
        if is_external(tensor):
            location, offset, length = location_of(tensor)
            point_to(tensor, external_name(named[location]), offset, length)
    artifact.write_bytes(model.SerializeToString(deterministic=True))
    external = {blob.sha256: blob for blob in named.values()}
    return Manifest(blobs.put_file(artifact), tuple(external.values())), artifact


def _case(source: ModelSource, facts: Facts, sizes: Mapping[str, int], folder: Path) -> Case:
    """Inputs for one shape, with the folder's references where they are for that shape."""
    folder.mkdir()
    label = slug_of(sizes)
    given = _folder_arrays(source.references, label)
    inputs = {}
    for index, value in enumerate(facts.inputs):
        array = given.get(value.name)
        inputs[value.name] = folder / f"input{index}.npy"
        np.save(
            inputs[value.name],
            array if array is not None else _draw(value, _shape(source, value, sizes)),
            allow_pickle=False,
        )
    references = None
    if source.references is not None and all(value.name in given for value in facts.outputs):
        references = tuple(folder / f"output{index}.npy" for index in range(len(facts.outputs)))
        for value, file in zip(facts.outputs, references, strict=True):
            np.save(file, given[value.name], allow_pickle=False)
    outputs = folder / "host" if references is None else None
    return Case(label, inputs, references, example=label == "example", outputs=outputs)


def _folder_arrays(references: str | None, label: str) -> dict[str, NDArray[Any]]:
    """The arrays in the references folder by name: `NAME.npy` for the example, `SHAPE/NAME.npy` for another shape."""
    if references is None:
        return {}
    folder = Path(references) if label == "example" else Path(references) / label
    try:
        return {file.stem: np.load(file, allow_pickle=False) for file in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError) as error:
        raise UnusableFileError("invalid_model_file", f"a reference in {folder} cannot be read: {error}") from error


def _shape(source: ModelSource, value: Declared, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """An input's sizes: the file's numbers, the shape's sizes by dimension name, and 1 for what stays open."""
    if value.shape is None:
        raise UnusableFileError(
            "invalid_model_file", f"input '{value.name}' declares no shape: give inputs and outputs under `references:`"
        )
    names = source.dynamic.get(value.name, {})
    shape = []
    for axis, declared in enumerate(value.shape):
        name = names.get(axis, declared if isinstance(declared, str) else "")
        shape.append(declared if isinstance(declared, int) else sizes.get(name, _OPEN_SIZE))
    return tuple(shape)


def _draw(value: Declared, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values for an input from a seed made of its name: normal floats, small integers that are safe as indices."""
    if not value.dtype or value.dtype == "object":
        raise UnusableFileError(
            "invalid_model_file", f"input '{value.name}' has a type that numpy cannot make: give it under `references:`"
        )
    seed = int.from_bytes(hashlib.sha256(value.name.encode()).digest()[:8])
    generator = np.random.default_rng(seed)
    kind = np.dtype(value.dtype).kind
    if kind == "b":
        return np.ones(shape, dtype=np.bool_)
    if kind in "iu":
        return generator.integers(0, 2, size=shape).astype(value.dtype)
    return generator.standard_normal(math.prod(shape)).reshape(shape).astype(value.dtype)
