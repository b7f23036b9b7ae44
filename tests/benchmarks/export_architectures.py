"""Exports every variant of the built-in plan `architectures` and counts how each ended; takes about 2 minutes on 2 idle cores.

usage: scripts/bench export_architectures [--keep DIR] [--slots N] [-k EXPR]

One line per variant on stderr, one JSON object on stdout: variants per outcome and cause, and which they are, with a
sentence for each. Exits with 1 when a variant ended without a cause that the catalogue knows, twice, or not at all, and
when nothing could be exported because the package transformers is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from edgesweep.errors import CATALOGUE
from edgesweep.export.artifacts.cache import environment
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.plan.builtin import builtin_text
from edgesweep.plan.load import parse_plan
from edgesweep.plan.selection import matcher
from edgesweep.plan.sources import sources_of
from edgesweep.plan.variants import PlannedVariant, planned_variants

PLAN = "architectures"
Ends = tuple[list[PlannedVariant], list[ExportResult]]


async def export_all(root: Path, slots: int | None, expression: str) -> Ends:
    """The plan's variants that `expression` selects, and the results of those that are not skipped."""
    loaded = parse_plan(builtin_text(PLAN), root, f"{PLAN}.yaml")
    sources = {source.name: source for source in sources_of(loaded.plan, root)}
    fits = matcher(expression)
    results: list[ExportResult] = []
    async with ExportService(root, slots=slots, timeout_s=loaded.plan.export.timeout_s) as service:
        facts = {name: await service.describe(source) for name, source in sources.items()}
        everything = planned_variants(loaded.plan, list(sources.values()), facts)
        planned = [one for one in everything if fits(one.variant.name)]
        jobs = [ExportJob(sources[one.variant.model], one.variant, one.shapes) for one in planned if one.skip is None]
        async for result in service.export(jobs):
            results.append(result)
            words = f"{result.cause}: {result.message}" if result.cause else f"pass, {result.produced.nodes} nodes"
            sys.stderr.write(f"[{len(results)}/{len(jobs)}] {result.variant.name}: {words}\n")
    return planned, results


def report(planned: list[PlannedVariant], results: list[ExportResult], seconds: float) -> dict[str, object]:
    """Counts and lists, JSON-ready."""
    ends = [(one.variant.name, "skipped", one.skip.cause, one.skip.message) for one in planned if one.skip is not None]
    ends += [
        (result.variant.name, "failed" if result.cause else "pass", result.cause, result.message) for result in results
    ]
    by_cause: dict[str, list[dict[str, str]]] = collections.defaultdict(list)
    for name, _, cause, message in sorted(ends):
        by_cause[cause or "pass"].append({"variant": name, "message": message})
    times_ended = collections.Counter(name for name, *_ in ends)
    wrongly_ended = sorted(one.variant.name for one in planned if times_ended[one.variant.name] != 1)
    versions = {name: version for name, version in environment().items() if name != "edgesweep_code"}
    with contextlib.suppress(metadata.PackageNotFoundError):
        versions["transformers"] = metadata.version("transformers")
    return {
        "plan": PLAN,
        "environment": versions,
        "variants": len(planned),
        "seconds": round(seconds, 1),
        "outcomes": dict(collections.Counter(outcome for _, outcome, _, _ in ends)),
        "causes": {cause: len(found) for cause, found in sorted(by_cause.items())},
        "unknown": len(by_cause.get("unknown", [])),
        "outside_the_catalogue": sorted(set(by_cause) - set(CATALOGUE) - {"pass"}),
        "not_ended_once": wrongly_ended,
        "by_cause": by_cause,
    }


def main() -> int:
    """Exports, prints, and judges."""
    parser = argparse.ArgumentParser(prog="scripts/bench export_architectures", description=__doc__)
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it; its cache answers a second call")
    parser.add_argument("--slots", type=int, help="export workers at once")
    parser.add_argument("-k", dest="expression", default="", help="only variants whose name matches, as in pytest")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = options.keep or Path(folder)
        planned, results = asyncio.run(export_all(root, options.slots, options.expression))
    found = report(planned, results, time.monotonic() - started)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    good = results and not (found["unknown"] or found["outside_the_catalogue"] or found["not_ended_once"])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
