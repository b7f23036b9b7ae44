"""One variant from the exporter to a result: made step by step, canonicalised, checked, proven, and packed for trials."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgesweep_proto.blob import Manifest
from edgesweep_proto.trial import Stage, Tolerance

from edgesweep.errors import CATALOGUE
from edgesweep.export.artifacts.blobs import Blobs, write_whole
from edgesweep.export.artifacts.canonical import Canonical, canonicalise, external_name
from edgesweep.export.artifacts.facts import Facts, facts_of
from edgesweep.export.artifacts.ir_version import check_ir, lower_ir
from edgesweep.export.axes import slug_of
from edgesweep.export.exporters import Tracing
from edgesweep.export.failures.classify import shorten
from edgesweep.export.failures.conversion import blame_step
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import failure_of_host
from edgesweep.export.precisions import precision_named
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.proof.cases import Cases
from edgesweep.export.proof.check import check_dimensions, check_graph, check_opset
from edgesweep.export.proof.half import rounded_copy
from edgesweep.export.proof.interface import check_interface
from edgesweep.export.proof.payloads import missing_input, payload_of
from edgesweep.export.proof.prove import Case, Proof, prove
from edgesweep.export.registry import FP32
from edgesweep.export.result import ExportResult, Payload, Produced
from edgesweep.export.workers.making import (
    Feeds,
    Kind,
    Made,
    Shelf,
    StepFailedError,
    export_file,
    missing_package,
    steps_of,
    take_step,
)
from edgesweep.plan.cell import Shape, Variant


@dataclass(frozen=True, slots=True)
class Task:
    """One variant to export.

    `dynamic` holds the dimension names per input that the profile asks for, `declared` all that the model declares;
    `dimensions` are the former's names in order and `example` the example's sizes. `identity` tells one loaded model from
    another, `feeds` makes calibration inputs for a precision that wants them. `tolerances` are the plan's, by precision.
    """

    variant: Variant
    shapes: tuple[Shape, ...]
    dynamic: Mapping[str, Mapping[int, str]]
    declared: Mapping[str, Mapping[int, str]]
    dimensions: tuple[str, ...]
    example: Mapping[str, int]
    identity: str
    feeds: Feeds
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    @property
    def base(self) -> tuple[str, ...]:
        """What variants share whose files are made from one and the same exported file."""
        asked = self.variant
        return (
            self.identity,
            asked.exporter,
            asked.axes,
            str(asked.opset),
            *sorted(shape.slug for shape in self.shapes),
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a worker works: its blobs, the folder of originals, its scratch folder, and the proof's deadline.

    `shelf` holds the files that the next variant may begin from. Without `proven` a file is neither checked nor proven.
    `announce` is called with `convert`, `check` and `prove` when that step begins.
    """

    blobs: Blobs
    originals: Path
    scratch: Path
    proof_timeout_s: float
    shelf: Shelf = field(default_factory=Shelf, compare=False)
    proven: bool = True
    announce: Callable[[str], None] = field(default=lambda _step: None, compare=False)


def failed(variant: Variant, failure: Failure, seconds: float = 0.0) -> ExportResult:
    """The result of a variant that ended without an artifact."""
    return ExportResult(
        variant,
        failure.stage,
        failure.cause,
        failure.message,
        failure.detail,
        tolerance=tolerance_for(variant.precision),
        seconds=seconds,
    )


def export_variant(task: Task, tracing: Tracing, cases: Cases, bench: Bench) -> ExportResult:
    """Export one variant and find out what came of it. Never raises for the exporter's or the model's sake.

    A step begins from a file that was proven: what it then does wrong is its own fault, and what was wrong before is
    never hidden by a wider tolerance.
    """
    variant, shelf = task.variant, bench.shelf
    missing = missing_package(variant)
    if missing:
        return failed(variant, failure_of_host(missing))
    shelf.open(task.base, bench.scratch)
    try:
        made = export_file(variant, tracing, shelf)
        for step in steps_of(variant):
            before = _known(task, made, cases, bench)
            if not before.passed:
                detail = (
                    f"{before.detail}\n{step.name} was not tried: the file that it would begin from is no good".strip()
                )
                return replace(before, variant=variant, detail=detail, seconds=shelf.seconds, payloads={})
            bench.announce("convert")
            made = take_step(made, step, task.feeds, shelf)
    except StepFailedError as error:
        return failed(variant, error.failure, shelf.seconds)
    result = _known(task, made, cases, bench) if variant.ir_version is None else _examine(task, made, cases, bench)
    return replace(result, variant=variant, seconds=shelf.seconds)


def store_artifact(canonical: Canonical, blobs: Blobs, originals: Path) -> Manifest:
    """Move the artifact into the store and keep the exporter's own form beside it, for the host alone."""
    external = tuple(blobs.adopt(canonical.path.parent / external_name(blob), blob) for blob in canonical.external)
    model = blobs.put_file(canonical.path, move=True)
    original = originals / f"{model.sha256}.onnx"
    if not original.exists():
        write_whole(original, canonical.original)
    return Manifest(model, external)


def _known(task: Task, made: Made, cases: Cases, bench: Bench) -> ExportResult:
    """What checks and proof say of `made` as it is, found out once."""
    if made.result is None or not bench.blobs.holds_all(made.result.blobs):
        uncapped = replace(task, variant=replace(task.variant, ir_version=None))
        result = _examine(uncapped, made, cases, bench)
        if result.cause and not CATALOGUE[result.cause].stable:
            return result
        made.result = result
    return made.result


def _examine(task: Task, made: Made, cases: Cases, bench: Bench) -> ExportResult:
    """Cap the file's IR version, canonicalise it, check it, prove it, and store it with what trials need."""
    with tempfile.TemporaryDirectory(dir=bench.scratch, prefix="canonical-") as name:
        capped = lower_ir(made.path, task.variant.ir_version)
        canonical = canonicalise(capped, Path(name))
        return _examine_canonical(task, made, canonical, cases, bench)


def _examine_canonical(task: Task, made: Made, canonical: Canonical, cases: Cases, bench: Bench) -> ExportResult:
    facts = facts_of(canonical.model)
    precision = made.precision
    tolerance = tolerance_for(precision, task.tolerances)
    result = ExportResult(task.variant, Stage.CHECK, tolerance=tolerance)
    bench.announce("check")
    failure = _check(task, canonical, facts, cases) if bench.proven else None
    if failure is None and bench.proven:
        bench.announce("prove")
        proof = _prove(canonical.path, precision, tolerance, cases, bench.proof_timeout_s)
        failure = _with_warnings(proof.failure, made.warnings)
        result = replace(result, numerics=proof.numerics, proof=proof.sizes)
    if failure is not None and made.steps:
        failure = blame_step(failure, made.steps[-1].name, precision=made.steps[-1].kind is Kind.PRECISION)
    manifest = store_artifact(canonical, bench.blobs, bench.originals)
    proven = {} if failure else _proven(facts, task.dynamic)
    result = replace(result, manifest=manifest, produced=produced_of(facts, manifest, canonical.graph_hash, proven))
    if failure is not None:
        return replace(result, stage=failure.stage, cause=failure.cause, message=failure.message, detail=failure.detail)
    payloads = pack(task.shapes, cases, facts, bench.blobs, task.declared)
    return replace(result, payloads=payloads, detail=_traced_elsewhere(cases))


def _check(task: Task, canonical: Canonical, facts: Facts, cases: Cases) -> Failure | None:
    """What is wrong with the file by itself."""
    return (
        check_opset(facts, task.variant.opset)
        or check_ir(canonical.model, task.variant.ir_version)
        or check_graph(canonical.path, canonical.model)
        or check_interface(facts, cases.cases[0].inputs)
        or check_dimensions(facts, {name: dict(axes) for name, axes in task.dynamic.items()})
        or _unproven(task, cases)
    )


def produced_of(facts: Facts, manifest: Manifest, graph_hash: str, proven: dict[str, tuple[str, ...]]) -> Produced:
    """The facts of an artifact as a result carries them."""
    return Produced(
        opset=facts.opset,
        ir_version=facts.ir_version,
        dynamic=proven,
        digest=manifest.digest,
        graph_hash=graph_hash,
        size_bytes=manifest.size_bytes,
        nodes=facts.nodes,
        domains=facts.domains,
        operators=facts.operators,
        types=facts.types,
        declared={value.name: value.sizes for value in facts.inputs},
    )


def pack(
    shapes: Sequence[Shape],
    cases: Cases,
    facts: Facts,
    blobs: Blobs,
    declared: Mapping[str, Mapping[int, str]],
) -> dict[str, Payload]:
    """A payload per shape by its slug. A shape at which torch itself fails has none: nothing could be run there."""
    payloads = {}
    for shape in shapes or (Shape(),):
        case = cases.case(slug_of(dict(shape.sizes)))
        if case is not None and missing_input(case, facts.inputs) is None:
            payloads[shape.slug] = payload_of(case, shape, facts, blobs, dynamic=declared)
    return payloads


def _prove(path: Path, precision: str, tolerance: Tolerance, cases: Cases, timeout_s: float) -> Proof:
    """The proof of an artifact of `precision`; where the host's runtime computes wider than that, of its copy as well."""
    held = _cases_for(precision, cases)
    proof = prove(path, held, tolerance, timeout_s)
    if proof.failure is not None or precision == FP32 or not precision_named(precision).halves:
        return proof
    rounded = prove(rounded_copy(path), held, tolerance, timeout_s, as_written=True)
    # A copy that cannot be run takes nothing away from what the artifact itself has shown.
    return proof if rounded.failure is not None and rounded.failure.cause == "unprovable_here" else rounded


def _cases_for(precision: str, cases: Cases) -> Sequence[Case]:
    """What an artifact of `precision` is held to.

    Values that the model does not meet say nothing of scales that were fitted to those it does; that no branch was traced
    away, the fp32 file has shown.
    """
    fitted = precision != FP32 and precision_named(precision).calibrates
    return [case for case in cases.cases if case.measured or not fitted]


def _unproven(task: Task, cases: Cases) -> Failure | None:
    """A dimension whose every other size torch itself refuses was not proven, so it is not dynamic."""
    name = cases.unproven(task.dimensions, task.example)
    if name is None:
        return None
    words = next((f"{label}: {why}" for label, why in cases.refused.items() if name in label), "")
    return Failure(
        Stage.CHECK,
        "dynamic_dim_refused",
        shorten(
            f"torch itself refuses every other size of dimension '{name}' that was tried; declare its range ({words})"
        ),
        "\n".join(f"{label}: {why}" for label, why in cases.refused.items()),
    )


def _proven(facts: Facts, dynamic: Mapping[str, Mapping[int, str]]) -> dict[str, tuple[str, ...]]:
    """The dimensions that are dynamic in the file and agreed at every size; inputs that the file dropped have none."""
    kept = {value.name for value in facts.inputs}
    return {name: tuple(axes[axis] for axis in sorted(axes)) for name, axes in dynamic.items() if name in kept}


def _with_warnings(failure: Failure | None, warnings: Sequence[str]) -> Failure | None:
    """A wrong output is what the tracer warned of, where it did."""
    if failure is None or not warnings:
        return failure
    told = "\n".join(f"the tracer warned: {warning}" for warning in warnings)
    return replace(failure, detail=f"{failure.detail}\n{told}".strip())


def _traced_elsewhere(cases: Cases) -> str:
    notes = [f"traced at {slug_of(cases.traced)}: torch makes a dimension of size 1 static"] if cases.traced else []
    notes += [f"torch itself refuses {label}: {why}" for label, why in cases.refused.items()]
    return "\n".join(notes)
