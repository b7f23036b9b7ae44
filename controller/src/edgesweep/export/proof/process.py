"""The throwaway process that runs an artifact on the host's onnxruntime; a crash in there is an answer like any other.

Reads jobs as JSON lines from stdin and forks for each; writes a line of JSON on how the fork ended to the stdout it was
started with. Whatever a native library prints goes to stderr. Imports numpy and onnxruntime only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from edgesweep.export.proof.nursery import tail_of
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

    from edgesweep.export.proof.allowed import widened
    from edgesweep.export.proof.tolerance import compare

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
    """Serve jobs until stdin closes; the one argument is the parent's process id."""
    die_with_parent(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # A proof says itself that onnxruntime is missing.
    with suppress(ImportError):
        importlib.import_module("onnxruntime")
    for module in ("allowed", "tolerance"):
        importlib.import_module(f"edgesweep.export.proof.{module}")
    with answers:
        for line in sys.stdin:
            job = json.loads(line)
            if _has_threads():
                # A fork would have their locks without them; one proof for this process, then.
                answers.write(json.dumps({"status": 0, "answer": _answer(job), "stderr": "", "last": True}) + "\n")
                break
            answers.write(json.dumps(_fork(job) | {"last": False}) + "\n")
            answers.flush()
    return 0


def _fork(job: dict[str, Any]) -> dict[str, Any]:
    """How a fork that serves `job` ended: `status`, `answer` and the end of its `stderr`."""
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as stderr:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _serve(job, parent, told, stderr)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        content = told.read()
        answer = json.loads(content) if content and status == 0 else None
        return {"status": os.waitstatus_to_exitcode(status), "answer": answer, "stderr": tail_of(stderr)}


def _serve(job: dict[str, Any], parent: int, told: IO[bytes], stderr: IO[bytes]) -> NoReturn:
    """The fork's whole life."""
    status = 1
    try:
        die_with_parent(parent)
        os.dup2(stderr.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        told.write(json.dumps(_answer(job)).encode())
        told.flush()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may get back into the parent's code from here
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(status)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        return prove(job)
    except OSError as error:
        # The files of the proof are ours: what cannot be read or written says nothing of the model.
        return {"host": f"{type(error).__name__}: {error}"}


def _has_threads() -> bool:
    """Whether more than one thread runs here; where the system does not say, it may be so."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) != 1
    except OSError:
        return True


if __name__ == "__main__":
    sys.exit(main())
