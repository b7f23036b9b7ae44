"""The compatibility matrix as data: one JSON object (docs/compat.md).

Scripts rely on these names: a change that takes one away or gives it another meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from edgesweep.report.compat.advice import Advice, Choice, Hole
from edgesweep.report.compat.advice_text import headline, hole_sentence
from edgesweep.report.compat.legend import counts_of
from edgesweep.report.compat.matrix import CompatMatrix, Place, Recipe, Row, Square
from edgesweep.report.plain_data import Json

SCHEMA_VERSION = 1
_RUN = ("id", "name", "plan_digest", "state", "started", "finished", "controller_version")


def compat_document(matrix: CompatMatrix, advice: Advice) -> Json:
    """The matrix and the recommendation; squares in order of rows, then columns."""
    squares = [
        _square(matrix.squares[row, place])
        for row in matrix.rows
        for place in matrix.places
        if (row, place) in matrix.squares
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "incomplete": bool(matrix.doc.get("incomplete")),
        "run": run_of(matrix.doc),
        "summary": {
            "models": len({square.row.model for square in matrix.squares.values()}),
            "rows": len({square.row for square in matrix.squares.values()}),
            "columns": len(matrix.places),
            "squares": len(matrix.squares),
            "running": sum(square.runs for square in matrix.squares.values()),
            "cells": len(matrix.doc["cells"]),
            "outcomes": counts_of(matrix),
        },
        "rows": [_row(row) for row in matrix.rows],
        "columns": [_place(place) for place in matrix.places],
        "squares": squares,
        "recommendation": _advice(advice),
    }


def run_of(doc: Json) -> Json:
    """What names a run."""
    return {key: doc["run"].get(key) for key in _RUN}


def _row(row: Row) -> Json:
    return {"name": row.name, "model": row.model, **_recipe(row.recipe)}


def _recipe(recipe: Recipe) -> Json:
    return {
        "variant": recipe.slug,
        "exporter": recipe.exporter,
        "opset": recipe.opset,
        "axes": recipe.axes,
        "precision": recipe.precision,
    }


def _place(place: Place) -> Json:
    return {
        "name": place.name,
        "device": place.device,
        "runtime": place.runtime,
        "providers": list(place.providers),
    }


def _square(square: Square) -> Json:
    worst, measured = square.worst, square.measured
    return {
        "row": square.row.name,
        "column": square.place.name,
        "outcome": worst.get("outcome"),
        "runs": square.runs,
        "partial": square.partial is not None,
        "disagrees": square.disagrees is not None,
        "cause": square.cause,
        "stage": worst.get("stage"),
        "message": worst.get("message"),
        "remedy": worst.get("remedy"),
        "prediction": (worst.get("prediction") or {}).get("state"),
        "known": "known" in (worst.get("tags") or []),
        "verdict": measured.get("verdict") if measured else None,
        "median_s": measured["latency_s"]["median"] if measured else None,
        "outcomes": square.counts,
        "cells": [cell["name"] for cell in square.cells],
    }


def _advice(advice: Advice) -> Json:
    return {
        "per": advice.per.value,
        "targets": list(advice.targets),
        "sentence": headline(advice),
        "models": [_choice(choice) for choice in advice.choices],
        "together": _choice(advice.together) if advice.together else None,
    }


def _choice(choice: Choice) -> Json:
    worst = choice.worst
    return {
        "models": list(choice.models),
        "variants": [{**_recipe(use.recipe), "targets": list(use.targets)} for use in choice.uses],
        "exact": choice.exact,
        "latency_ratio": choice.ratio,
        "latency_known": {"targets": choice.known, "of": choice.covered},
        "worst": {"model": worst.model, "target": worst.target, "latency_ratio": worst.ratio} if worst else None,
        "nowhere": [_hole(hole) for hole in choice.holes],
    }


def _hole(hole: Hole) -> Json:
    closest = hole.closest
    return {
        "model": hole.model,
        "target": hole.target,
        "why": hole.why.value,
        "sentence": hole_sentence(hole),
        "closest": {
            "cell": closest.worst["name"],
            "outcome": closest.worst.get("outcome"),
            "stage": closest.worst.get("stage"),
            "cause": closest.cause,
        },
    }
