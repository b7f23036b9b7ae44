"""Runs the operator tests of the package onnx through agent and worker, and holds each end against plain onnxruntime's.

usage: scripts/bench backend-tests [--only REGEX] [--limit N] [--rate 10] [--keep DIR]; about 5 minutes on two quiet cores

All tests of `onnx.backend.test` whose models and data come with the package, or are made by it: node, simple, the two of
PyTorch, and small copies of nine networks; models that would have to be downloaded are left out. Each becomes an `onnx:`
model with its own inputs and references in one plan with the preset `compat`, which one agent on loopback runs with this
environment's runtime. Then onnxruntime itself is asked about the same files, with the same tolerance. One JSON object on
stdout; exits with 1 when a test ends otherwise than plain onnxruntime says, or when the sweep as a whole is slower than
`--rate` cells a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from operators import plain
from operators.cases import Case, write_cases
from operators.lab import Lab


def compared(
    cases: Sequence[Case], cells: dict[str, dict[str, Any]], said: dict[str, plain.Said]
) -> list[dict[str, str]]:
    """Every case that ends otherwise here than plain onnxruntime says, with both sides' words."""
    differences = []
    for case in cases:
        cell, told = cells.get(case.name), said[case.name]
        if cell is None or (cell["outcome"] == "pass") != told.ok:
            ours = "there is no cell" if cell is None else f"{cell['outcome']} {cell['cause']}: {cell['message']}"
            differences.append({"case": case.name, "plain": told.words or "pass", "ours": ours})
    return differences


def ended_where(cells: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many cells ended in which way: `pass`, or `failed at load: unsupported_op`."""
    words = (
        cell["outcome"] if cell["outcome"] == "pass" else f"{cell['outcome']} at {cell['stage']}: {cell['cause']}"
        for cell in cells
    )
    return dict(Counter(words).most_common())


def trial_seconds(cells: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """When the first trial began and the last one ended, in Unix time."""
    trials = [trial for cell in cells for trial in cell["trials"]]
    return min(trial["started"] for trial in trials), max(trial["finished"] for trial in trials)


@contextlib.contextmanager
def folder_of(keep: Path | None) -> Iterator[Path]:
    """The folder to work in: the one that is kept, else one that goes."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> int:
    """Write the cases, sweep them, ask plain onnxruntime, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="only tests whose names this matches")
    parser.add_argument("--limit", type=int, help="only so many, spread over all")
    parser.add_argument("--rate", type=float, default=10.0, help="cells a second that are asked for")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder that cases, plan and logs stay in")
    chosen = parser.parse_args()
    with folder_of(chosen.keep) as folder:
        began = time.monotonic()
        cases = [case for case in write_cases(folder / "cases") if chosen.only.search(case.name)]
        if chosen.limit and len(cases) > chosen.limit:
            cases = [cases[index * len(cases) // chosen.limit] for index in range(chosen.limit)]
        seconds = {"write_cases": time.monotonic() - began}
        lab = Lab(folder)
        with lab.agent():
            began, began_at = time.monotonic(), time.time()
            document = lab.sweep(cases)
            seconds["sweep"] = time.monotonic() - began
        began = time.monotonic()
        said = plain.ask([case.folder for case in cases])
        seconds["plain"] = time.monotonic() - began
    cells = {cell["model"]: cell for cell in document["cells"]}
    first, last = trial_seconds(document["cells"])
    seconds |= {"sweep_before_first_trial": first - began_at, "sweep_trials": last - first}
    differences = compared(cases, cells, said)
    rate = len(cases) / seconds["sweep"]
    trials = [trial for cell in document["cells"] for trial in cell["trials"]]
    report = {
        "onnx": onnx.__version__,
        "runtime": next(iter({cell["runtime"] for cell in document["cells"]})),
        "cases": len(cases),
        "kinds": Counter(case.kind for case in cases),
        "left_out": "models that onnx.backend.test downloads",
        "pass": {
            "ours": sum(cell["outcome"] == "pass" for cell in cells.values()),
            "plain": sum(told.ok for told in said.values()),
        },
        "ended": ended_where(document["cells"]),
        "ran_on_the_device": sum(bool(cell["trials"]) or bool(cell.get("same_as")) for cell in document["cells"]),
        "forked": sum("forked" in trial["environment"]["tags"] for trial in trials),
        "differences": differences,
        "cells_per_s": round(rate, 2),
        "trials_per_s": round(len(trials) / seconds["sweep_trials"], 2) if trials else None,
        "asked_cells_per_s": chosen.rate,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
    }
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if differences or rate < chosen.rate else 0


if __name__ == "__main__":
    sys.exit(main())
