"""The story of one variant, or of one cell of a sweep: step by step what was asked, produced, proven, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE
from edgesweep.export.failures.diagnosis import actionable
from edgesweep.export.result import ExportResult, Produced, SizeProof
from edgesweep.plan.cell import Variant
from edgesweep.report import units
from edgesweep.report.exports.device_story import cell_steps
from edgesweep.report.exports.document import SCHEMA_VERSION, honest_variant, remedy_in_matrix, variant_cell
from edgesweep.report.exports.step import Mark, Step
from edgesweep.report.plain_data import plain
from edgesweep.store.records import CellRecord, Outcome, RunKind, RunState, RunView, outcome_of_export
from edgesweep.store.variants import WAITING, Named

_CONVERSIONS = frozenset({"optimiser_failed", "precision_unsupported", "ir_not_lowerable"})
_GRAPH = frozenset({"invalid_graph", "opset_not_registered"})
_SIZES = frozenset({"dynamic_dim_static", "dynamic_dim_refused"})
_DIGEST_CHARS = 12
_MOST_DOMAINS = 6


class _Part(StrEnum):
    """Where a variant can fail, in the order in which it is tried."""

    EXPORT = "export"
    CONVERT = "convert"
    OPSET = "opset"
    GRAPH = "graph"
    DIMENSIONS = "dimensions"
    PROOF = "proof"
    NOWHERE = "nowhere"


_ORDER = list(_Part)


@dataclass(frozen=True, slots=True)
class Story:
    """What is to be told of `named`. `variant` is the document's entry; `diagnosis` what can be acted on in `detail`.

    `outcome` is empty while the variant waits for its turn.
    """

    run_id: str
    run_kind: RunKind
    named: Named
    steps: tuple[Step, ...]
    outcome: str
    stage: str
    cause: str
    message: str
    meaning: str
    remedy: str
    see: str
    next: str
    diagnosis: tuple[str, ...]
    detail: str
    variant: dict[str, Any] | None


def build_story(view: RunView, named: Named) -> Story:
    """The story of a name that `view` holds.

    Raises:
        LookupError: The run holds neither a variant nor a cell of that name.
    """
    record = next((record for record in view.cells if record.cell.name == named.cell), None) if named.cell else None
    result = next((result for result in view.exports if result.variant.name == named.variant), None)
    if record is None and result is None:
        record = next((record for record in view.cells if record.cell.variant.name == named.variant), None)
    if record is None and result is None:
        raise LookupError(f"the run {view.run.id} holds no {named.name}")
    asked = result.variant if result is not None else record.cell.variant if record is not None else None
    steps = [_asked(asked)] if asked is not None else []
    steps += _exported(result) if result is not None else []
    steps += cell_steps(record, view.devices) if record is not None and named.cell else []
    return _ended(view, named, tuple(steps), result, record if named.cell or result is None else None)


def story_document(story: Story) -> dict[str, Any]:
    """The story as JSON data (docs/export-matrix.md)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {"id": story.run_id, "kind": story.run_kind.value},
        "name": story.named.name,
        "outcome": story.outcome or None,
        "stage": story.stage or None,
        "cause": story.cause,
        "message": story.message,
        "meaning": story.meaning,
        "remedy": story.remedy,
        "see": story.see or None,
        "next": story.next,
        "steps": [plain(step) for step in story.steps],
        "diagnosis": list(story.diagnosis),
        "detail": story.detail,
        "variant": story.variant,
    }


def _ended(
    view: RunView, named: Named, steps: tuple[Step, ...], result: ExportResult | None, record: CellRecord | None
) -> Story:
    end = record.end if record is not None else None
    complete = view.run.state is RunState.COMPLETE
    names = {each.variant.name for each in view.exports}
    see = ""
    outcome = stage = cause = message = detail = ""
    if record is not None:
        if end is not None:
            outcome, stage, cause, message = end.outcome.value, str(end.stage), end.cause, end.message
            detail, see = end.detail, end.see or ""
    elif result is not None and (complete or result.cause != WAITING):
        outcome = outcome_of_export(result.stage, result.cause).value
        stage, cause, message = result.stage.value, result.cause, result.message
        see = honest_variant(result, names) or ""
    if not detail and result is not None and (record is None or cause == result.cause):
        detail = result.detail
    entry = CATALOGUE.get(cause)
    remedy = (end.remedy if end is not None else "") or remedy_in_matrix(cause)
    return Story(
        run_id=view.run.id,
        run_kind=view.run.kind,
        named=named,
        steps=steps,
        outcome=outcome,
        stage=stage,
        cause=cause,
        message=message,
        meaning=entry.text if entry is not None else "",
        remedy=remedy if cause else "",
        see=see,
        next=_next(view, named, outcome, cause, see, result),
        diagnosis=actionable(detail) if cause else (),
        detail=detail,
        variant=None if result is None else variant_cell(result, names, complete=complete),
    )


def _next(view: RunView, named: Named, outcome: str, cause: str, see: str, result: ExportResult | None) -> str:
    """The command to try next."""
    if see:
        return f"edgesweep export explain {see}"
    if not outcome or outcome == Outcome.LOST.value:
        again = "edgesweep export matrix PLAN" if view.run.kind is RunKind.MATRIX else "edgesweep run --resume "
        return again if view.run.kind is RunKind.MATRIX else f"{again}{view.run.id}"
    if outcome == Outcome.FAILED.value:
        other = _other_exporter(view, result)
        if other is not None:
            return f"edgesweep export explain {other}"
        if result is not None and result.detail and cause == result.cause:
            return f"edgesweep export explain {named.variant} --full"
    return f"edgesweep report {view.run.id} -o html"


def _other_exporter(view: RunView, result: ExportResult | None) -> str | None:
    """The same variant by another exporter of this run, where that one passed."""
    if result is None:
        return None
    mine = result.variant
    alike = (other for other in view.exports if other.passed and other.variant.exporter != mine.exporter)
    return next((other.variant.name for other in alike if replace(other.variant, exporter=mine.exporter) == mine), None)


def _asked(variant: Variant) -> Step:
    if variant.exporter == "none":
        return Step("asked for", Mark.OK, (f"the file of {variant.model} as it is",))
    axes = {"static": "every dimension static", "full": "every declared dimension dynamic"}.get(
        variant.axes, f"dynamic in {variant.axes.replace('+', ' and ')}"
    )
    extras = [variant.precision] if variant.precision != "fp32" else []
    extras += [f"IR version {variant.ir_version} at most"] if variant.ir_version is not None else []
    extras += [f"rewritten by {variant.optimiser}"] if variant.optimiser else []
    return Step(
        "asked for",
        Mark.OK,
        (", ".join([f"{variant.model} by {variant.exporter} at opset {variant.opset}", axes, *extras]),),
    )


def _exported(result: ExportResult) -> list[Step]:
    if result.stage is Stage.PLAN:
        if result.cause == WAITING:
            return [Step("export", Mark.OPEN, ("its turn has not come",))]
        return [Step("export", Mark.OPEN, (f"not exported: {result.message or result.cause}",))]
    failed = _where(result)
    steps = [_export(result, failed)]
    if result.variant.precision != "fp32" or result.variant.ir_version is not None or result.variant.optimiser:
        steps.append(_converted(result, failed))
    if result.produced is not None:
        steps.append(_read_back(result, result.produced, failed))
    if failed in {_Part.EXPORT, _Part.CONVERT}:
        return steps
    steps.append(_checked(result, failed))
    if result.variant.axes != "static" and result.produced is not None:
        steps.append(_dimensions(result, result.produced, failed))
    steps.append(_proof(result, failed))
    return steps


def _where(result: ExportResult) -> _Part:
    """The part in which the variant failed."""
    if result.passed:
        return _Part.NOWHERE
    if result.cause in _CONVERSIONS:
        return _Part.CONVERT
    if result.stage is Stage.EXPORT:
        return _Part.EXPORT
    if result.cause == "opset_not_honoured":
        return _Part.OPSET
    if result.cause in _GRAPH:
        return _Part.GRAPH
    return _Part.DIMENSIONS if result.cause in _SIZES and not result.proof else _Part.PROOF


def _mark(part: _Part, failed: _Part) -> Mark:
    if part is failed:
        return Mark.BAD
    return Mark.OK if _ORDER.index(part) < _ORDER.index(failed) else Mark.OPEN


def _export(result: ExportResult, failed: _Part) -> Step:
    took = units.duration(result.seconds)
    if failed is _Part.EXPORT:
        when = f"it ended after {took}" + (", on an earlier day: the answer is from the cache" if result.cached else "")
        more = [line for line in actionable(result.detail) if line.split(": ", 1)[-1] not in result.message]
        return Step("export", Mark.BAD, (result.message, when, *more))
    when = f"took {took}" + (" when it was exported; found in the cache now" if result.cached else "")
    notes = result.detail.splitlines() if result.passed else []
    return Step("export", Mark.OK, (when, *notes))


def _converted(result: ExportResult, failed: _Part) -> Step:
    variant = result.variant
    words = [f"to {variant.precision}"] if variant.precision != "fp32" else []
    words += [f"by {variant.optimiser}"] if variant.optimiser else []
    words += [f"to IR version {variant.ir_version} at most"] if variant.ir_version is not None else []
    told = ", ".join(words)
    mark = _mark(_Part.CONVERT, failed)
    lines = {Mark.BAD: (result.message, *actionable(result.detail)), Mark.OPEN: (f"{told}: not tried",)}
    return Step("conversion", mark, lines.get(mark, (told,)))


def _read_back(result: ExportResult, produced: Produced, failed: _Part) -> Step:
    asked = result.variant.opset
    opset = f"opset {produced.opset}" + (" as asked" if produced.opset == asked else f", not the {asked} asked for")
    nodes = f"{units.plural(produced.nodes, 'node')} of {units.plural(len(produced.operators), 'kind')}"
    size = f"{units.size(produced.size_bytes)}, digest {produced.digest[:_DIGEST_CHARS]}"
    lines = [f"{opset}; IR version {produced.ir_version}", f"{nodes}, {size}"]
    others = [domain for domain in produced.domains if domain not in {"", "ai.onnx"}]
    if others:
        lines.append(f"operators of other domains: {', '.join(others[:_MOST_DOMAINS])}")
    return Step("file, read back", Mark.BAD if failed is _Part.OPSET else Mark.OK, tuple(lines))


def _checked(result: ExportResult, failed: _Part) -> Step:
    mark = _mark(_Part.GRAPH, failed)
    if mark is Mark.BAD:
        return Step("check", mark, (result.message,))
    if mark is Mark.OPEN:
        return Step("check", mark, ("not tried: the file is not the one that was asked for",))
    opset = result.produced.opset if result.produced is not None else result.variant.opset
    return Step(
        "check",
        mark,
        (f"the ONNX checker and strict shape inference accept it; every operator exists at opset {opset}",),
    )


def _dimensions(result: ExportResult, produced: Produced, failed: _Part) -> Step:
    """Every dimension that the file leaves open or that was proven, and what is known of it."""
    proven = {(name, dimension) for name, names in produced.dynamic.items() for dimension in names}
    lines = [
        f"{dimension} of {name}: {'declared in the file' if named else 'not named in the file'}, "
        f"{'proven' if (name, dimension) in proven else 'not proven'}"
        for name, dimension, named in _open_dimensions(produced)
    ]
    mark = _mark(_Part.DIMENSIONS, failed)
    if mark is Mark.BAD:
        return Step("dynamic dimensions", mark, (result.message, *lines))
    if failed is _Part.PROOF and result.cause == "dynamic_dim_refused":
        mark = Mark.BAD
    elif failed is _Part.PROOF:
        mark = Mark.OPEN
    return Step("dynamic dimensions", mark, tuple(lines) or ("the file has no dynamic dimension",))


def _open_dimensions(produced: Produced) -> Iterator[tuple[str, str, bool]]:
    """Input, dimension and whether the file names it, for every size that is no number in the file or was proven."""
    for name in dict.fromkeys([*produced.declared, *produced.dynamic]):
        claimed = [size for size in produced.declared.get(name, ()) if not size.isdigit()]
        proven = list(produced.dynamic.get(name, ()))
        for dimension in dict.fromkeys([*claimed, *proven]):
            if dimension in claimed or not claimed:
                yield name, dimension, dimension in claimed


def _proof(result: ExportResult, failed: _Part) -> Step:
    mark = _mark(_Part.PROOF, failed)
    if not result.proof:
        words = result.message if mark is Mark.BAD else "not tried: the file was refused before"
        return Step("proof against torch", Mark.BAD if mark is Mark.BAD else Mark.OPEN, (words,))
    lines = [_size(size) for size in result.proof]
    offender = next((f"{size.offender} at {size.label}" for size in result.proof if size.wrong and size.offender), "")
    if offender:
        lines.append(f"first output that is off: {offender}")
    return Step("proof against torch", mark, (_tolerance(result), *lines))


def _size(size: SizeProof) -> str:
    errors = f"largest error {size.max_absolute_error:.2g} absolute, {size.max_relative_error:.2g} relative"
    if size.refused:
        return f"{size.label}: refused: {size.refused}"
    return f"{size.label}: wrong: {size.wrong}; {errors}" if size.wrong else f"{size.label}: agrees, {errors}"


def _tolerance(result: ExportResult) -> str:
    tolerance = result.tolerance
    if tolerance.sqnr_db is not None:
        return f"allowed: a signal to noise ratio of at least {tolerance.sqnr_db:g} dB against torch in fp32"
    return f"allowed: {tolerance.absolute:g} + {tolerance.relative:g} times the value"
