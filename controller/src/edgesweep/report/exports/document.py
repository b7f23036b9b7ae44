"""The document of an export matrix: one JSON object with every planned variant (docs/export-matrix.md).

Times are seconds, moments Unix time, sizes bytes. Scripts rely on these names: a change that takes one away or gives
it another meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from edgesweep.errors import remedy_for
from edgesweep.export.result import ExportResult, Produced
from edgesweep.report.known import FIXED, KNOWN, known_state
from edgesweep.report.plain_data import Json, plain
from edgesweep.store.records import Outcome, RunRecord, RunState, RunView, outcome_of_export
from edgesweep.store.variants import WAITING

SCHEMA_VERSION = 1

#: How a variant can end; a matrix has no `fallback`.
OUTCOMES = (Outcome.PASS, Outcome.FAILED, Outcome.SKIPPED, Outcome.LOST)

_STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


def build_matrix_document(view: RunView, *, known: Mapping[str, str] | None = None, new: Collection[str] = ()) -> Json:
    """The document of a matrix.

    A variant of an unfinished matrix whose turn has not come has the outcome null. `incomplete` is true while there is
    such a variant, or one that was lost to trouble of the host, or while the matrix itself is not called complete.

    Args:
        view: The matrix as stored.
        known: The reason of each variant that the plan calls a known failure, by name.
        new: Names of the variants that failed and passed in the matrix before.
    """
    names = {result.variant.name for result in view.exports}
    complete = view.run.state is RunState.COMPLETE
    cells = [variant_cell(result, names, complete=complete) for result in view.exports]
    for cell in cells:
        cell["known"] = (known or {}).get(cell["name"])
        cell["new"] = cell["name"] in new
    settled = all(cell["outcome"] not in {None, Outcome.LOST.value} for cell in cells)
    return {
        "schema_version": SCHEMA_VERSION,
        "incomplete": not settled or not complete,
        "run": _run(view.run),
        "summary": _summary(cells),
        "cells": cells,
    }


def variant_cell(result: ExportResult, planned: Collection[str], *, complete: bool) -> Json:
    """One variant: what was asked, what the file holds, how it was proven, and how it ended.

    Args:
        result: The variant's result.
        planned: Names of all variants of the run, in which the honest one is looked for.
        complete: Whether the run is over: what still waits then is lost.
    """
    variant = result.variant
    waits = result.cause == WAITING and not complete
    ended = None if waits else outcome_of_export(result.stage, result.cause)
    return {
        "name": variant.name,
        "model": variant.model,
        "exporter": variant.exporter,
        "opset": variant.opset,
        "axes": variant.axes,
        "precision": variant.precision,
        "ir_version": variant.ir_version,
        "optimiser": variant.optimiser,
        "produced": None if result.produced is None else _produced(result.produced),
        "outcome": None if ended is None else ended.value,
        "stage": None if waits else result.stage.value,
        "cause": None if waits else result.cause,
        "message": None if waits else result.message,
        "remedy": None if waits else remedy_in_matrix(result.cause),
        "see": honest_variant(result, planned),
        "numerics": plain(result.numerics),
        "tolerance": plain(result.tolerance),
        "proof": [{**plain(size), "agreed": size.agreed} for size in result.proof],
        "seconds": result.seconds,
        "cached": result.cached,
    }


def honest_variant(result: ExportResult, planned: Collection[str]) -> str | None:
    """The planned variant that asks for the opset that was produced here, where another one was asked for."""
    if result.cause != "opset_not_honoured" or result.produced is None:
        return None
    honest = replace(result.variant, opset=result.produced.opset).name
    return honest if honest in planned else None


def remedy_in_matrix(cause: str) -> str:
    """The catalogue's remedy, where a matrix has nothing to resume: it is started again."""
    return remedy_for(cause).replace("resume the run", "start the matrix again")


def other_domains(produced: Json) -> list[str]:
    """The operator sets in the file besides ONNX's own."""
    return [domain for domain in produced["domains"] if domain not in _STANDARD_DOMAINS]


def _produced(produced: Produced) -> Json:
    data: Json = plain(produced)
    return data


def _run(run: RunRecord) -> Json:
    return {
        "id": run.id,
        "name": run.name,
        "kind": run.kind.value,
        "plan_digest": run.plan_digest,
        "state": run.state.value,
        "started": run.started,
        "finished": run.finished,
        "controller_version": run.controller_version,
        "host": plain(run.host),
    }


def _summary(cells: Sequence[Json]) -> Json:
    outcomes = Counter(cell["outcome"] for cell in cells)
    passed = [cell["produced"]["digest"] for cell in cells if cell["outcome"] == Outcome.PASS.value]
    states = [known_state(cell) for cell in cells]
    exported = [cell for cell in cells if cell["outcome"] in {Outcome.PASS.value, Outcome.FAILED.value}]
    return {
        "cells": len(cells),
        "unfinished": outcomes[None],
        "outcomes": {outcome.value: outcomes[outcome.value] for outcome in OUTCOMES},
        "artifacts": len(set(passed)),
        "cached": sum(cell["cached"] for cell in exported),
        "export_seconds": sum(cell["seconds"] for cell in exported if not cell["cached"]),
        "known": states.count(KNOWN),
        "fixed": states.count(FIXED),
    }
