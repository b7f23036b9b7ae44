"""Exports the five built-in models at opsets 7 to 26, by both exporters, in three axes profiles: 600 variants, half an hour.

usage: scripts/bench export_matrix [--models A,B] [--opsets 17,18-20] [--axes static,full] [--slots N] [--keep DIR]

One line per variant on stderr, one JSON object on stdout: how many ended how, a table per model, one sentence per cause
and model. Exits with 1 when a variant ended without exactly one outcome, or with a cause that the catalogue does not know.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgesweep.errors import CATALOGUE
from edgesweep.export.registry import EXPORTERS
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

MODELS = ("mobile-cnn", "text-encoder", "keyword-spotter", "detector", "fourier-mixer")
OPSETS = tuple(range(7, 27))
AXES = ("static", "batch", "full")


def jobs_of(models: tuple[str, ...], opsets: tuple[int, ...], axes: tuple[str, ...]) -> list[ExportJob]:
    """Every variant of the matrix, to be measured at its example."""
    return [
        ExportJob(ModelSource(SourceKind.ZOO, model, model), Variant(model, exporter, opset, profile), (Shape(),))
        for model, exporter, profile, opset in itertools.product(models, sorted(EXPORTERS), axes, opsets)
    ]


async def export_all(root: Path, jobs: list[ExportJob], slots: int | None) -> list[ExportResult]:
    """The results in order of completion, with a line for each."""
    results: list[ExportResult] = []
    async with ExportService(root, slots=slots) as service:
        async for result in service.export(jobs):
            results.append(result)
            sys.stderr.write(f"[{len(results)}/{len(jobs)}] {result.variant.name}: {end_of(result)}\n")
    return results


def end_of(result: ExportResult) -> str:
    """`pass` or the cause, with the produced opset where that is another one."""
    produced = result.produced
    other = produced is not None and produced.opset != result.variant.opset
    return f"{result.cause or 'pass'}{f' ({produced.opset})' if produced is not None and other else ''}"


def table_of(results: list[ExportResult]) -> dict[str, dict[str, str]]:
    """Rows by exporter and profile, columns by opset; a cell says how that variant ended."""
    rows: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for result in sorted(results, key=lambda result: (result.variant.exporter, result.variant.opset)):
        asked = result.variant
        rows[f"{asked.exporter} {asked.axes}"][str(asked.opset)] = end_of(result)
    return rows


def sentences_of(results: list[ExportResult]) -> dict[str, dict[str, str]]:
    """Per cause one variant, what is said of it and the remedy; per model and exporter where the words differ."""
    told: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for result in sorted(results, key=lambda result: result.variant.name):
        if result.cause and result.message not in told[result.cause].values():
            told[result.cause][result.variant.name] = result.message
    return {
        cause: {"remedy": CATALOGUE[cause].remedy if cause in CATALOGUE else "", **told[cause]}
        for cause in sorted(told)
    }


def report(jobs: list[ExportJob], results: list[ExportResult], seconds: float) -> dict[str, Any]:
    """The figures and the lists that must be empty, JSON-ready."""
    ends = collections.Counter(result.variant.name for result in results)
    by_model: dict[str, list[ExportResult]] = collections.defaultdict(list)
    for result in results:
        by_model[result.variant.model].append(result)
    return {
        "benchmark": "export_matrix",
        "variants": len(jobs),
        "seconds": round(seconds, 1),
        "passed": sum(result.passed for result in results),
        "causes": dict(collections.Counter(result.cause for result in results if result.cause).most_common()),
        "artifacts": len({result.produced.digest for result in results if result.produced is not None}),
        "without_outcome": sorted({job.variant.name for job in jobs} - set(ends)),
        "more_than_one_outcome": sorted(name for name, count in ends.items() if count > 1),
        "unknown": sorted(result.variant.name for result in results if result.cause == "unknown"),
        "outside_catalogue": sorted({result.cause for result in results if result.cause} - set(CATALOGUE)),
        "without_a_sentence": sorted(result.variant.name for result in results if result.cause and not result.message),
        "models": {model: table_of(found) for model, found in by_model.items()},
        "sentences": sentences_of(results),
    }


def is_whole(found: dict[str, Any]) -> bool:
    """Whether every variant ended once, with a cause that the catalogue knows."""
    lists = ("without_outcome", "more_than_one_outcome", "unknown", "outside_catalogue", "without_a_sentence")
    return not any(found[name] for name in lists)


def opsets_of(text: str) -> tuple[int, ...]:
    """`7,9,17-19` as numbers."""
    parts = [part.partition("-") for part in text.split(",")]
    return tuple(opset for low, _, high in parts for opset in range(int(low), int(high or low) + 1))


def main() -> int:
    """Export and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench export_matrix", description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), metavar="A,B", help="built-in models (the five)")
    parser.add_argument("--opsets", type=opsets_of, default=OPSETS, metavar="N,N-N", help="opsets (7-26)")
    parser.add_argument("--axes", default=",".join(AXES), metavar="A,B", help="axes profiles (static,batch,full)")
    parser.add_argument("--slots", type=int, metavar="N", help="workers at once (2)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and keep it")
    chosen = parser.parse_args()
    jobs = jobs_of(tuple(chosen.models.split(",")), chosen.opsets, tuple(chosen.axes.split(",")))
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgesweep-matrix-") as folder:
        results = asyncio.run(export_all(chosen.keep or Path(folder), jobs, chosen.slots))
    found = report(jobs, results, time.perf_counter() - begun)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if is_whole(found) else 1


if __name__ == "__main__":
    sys.exit(main())
