"""The throwaway process that runs an artifact on the host's onnxruntime; a crash in there is an answer like any other.

Reads one job as JSON from stdin and writes one answer as JSON to the stdout it was started with. Whatever a native
library prints goes to stderr. Imports numpy and onnxruntime only: it starts for every variant.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from edgesweep.export.workers.orphan import die_with_parent


def prove(job: dict[str, Any]) -> dict[str, Any]:
    """Load the model and hold its outputs against the references at every size.

    Args:
        job: `model` (path), `as_written` (whether the runtime must leave the graph as it is), `tolerance` and `cases`; a case has `label`, `inputs` (name to `.npy` path), `references`
            (`.npy` paths in the order of the outputs), `slack` (a factor on the tolerance) and, where the outputs are
            wanted, `outputs` (a path prefix to write them to).

    Returns:
        `loaded`, `error`, and per case `label`, `refused`, `wrong`, `nan`, `absolute`, `relative`, `offender`,
        `compared` and `files`.
    """
    try:
        session = _session(job["model"], as_written=job["as_written"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises types of its own; all mean that it cannot load this
        return {"loaded": False, "error": f"{type(error).__name__}: {error}", "cases": []}
    return {"loaded": True, "error": "", "cases": [_try(session, case, job["tolerance"]) for case in job["cases"]]}


def _session(path: str, *, as_written: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _try(session: Any, case: dict[str, Any], tolerance: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    answer: dict[str, Any] = {"label": case["label"], "refused": "", "wrong": "", "nan": False, "absolute": 0.0}
    answer |= {"relative": 0.0, "offender": "", "compared": 0, "files": []}
    names = [output.name for output in session.get_outputs()]
    taken = {value.name for value in session.get_inputs()}
    feed = {name: np.load(path, allow_pickle=False) for name, path in case["inputs"].items() if name in taken}
    try:
        outputs = session.run(None, feed)
    except Exception as error:  # noqa: BLE001 - as above: it refuses to run this size
        return answer | {"refused": f"{type(error).__name__}: {error}"}
    if "outputs" in case:
        for index, output in enumerate(outputs):
            path = f"{case['outputs']}{index}.npy"
            np.save(path, np.asarray(output), allow_pickle=False)
            answer["files"].append(path)
    if "references" in case:
        _hold(answer, names, outputs, case, tolerance)
    return answer


def _hold(
    answer: dict[str, Any], names: list[str], outputs: list[Any], case: dict[str, Any], tolerance: dict[str, Any]
) -> None:
    """Compare every output; the first that is off is the offender."""
    import numpy as np
    from edgesweep_proto.trial import Tolerance

    from edgesweep.export.proof.tolerance import compare, widened

    references = case["references"]
    if len(references) != len(outputs):
        answer["wrong"] = f"the model has {len(outputs)} outputs and torch returns {len(references)}"
        return
    allowed = Tolerance(tolerance["absolute"], tolerance["relative"], tolerance["sqnr_db"])
    allowed = widened(allowed, case.get("slack", 1.0))
    for name, got, path in zip(names, outputs, references, strict=True):
        found = compare(np.asarray(got), np.load(path, allow_pickle=False), allowed)
        answer["compared"] += 1
        answer["absolute"] = max(answer["absolute"], found.max_absolute)
        answer["relative"] = max(answer["relative"], found.max_relative)
        if not found.agrees and not answer["offender"]:
            answer |= {"offender": name, "wrong": found.reason, "nan": found.nan}


def main() -> int:
    """Serve one job from stdin; the one argument is the parent's process id."""
    die_with_parent(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = prove(json.load(sys.stdin))
    except (
        OSError
    ) as error:  # the files of the proof are ours: what cannot be read or written says nothing of the model
        answer = {"host": f"{type(error).__name__}: {error}"}
    with answers:
        json.dump(answer, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
