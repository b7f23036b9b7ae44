"""A ready `.onnx` file: taken as it is, held to the same checks, and given inputs and references of its own.

A host that only measures such files needs no torch and no onnx: without onnx the checker is left out, without
onnxruntime the references.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgesweep_agent.onnx_header import read_header
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.codec import to_json
from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.export.artifacts.blobs import Blobs, digest_of
from edgesweep.export.artifacts.cache import ExportCache, environment
from edgesweep.export.artifacts.canonical import (
    external_name,
    is_external,
    location_of,
    point_to,
    tensors_in,
)
from edgesweep.export.artifacts.digest import digest_json, source_key
from edgesweep.export.artifacts.facts import Declared, Facts, facts_of
from edgesweep.export.artifacts.graph_hash import graph_hash_of
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import host_trouble
from edgesweep.export.onnx_files.beyond_proof import given_payload, is_beyond_proof
from edgesweep.export.onnx_files.inputs import UnusableInputError, case_for
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.proof.check import check_graph
from edgesweep.export.proof.payloads import payload_of
from edgesweep.export.proof.prove import Case, Proof, prove
from edgesweep.export.result import ExportResult, Payload
from edgesweep.export.workers.pipeline import Bench, failed, produced_of
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape, Variant

if TYPE_CHECKING:
    import onnx


class UnusableFileError(Exception):
    """The file is not a model that can be taken; carries the failure."""

    def __init__(self, cause: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(Stage.CHECK, cause, message, detail)


@dataclass(frozen=True, slots=True)
class _File:
    """A readable model. `data` holds its external files by the location it names; `model` is None without onnx."""

    path: Path
    facts: Facts
    data: dict[str, Path]
    model: onnx.ModelProto | None


def take_file(
    source: ModelSource, variant: Variant, shapes: Sequence[Shape], bench: Bench, cache: ExportCache
) -> ExportResult:
    """Check a ready model and pack what trials need. Never raises for the file's sake.

    The model's bytes stay as they are, unless it has external data: that is renamed to its digest.
    """
    started = time.perf_counter()
    asked = tuple(shapes) or (Shape(),)
    try:
        file = _read(Path(source.ref))
        key = _key(source, variant, asked, file)
        found = cache.get(key)
        if found is not None:
            return found
        with tempfile.TemporaryDirectory(dir=bench.scratch, prefix="file-") as name:
            result, unproven = _take(source, variant, asked, file, Path(name), bench)
    except UnusableFileError as error:
        return failed(variant, error.failure, time.perf_counter() - started)
    result = replace(result, seconds=time.perf_counter() - started)
    cache.put(key, result, unproven=unproven)
    return result


def _take(
    source: ModelSource, variant: Variant, shapes: Sequence[Shape], file: _File, folder: Path, bench: Bench
) -> tuple[ExportResult, str]:
    """The result, and the cause that kept the host from proving it where it passes all the same."""
    tolerance = tolerance_for(variant.precision, source.tolerances)
    manifest, artifact = _store(file, folder, bench.blobs)
    graph_hash = graph_hash_of(file.model) if file.model is not None else ""
    produced = produced_of(file.facts, manifest, graph_hash, {})
    result = ExportResult(variant, Stage.CHECK, manifest=manifest, produced=produced, tolerance=tolerance)
    failure = check_graph(artifact, file.model) if file.model is not None else None
    cases: list[Case] = []
    proof = None
    # The checker has faults of its own: an answer that the user calls right says more of the file than it does.
    refused = failure if failure is not None and failure.cause == "invalid_graph" and source.references else None
    if failure is None or refused is not None:
        try:
            if refused is None and is_beyond_proof(file.facts):
                payloads = {shape.slug: given_payload(source, file.facts, shape, bench.blobs) for shape in shapes}
                return replace(result, payloads=payloads), ""
            cases = [case_for(source, file.facts, shape, folder / shape.slug) for shape in shapes]
            proof = prove(artifact, cases, tolerance, bench.proof_timeout_s)
            failure = _finding(source, proof) if refused is None or _gives_references(cases, proof) else refused
        except UnusableInputError as error:
            failure = refused or Failure(Stage.CHECK, "inputs_unusable", str(error))
        except EdgesweepError as error:
            failure = refused or Failure(Stage.CHECK, error.code, error.message)
    if failure is not None or proof is None:
        failure = failure or Failure(Stage.CHECK, "unknown", "the file was not proven")
        return replace(result, cause=failure.cause, message=failure.message, detail=failure.detail), ""
    payloads = _pack(source, shapes, cases, proof, file.facts, bench.blobs)
    unproven = proof.failure.cause if proof.failure else ""
    return replace(result, numerics=proof.numerics, proof=proof.sizes, payloads=payloads), unproven


def _gives_references(cases: Sequence[Case], proof: Proof) -> bool:
    """Whether the host's runtime gave the user's own references at every shape."""
    return proof.failure is None and all(case.references is not None for case in cases)


def _finding(source: ModelSource, proof: Proof) -> Failure | None:
    """What the host found out about the file.

    Only references that the user gave can show a file wrong. Without them the inputs are made up, and a host that
    cannot run the file says little about the boards. Trouble of the host is no reason to leave the proof out: it is
    done again.
    """
    failure = proof.failure
    if failure is None or not CATALOGUE[failure.cause].stable:
        return failure
    return None if source.references is None or failure.cause == "unprovable_here" else failure


def _pack(
    source: ModelSource, shapes: Sequence[Shape], cases: Sequence[Case], proof: Proof, facts: Facts, blobs: Blobs
) -> dict[str, Payload]:
    """Payloads with the folder's references, else the host's own outputs, else none and the reason."""
    dynamic = {
        value.name: {axis: name for axis, name in enumerate(value.shape or ()) if isinstance(name, str)}
        | source.dynamic.get(value.name, {})
        for value in facts.inputs
    }
    packed = {}
    for shape, case in zip(shapes, cases, strict=True):
        references = case.references or proof.outputs.get(case.label) or None
        note = ""
        if references is None:
            why = proof.failure.message if proof.failure else "the host's onnxruntime gave no outputs"
            note = f"nothing to compare with: {why}"
        elif case.references is None:
            note = "compared with the host's onnxruntime: a ready file has no torch to be held against"
        packed[shape.slug] = payload_of(
            replace(case, references=references), shape, facts, blobs, dynamic=dynamic, note=note
        )
    return packed


def _read(path: Path) -> _File:
    """The file's facts and its external data, by the package onnx or, without it, by the header alone."""
    try:
        header = read_header(path)
    except OSError as error:
        if host_trouble(error):
            raise
        raise UnusableFileError("invalid_model_file", f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnusableFileError("invalid_model_file", str(error)) from error
    data = {location: _beside(path, location) for location in header.external_locations}
    try:
        import onnx
    except ImportError:
        inputs, outputs = (
            tuple(Declared(value.name, value.dtype, value.dims) for value in values)
            for values in (header.inputs, header.outputs)
        )
        domains = tuple(sorted(domain or "ai.onnx" for domain in header.domains))
        facts = Facts(header.opset, header.ir_version, header.node_count, domains, inputs, outputs)
        return _File(path, facts, data, None)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has a home of its own in every version
        if host_trouble(error):
            raise
        raise UnusableFileError("invalid_model_file", f"{path.name} is not a whole ONNX model", str(error)) from error
    return _File(path, facts_of(model), data, model)


def _beside(path: Path, location: str) -> Path:
    """The file of external data that the model names; it lies in the model's folder or below it."""
    folder = path.resolve().parent
    found = (folder / location).resolve()
    if not location or not found.is_relative_to(folder):
        raise UnusableFileError("invalid_model_file", f"{path.name} names data outside its own folder: '{location}'")
    if not found.is_file():
        raise UnusableFileError("external_data_missing", f"{path.name} names {location}, which is not there")
    return found


def _key(source: ModelSource, variant: Variant, shapes: Sequence[Shape], file: _File) -> str:
    given = _given_files(source.references) + _given_files(source.inputs)
    return digest_json(
        {
            "file": digest_of(file.path),
            "data": sorted((location, digest_of(path)) for location, path in file.data.items()),
            "given": [(str(path), digest_of(path)) for path in given],
            "source": source_key(source),
            "variant": to_json(variant),
            "shapes": sorted(shape.slug for shape in shapes),
            "environment": dict(environment()),
        }
    )


def _given_files(path: str | None) -> list[Path]:
    """The file, or the arrays in the folder, that the user gives; one that is not there is told of when it is read."""
    if path is None:
        return []
    given = Path(path)
    return [given] if given.is_file() else sorted(given.rglob("*.npy"))


def _store(file: _File, folder: Path, blobs: Blobs) -> tuple[Manifest, Path]:
    """Put the artifact into the store; the manifest, and a copy in `folder` whose external data has its final names."""
    artifact = folder / "model.onnx"
    named = {location: blobs.put_file(path) for location, path in file.data.items()}
    for location, blob in named.items():
        shutil.copyfile(file.data[location], folder / external_name(blob))
    if any(location != external_name(blob) for location, blob in named.items()):
        _rename(file, named)
        assert file.model is not None  # noqa: S101 - `_rename` refuses without it
        artifact.write_bytes(file.model.SerializeToString(deterministic=True))
    else:
        artifact.write_bytes(file.path.read_bytes())
    external = {blob.sha256: blob for blob in named.values()}
    return Manifest(blobs.put_file(artifact), tuple(external.values())), artifact


def _rename(file: _File, named: Mapping[str, Blob]) -> None:
    """Point the model's tensors to their data's digests."""
    if file.model is None:
        raise UnusableFileError(
            "unprovable_here",
            f"{file.path.name} keeps weights in other files; renaming them to their digests needs the package onnx: "
            "pip install 'edgesweep[export]'",
        )
    for tensor in tensors_in(file.model):
        if is_external(tensor):
            location, offset, length = location_of(tensor)
            point_to(tensor, external_name(named[location]), offset, length)
