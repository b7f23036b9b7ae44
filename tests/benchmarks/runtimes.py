"""Sweeps the zoo at six opsets over five runtimes of one real agent, and holds every refusal against plain onnxruntime.

usage: scripts/bench runtimes [--models A,B] [--opsets 13,17] [--runtimes A,B] [--keep DIR] [--wheels DIR] [--dry-run]

The runtimes are installed by `edgesweep runtime install` into an agent's own folder, then one plan asks each for `cpu`,
`openvino` and `cuda`, nothing skipped: 1,800 cells, most of them refusals. A second, timed one has models that OpenVINO takes
half of. The answers are read from the result documents alone and held against what onnxruntime itself says to the same file
in each runtime's own interpreter, and against a rule on the numbers in the file (see refusals.py).

One JSON object on stdout; every list in `wrong` must be empty, else it exits with 1. With --keep the folder stays, and a
second call finds its runtimes and exports there.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import half_models
import refusals
from acceptance import BIN, edgesweep, serving
from edgesweep.errors import CATALOGUE
from edgesweep.models.zoo import ZOO

OPSETS = (13, 17, 19, 20, 23, 25)
RUNTIMES = ("1.16.3", "1.19.2@py38", "1.23.2@py310", "openvino-1.24.1", "newest")
CHAINS = ("cpu", "openvino", "cuda")
OPENVINO = "OpenVINOExecutionProvider"
#: Where a cell that was never pushed to the device ended.
BEFORE_THE_DEVICE = ("plan", "export", "check")

PLAN = """
version: 1
name: runtimes
models: [{models}]
export: {{exporters: [dynamo, torchscript], opsets: [{opsets}], axes: [static]}}
runtimes: [{runtimes}]
providers: [{chains}]
measure: {{preset: compat}}
skip: nothing
fail_on: [none]
"""
#: Timed, so that an answer from the CPU would have a number to show.
HALF_PLAN = """
version: 1
name: half-{policy}
models: [{models}]
runtimes: [{runtimes}]
providers: [cpu, openvino, cuda]
measure: {{preset: smoke, min_duration_s: 0, max_duration_s: 0.2}}
fallback: {policy}
skip: nothing
fail_on: [none]
"""

Doc = dict[str, Any]
Wrong = dict[str, list[str]]


class Lab:
    """One home with one device, `desk`; every command is the real one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {**os.environ, "EDGESWEEP_HOME": str(root / "home"), "COLUMNS": "100"}

    def command(self, *words: str) -> str:
        """The stdout of a short command that must succeed."""
        return edgesweep(*words, env=self.env, cwd=self.root)

    @contextlib.contextmanager
    def device(self) -> Iterator[None]:
        """The agent, and its entry in the inventory."""
        if not (self.root / "home" / "config" / "pki" / "ca.pem").exists():
            self.command("pki", "init")
        with serving(BIN / "edgesweep-agent", "desk", self.command("pki", "issue", "desk"), self.root) as (_, address):
            self.command("device", "add", "desk", address, "--state-dir", str(self.root / "state-desk"))
            yield

    def install(self, names: tuple[str, ...], wheels: Path | None) -> list[Doc]:
        """One command for all of them; what it says of each."""
        source = ["--wheels", str(wheels.resolve())] if wheels else []
        return list(json.loads(self.command("runtime", "install", "desk", *names, *source, "-o", "json"))["runtimes"])

    def run(self, name: str, plan: str) -> tuple[Doc, list[str], float]:
        """The result document of a plan, the names of its cells by a dry run before, and the seconds that it took."""
        path = self.root / f"{name}.yaml"
        path.write_text(plan, encoding="utf-8")
        planned = json.loads(self.command("run", str(path), "--dry-run", "-o", "json"))["cells"]
        begun = time.perf_counter()
        with (self.root / f"{name}.log").open("w", encoding="utf-8") as log:
            done = subprocess.run(
                [str(BIN / "edgesweep"), "run", str(path), "-o", "json", "--progress", "plain"],
                env=self.env,
                cwd=self.root,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                check=False,
            )
        if not done.stdout.strip():
            sys.exit(
                f"the run of {path} ended with {done.returncode}: {(self.root / f'{name}.log').read_text()[-2000:]}"
            )
        return json.loads(done.stdout), planned, time.perf_counter() - begun


def reached(cell: Doc) -> bool:
    """Whether the cell's artifact came as far as the device."""
    return cell["stage"] not in BEFORE_THE_DEVICE


def ends_are_whole(doc: Doc, planned: list[str]) -> Wrong:
    """Every planned cell ended once, with words that the catalogue knows."""
    counted = collections.Counter(cell["name"] for cell in doc["cells"])
    bad = [cell for cell in doc["cells"] if cell["outcome"] != "pass"]
    return {
        "planned and ended differ": sorted(set(planned) ^ set(counted)),
        "more than one outcome": sorted(name for name, count in counted.items() if count > 1),
        "no outcome or lost": sorted(cell["name"] for cell in doc["cells"] if cell["outcome"] in {None, "lost"}),
        "outside the catalogue": sorted({str(cell["cause"]) for cell in bad} - set(CATALOGUE)),
        "unknown": sorted(cell["name"] for cell in bad if cell["cause"] == "unknown"),
        "no sentence": sorted(
            cell["name"] for cell in bad if not (cell["stage"] and cell["message"] and cell["remedy"])
        ),
    }


def absent_providers(doc: Doc, openvino: frozenset[str]) -> Wrong:
    """Asking for what a runtime does not have is refused, and there is no number from elsewhere."""
    wrong = []
    for cell in filter(reached, doc["cells"]):
        first = cell["providers"][0]
        if first == "cpu" or (first == "openvino" and cell["runtime"] in openvino):
            continue
        ended = (cell["outcome"], cell["stage"], cell["cause"])
        figures = [name for name in ("latency_s", "throughput_per_s", "placement") if cell[name] is not None]
        if ended != ("failed", "load", "provider_unavailable") or figures:
            wrong.append(f"{cell['name']}: {' '.join(map(str, ended))} {' '.join(figures)}".rstrip())
    return {"a provider that is not there": wrong}


def foreseen(doc: Doc) -> Wrong:
    """What the limits of a runtime said before the board was asked is what it ended with."""
    wrong = []
    for cell in filter(reached, doc["cells"]):
        cause = cell["cause"] if cell["cause"] in {"ir_unsupported", "opset_unsupported"} else ""
        said = cell["prediction"] or {"cause": "", "state": "proven"}
        if cell["cause"] != "provider_unavailable" and (said["cause"], said["state"]) != (cause, "proven"):
            wrong.append(f"{cell['name']}: {cell['cause']}, predicted {said['cause']}, {said['state']}")
    return {"predicted wrongly": wrong}


def shares_of(cell: Doc) -> dict[str, tuple[int, float | None]]:
    """Nodes and share of the time by provider."""
    shares = (cell["placement"] or {}).get("shares") or []
    return {share["provider"]: (share["nodes"], share["time_share"]) for share in shares}


def placed(doc: Doc, openvino: frozenset[str]) -> tuple[Wrong, Doc]:
    """What really ran on OpenVINO; a cell that passed there had a node there."""
    wrong, counted = [], collections.Counter[str]()
    for cell in filter(reached, doc["cells"]):
        if cell["providers"][0] != "openvino" or cell["runtime"] not in openvino:
            continue
        nodes = {provider: count for provider, (count, _) in shares_of(cell).items() if count}
        there = nodes.get(OPENVINO, 0)
        word = "all" if there and len(nodes) == 1 else "some" if there else "none"
        where = f", {word} of the nodes" if cell["placement"] else ""
        counted[f"{cell['cause'] or cell['outcome']}{where}"] += 1
        good = {"pass": bool(there), "fallback": not there and cell["cause"] == "no_nodes"}.get(cell["outcome"], True)
        if not good or (word == "some") != ("partial" in cell["tags"] and cell["outcome"] == "pass"):
            wrong.append(f"{cell['name']}: {cell['outcome']} {cell['cause']} {cell['tags']} {nodes}")
    return {"placement on OpenVINO": wrong}, dict(counted)


class Oracle:
    """Plain onnxruntime in the runtimes' own interpreters; each artifact is asked once for each runtime."""

    def __init__(self, pythons: Mapping[str, str], folder: Path, blobs: Path) -> None:
        self._pythons, self._folder, self._blobs = pythons, folder, blobs
        folder.mkdir(exist_ok=True)
        self.limits = {name: refusals.limits_of(python, folder) for name, python in pythons.items()}
        self._told: dict[tuple[str, str], str] = {}

    @property
    def asked(self) -> int:
        """Processes that were asked for an artifact."""
        return len(self._told)

    def judge(self, doc: Doc) -> list[str]:
        """Every difference from what the cells on `cpu`, and on OpenVINO where it is, should have come to."""
        files = {artifact["digest"]: self._put(artifact) for artifact in doc["artifacts"]}
        found = []
        for cell in filter(reached, doc["cells"]):
            if cell["cause"] == "provider_unavailable":
                continue
            path, runtime = files[cell["produced"]["digest"]], cell["runtime"]
            expected = refusals.must_end(*refusals.numbers_of(path), self.limits[runtime])
            found += [f"{cell['name']}: {it}" for it in refusals.differences(cell, self._ask(runtime, path), expected)]
        return found

    def _ask(self, runtime: str, path: Path) -> str:
        key = (runtime, path.name)
        if key not in self._told:
            self._told[key] = refusals.ask(self._pythons[runtime], [path])[str(path)]
        return self._told[key]

    def _put(self, artifact: Doc) -> Path:
        """The artifact's files under the names that the model file has for them."""
        model, *data = (file["sha256"] for file in artifact["files"])
        names = {model: f"{artifact['digest']}.onnx"} | {digest: f"{digest}.bin" for digest in data}
        for digest, name in names.items():
            # No symbolic link: a runtime takes no data from behind one that leads out of the model's folder.
            with contextlib.suppress(FileExistsError):
                (self._folder / name).hardlink_to(self._blobs / digest[:2] / digest)
        return self._folder / names[model]


def half_placed(lab: Lab, policy: str, openvino: str, others: list[str]) -> tuple[Wrong, Doc]:
    """Models that OpenVINO takes half of: partial with shares of nodes and time, or refused where the plan says so."""
    folder = lab.root / "half"
    names = half_models.write(folder)
    entries = ", ".join(f"{{onnx: half/{name}.onnx}}" for name in names)
    plan = HALF_PLAN.format(models=entries, policy=policy, runtimes=", ".join([openvino, *others]))
    doc, planned, _ = lab.run(f"half-{policy}", plan)
    wrong = ends_are_whole(doc, planned) | absent_providers(doc, frozenset({openvino}))
    told, wrong["half placed"] = {}, []
    for cell in doc["cells"]:
        if (cell["runtime"], cell["providers"]) != (openvino, ["openvino"]):
            continue
        shares = told[cell["model"]] = shares_of(cell)
        nodes = {provider: count for provider, (count, _) in shares.items()}
        times = [share for _, share in shares.values()]
        listed = (cell["placement"] or {}).get("shares") or []
        parts = [share["subgraphs"] for share in listed if share["provider"] == OPENVINO]
        good = (
            (nodes, *parts) == names[cell["model"]]
            and None not in times
            and min(times) > 0
            and abs(sum(times) - 1) < 1e-6
        )
        if policy == "fail":
            good &= (cell["outcome"], cell["cause"]) == ("fallback", "partial_placement")
        else:
            said = any("nodes ran outside" in reason for reason in cell["reasons"])
            good &= cell["outcome"] == "pass" and "partial" in cell["tags"] and said and cell["latency_s"] is not None
        if not good:
            wrong["half placed"].append(f"{cell['name']}: {cell['outcome']} {cell['cause']} {cell['tags']} {shares}")
    return wrong, told


def by_runtime(doc: Doc) -> dict[str, dict[str, int]]:
    """How many cells of each runtime and chain ended how; what ended before the device is counted once, by itself."""
    counted: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for cell in doc["cells"]:
        place = f"{cell['runtime']} {'+'.join(cell['providers'])}" if reached(cell) else "before the device"
        also = f" and {' '.join(cell['also'])}" if cell["also"] else ""
        counted[place][f"{cell['cause'] or cell['outcome']}{also}"] += 1
    return {place: dict(sorted(counts.items())) for place, counts in sorted(counted.items())}


def sweep(lab: Lab, arguments: argparse.Namespace) -> tuple[Doc, Wrong]:
    """Everything; the figures and what is wrong."""
    begun = time.perf_counter()
    installed = lab.install(tuple(arguments.runtimes.split(",")), arguments.wheels)
    seconds = {"install": time.perf_counter() - begun}
    wrong: Wrong = {"not installed": [str(row["message"]) for row in installed if row["state"] == "failed"]}
    ids = [row["probe"]["id"] for row in installed if row["probe"]]
    pythons = {row["probe"]["id"]: row["path"] + "/bin/python" for row in installed if row["probe"]}
    openvino = frozenset(row["probe"]["id"] for row in installed if row["probe"] and row["flavour"] == "openvino")
    models = ", ".join(f"{{zoo: {name}}}" for name in arguments.models.split(","))
    plan = PLAN.format(models=models, opsets=arguments.opsets, runtimes=", ".join(ids), chains=", ".join(CHAINS))
    if arguments.dry_run:
        (lab.root / "zoo.yaml").write_text(plan, encoding="utf-8")
        planned = json.loads(lab.command("run", "zoo.yaml", "--dry-run", "-o", "json"))["cells"]
        return {"benchmark": "runtimes", "runtimes": ids, "cells": len(planned)}, wrong

    doc, planned, seconds["sweep"] = lab.run("zoo", plan)
    on_openvino, placement = placed(doc, openvino)
    wrong |= ends_are_whole(doc, planned) | absent_providers(doc, openvino) | foreseen(doc) | on_openvino
    begun = time.perf_counter()
    oracle = Oracle(pythons, lab.root / "oracle", lab.root / "home" / "cache" / "exports" / "blobs")
    wrong["other than plain onnxruntime"] = oracle.judge(doc)
    limits = {runtime: (found.opset, found.ir_version) for runtime, found in oracle.limits.items()}
    probed = {
        row["probe"]["id"]: (row["probe"]["max_opset"], row["probe"]["max_ir_version"])
        for row in installed
        if row["probe"]
    }
    wrong["other limits than the probe's"] = [
        f"{it}: {limits[it]}, probed {probed[it]}" for it in ids if limits[it] != probed[it]
    ]
    seconds["oracle"] = time.perf_counter() - begun
    halves = {}
    begun = time.perf_counter()
    for each in sorted(openvino):
        for policy in ("warn", "fail"):
            more, halves[policy] = half_placed(lab, policy, each, [name for name in ids if name not in openvino][:1])
            wrong |= {f"{policy}: {name}": found for name, found in more.items()}
    seconds["halves"] = time.perf_counter() - begun
    outcomes = collections.Counter(cell["outcome"] for cell in doc["cells"])
    figures = {
        "benchmark": "runtimes",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "runtimes": {name: {"python": pythons[name], "opset_ir": limits[name]} for name in ids},
        "cells": len(doc["cells"]),
        "artifacts": len(doc["artifacts"]),
        "asked_of_plain_onnxruntime": oracle.asked,
        "outcomes": dict(outcomes),
        "causes": by_runtime(doc),
        "openvino": placement,
        "half_placed": halves,
        "openvino_failures": sorted(
            {f"{cell['model']} {cell['cause']}: {cell['message']}" for cell in doc["cells"] if is_own_failure(cell)}
        ),
    }
    return figures, wrong


def is_own_failure(cell: Doc) -> bool:
    """Whether a cell failed on the device for another reason than a number in the file or a provider that is not there."""
    foreseen = {"provider_unavailable", "ir_unsupported", "opset_unsupported"}
    return cell["outcome"] == "failed" and reached(cell) and cell["cause"] not in foreseen


def main() -> int:
    """Install, sweep, ask, compare, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench runtimes", description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(ZOO), metavar="A,B", help="models of the zoo (all)")
    parser.add_argument("--opsets", default=", ".join(map(str, OPSETS)), metavar="N,N", help="opsets to ask for")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES), metavar="A,B", help="runtimes to install")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="install from the wheels of this folder alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and keep it")
    parser.add_argument("--dry-run", action="store_true", help="install and count the cells, no more")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgesweep-runtimes-") as folder:
        root = (arguments.keep or Path(folder)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        lab = Lab(root)
        with lab.device():
            figures, wrong = sweep(lab, arguments)
    wrong = {name: found for name, found in wrong.items() if found}
    sys.stdout.write(json.dumps({**figures, "wrong": wrong}, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
