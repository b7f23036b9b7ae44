"""Which loads an onnxruntime must refuse, and why: what `runtimes` holds the sweep against. No benchmark by itself.

Nothing here comes from Edgesweep. The limits of a runtime are found by one-node models that the onnx package writes, an
artifact's numbers are read by the onnx package, and whether it loads is asked of plain onnxruntime, a process for each.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

PLAIN = Path(__file__).parent / "oracle" / "plain_loads.py"
#: Every supported runtime takes these, so that the other number alone decides.
LOW_IR, LOW_OPSET = 7, 13
HIGHEST_ASKED = 40
#: Causes that lie in the numbers of the file.
OF_NUMBERS = frozenset({"ir_unsupported", "opset_unsupported"})
LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Limits:
    """The highest IR version and the highest opset of the ONNX domain that load."""

    ir_version: int
    opset: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a load ends with: the cause and what else is too new; no cause where nothing in the file's numbers is."""

    cause: str = ""
    also: tuple[str, ...] = ()


def must_end(ir_version: int, opset: int, limits: Limits) -> Expected:
    """The rule of design.md, section 8: the opset is named first, and the IR version beside it when both are too new."""
    ir_too_new = ir_version > limits.ir_version
    if opset > limits.opset:
        return Expected("opset_unsupported", ("ir_unsupported",) if ir_too_new else ())
    return Expected("ir_unsupported") if ir_too_new else Expected()


def kind_of(error: str) -> str:
    """Which of the file's numbers plain onnxruntime's words refuse: `ir`, `opset`, `other`, or nothing at all."""
    words = error.lower()
    if not words:
        return ""
    if "ir version" in words or "ir_version" in words:
        return "ir"
    return "opset" if "opset" in words and ("released" in words or "under development" in words) else "other"


def ask(python: str, models: Sequence[Path]) -> dict[str, str]:
    """Plain onnxruntime's words for each model by its path; a process that dies says so of the model that it was at."""
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [python, "-I", str(PLAIN), *map(str, models)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )
    told = {line["model"]: line["error"] for line in map(json.loads, done.stdout.splitlines())}
    for model in models[len(told) : len(told) + 1]:
        told[str(model)] = f"the process ended with {done.returncode}: {done.stderr[-400:]}"
    return told


def limits_of(python: str, folder: Path) -> Limits:
    """The limits of the onnxruntime that `python` imports; `folder` is where the models may be written."""
    folder.mkdir(exist_ok=True)
    by_ir = {ir: one_node(folder, ir, LOW_OPSET) for ir in range(LOW_IR, HIGHEST_ASKED)}
    by_opset = {opset: one_node(folder, LOW_IR, opset) for opset in range(LOW_OPSET, HIGHEST_ASKED)}
    told = ask(python, [*by_ir.values(), *by_opset.values()])
    return Limits(
        max(ir for ir, path in by_ir.items() if told[str(path)] == ""),
        max(opset for opset, path in by_opset.items() if told[str(path)] == ""),
    )


def one_node(folder: Path, ir_version: int, opset: int) -> Path:
    """An Identity that claims these numbers, written once."""
    path = folder / f"ir{ir_version}-opset{opset}.onnx"
    if not path.exists():
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "one", ends[:1], ends[1:])
        opsets = [helper.make_opsetid("", opset)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path)
    return path


@functools.cache
def numbers_of(path: Path) -> tuple[int, int]:
    """IR version and opset of the ONNX domain as they stand in the file."""
    model = onnx.load(path, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    return model.ir_version, opset


def differences(cell: Mapping[str, object], error: str, expected: Expected) -> list[str]:
    """In sentences, where a cell ended otherwise than the rule and plain onnxruntime's `error` have it.

    Another provider than the CPU may refuse what the CPU loads, for reasons of its own: those are not looked at.
    """
    refused = cell["outcome"] == "failed" and cell["stage"] == "load"
    if cell["providers"] != ["cpu"] and not error and cell["cause"] not in OF_NUMBERS:
        refused = False
    kind = kind_of(error)
    found = []
    if bool(error) != refused:
        ended = f"{cell['outcome']} {cell['stage']} {cell['cause']}"
        found.append(f"ended {ended}, plain onnxruntime: {error or 'loads'}")
    if (kind in {"ir", "opset"}) != bool(expected.cause):
        found.append(f"by its numbers: {expected.cause or 'loads'}, plain onnxruntime: {error or 'loads'}")
    if refused:
        got = Expected(str(cell["cause"]), tuple(cell["also"]))
        if expected.cause and got != expected:
            found.append(f"{got} instead of {expected}")
        if not expected.cause and got.cause in OF_NUMBERS:
            found.append(f"{got}, while its numbers are within the limits")
    return found
