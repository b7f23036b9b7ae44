"""Exports small random models and holds what passed against an oracle of its own; 300 models take about half an hour.

usage: scripts/bench export_property [--count 300] [--seed S] [--slots N] [--keep DIR]

Every model is `generated/models.py:build` of one integer. Each is exported by both exporters, its batch dynamic and all
dimensions dynamic. What passed is run at three sizes in range that the proof did not use, every dynamic dimension moved,
with values drawn anew; torch, onnxruntime and the comparison have processes of their own, without code of Edgesweep. The
same is done with the files that only the proof has failed: there the oracle must find something, or it finds nothing
anywhere.

One line per variant on stderr, one JSON object on stdout. Exits with 1 when the oracle disagrees with what passed, when it
agrees with everything that did not, or when a cause is `unknown`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

HERE = Path(__file__).parent
FACTORY = f"{HERE / 'generated' / 'models.py'}:build"
#: Opsets that each exporter offers, taken in turn.
OPSETS = {"dynamo": (18, 20, 21, 23), "torchscript": (11, 13, 17, 18, 20)}
#: What only running the file could show.
FOUND_BY_PROOF = frozenset({"wrong_output", "nan_output", "dynamic_dim_refused"})
SIZES_PER_VARIANT = 3


@dataclass(frozen=True)
class Exported:
    """One variant of one generated model."""

    seed: int
    facts: ModelFacts
    result: ExportResult

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that the profile makes dynamic."""
        return self.facts.dimensions if self.result.variant.axes == "full" else ("batch",)


def jobs_of(seed: int, facts: ModelFacts) -> list[ExportJob]:
    """The variants of one model."""
    source = source_of(seed)
    profiles = ("full",) if facts.dimensions == ("batch",) else ("batch", "full")
    return [
        ExportJob(source, Variant(source.name, exporter, opsets[seed % len(opsets)], axes), (Shape(),))
        for exporter, opsets in OPSETS.items()
        for axes in profiles
    ]


def source_of(seed: int) -> ModelSource:
    """The generated model of that number."""
    return ModelSource(SourceKind.FACTORY, FACTORY, f"model{seed}", {"seed": seed})


async def export_all(service: ExportService, seeds: Iterable[int]) -> list[Exported]:
    """Every variant of every model."""
    facts = {source_of(seed).name: (seed, await service.describe(source_of(seed))) for seed in seeds}
    jobs = [job for seed, found in facts.values() for job in jobs_of(seed, found)]
    exported: list[Exported] = []
    async for result in service.export(jobs):
        exported.append(Exported(*facts[result.variant.model], result))
        sys.stderr.write(f"[{len(exported)}/{len(jobs)}] {result.variant.name}: {result.cause or 'pass'}\n")
    return exported


def fresh_sizes(one: Exported) -> list[dict[str, int]]:
    """Sizes in range at which neither the trace nor the proof has run the model, every dynamic dimension moved."""
    random = Random(one.seed)
    used = collections.defaultdict(set, {name: {size} for name, size in one.facts.example.items()})
    for proof in one.result.proof:
        for part in proof.label.split("+"):
            name = part.rstrip("0123456789")
            if name in one.dimensions and part != name:
                used[name].add(int(part[len(name) :]))
    free = {}
    for name in one.dimensions:
        low, high = one.facts.ranges[name]
        free[name] = [size for size in range(max(low, 2), high + 1) if size not in used[name]]
    return [{name: random.choice(sizes) for name, sizes in free.items()} for _ in range(SIZES_PER_VARIANT)]


def ask_oracle(exported: list[Exported], service: ExportService, folder: Path) -> dict[str, list[str]]:
    """Verdicts by variant: empty where the file agrees with torch. Sizes that torch refuses have none."""
    asked: dict[tuple[int, str], Path] = {}
    requests: list[dict[str, Any]] = []
    for one in exported:
        key = (one.seed, one.result.variant.axes)
        if key not in asked:
            asked[key] = folder / f"{one.seed}-{one.result.variant.axes}"
            requests.append(
                {"factory": FACTORY, "args": {"seed": one.seed}, "seed": one.seed, "sizes": fresh_sizes(one)}
                | {"folder": str(asked[key])}
            )
    _run("torch_answers.py", requests)
    judged = []
    for one in exported:
        answers = sorted(asked[one.seed, one.result.variant.axes].glob("*.npz"))
        model = unpack(one.result, service, folder / "artifacts" / one.result.variant.name.replace("/", "-"))
        judged.append(
            {"name": one.result.variant.name, "model": str(model), "answers": [str(path) for path in answers]}
        )
    return _judge(judged)


def unpack(result: ExportResult, service: ExportService, folder: Path) -> Path:
    """The artifact as files with their own names."""
    folder.mkdir(parents=True)
    for blob in result.manifest.external:
        shutil.copyfile(service.path_of(blob.sha256), folder / f"{blob.sha256}.bin")
    return Path(shutil.copyfile(service.path_of(result.manifest.model.sha256), folder / "model.onnx"))


def _judge(requests: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The verdicts; a file on which the runtime dies has that for one, and the others are judged without it."""
    verdicts: dict[str, list[str]] = {}
    while requests:
        lines = _run("runtime_verdicts.py", requests, check=False).splitlines()
        for line in lines:
            found = json.loads(line)
            verdicts[found["name"]] = found["verdicts"]
        if len(lines) < len(requests):
            dead = requests[len(lines)]
            verdicts[dead["name"]] = ["refused: the runtime died"] * len(dead["answers"])
        requests = requests[len(lines) + 1 :]
    return verdicts


def _run(script: str, requests: list[dict[str, Any]], *, check: bool = True) -> str:
    command = [sys.executable, str(HERE / "oracle" / script)]
    done = subprocess.run(command, input=json.dumps(requests), stdout=subprocess.PIPE, text=True, check=check)
    return done.stdout


def tell(
    exported: list[Exported], verdicts: dict[str, list[str]], recipes: dict[int, str], seconds: float
) -> dict[str, Any]:
    """The figures, JSON-ready."""
    passed = [one for one in exported if one.result.passed]
    failed_by_proof = [one for one in exported if one.result.cause in FOUND_BY_PROOF and one.result.manifest]

    def off(some: list[Exported]) -> list[dict[str, Any]]:
        return [
            {"variant": one.result.variant.name, "recipe": recipes[one.seed], "cause": one.result.cause, "found": found}
            for one in some
            if any(found := verdicts.get(one.result.variant.name, []))
        ]

    causes = collections.Counter(one.result.cause for one in exported if one.result.cause)
    return {
        "benchmark": "export_property",
        "modules": len({one.seed for one in exported}),
        "variants": len(exported),
        "seconds": round(seconds, 1),
        "passed": len(passed),
        "oracle_checked": sum(len(verdicts.get(one.result.variant.name, [])) for one in passed),
        "disagreements": len(off(passed)),
        "without_proof": len(failed_by_proof),
        "without_proof_disagreements": len(off(failed_by_proof)),
        "causes": dict(causes.most_common()),
        "unknown": causes["unknown"],
        "disagreeing": off(passed),
        "failed": [
            {"variant": one.result.variant.name, "recipe": recipes[one.seed], "cause": one.result.cause}
            | {"message": one.result.message}
            for one in exported
            if one.result.cause
        ],
    }


async def measure(root: Path, seeds: range, slots: int | None) -> dict[str, Any]:
    """Export, ask the oracle, and count."""
    begun = time.perf_counter()
    async with ExportService(root / "exports", slots=slots) as service:
        exported = await export_all(service, seeds)
        runnable = [one for one in exported if one.result.passed or one.result.cause in FOUND_BY_PROOF]
        verdicts = ask_oracle([one for one in runnable if one.result.manifest], service, root / "oracle")
    recipes = json.loads(_run("../generated/recipes.py", list(seeds)))
    return tell(
        exported, verdicts, {int(seed): recipe for seed, recipe in recipes.items()}, time.perf_counter() - begun
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench export_property", description=__doc__)
    parser.add_argument("--count", type=int, default=300, metavar="N", help="models (300)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="number of the first model (0)")
    parser.add_argument("--slots", type=int, metavar="N", help="workers at once (2)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and keep it")
    chosen = parser.parse_args()
    seeds = range(chosen.seed, chosen.seed + chosen.count)
    with tempfile.TemporaryDirectory(prefix="edgesweep-property-") as folder:
        found = asyncio.run(measure(chosen.keep or Path(folder), seeds, chosen.slots))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    good = not found["disagreements"] and not found["unknown"] and found["without_proof_disagreements"]
    return 0 if good and found["oracle_checked"] else 1


if __name__ == "__main__":
    sys.exit(main())
