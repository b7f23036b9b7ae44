"""What the worker says is what the agent and the controller can read."""

from __future__ import annotations

import ast
import dataclasses

import pytest

pytest.importorskip("onnxruntime")
codec = pytest.importorskip("edgesweep_proto.codec", reason="the wire contract is not installed beside this runtime")

from edgesweep_proto import trial  # noqa: E402 - skipped where it is not installed
from edgesweep_proto.device import Runtime  # noqa: E402
from edgesweep_proto.trial import Stage, TrialOutcome, TrialResult  # noqa: E402
from edgesweep_worker import job  # noqa: E402


def test_facts_and_end_make_a_trial_result(workshop, bench):
    ended = workshop.run(bench.good_job())
    data = {key: value for key, value in ended.end.items() if key != "event"}
    data.update(ended.facts)
    data["samples"]["blob"] = {"sha256": "0" * 64, "size_bytes": 8}  # the agent names the file
    data["trial_id"] = "run/key/0/0"
    result = codec.from_json(TrialResult, data)
    assert (result.outcome, result.stage) == (TrialOutcome.PASS, Stage.PLACEMENT)
    assert codec.from_proto(TrialResult, codec.to_proto(result)) == result
    # Nothing that the worker said was dropped on the way, and every fact of a passing trial is there.
    written = codec.to_json(result)
    assert _holds(written, data)
    assert set(written) - set(data) == {
        "exit_code",
        "signal",
        "started",
        "finished",
        "boot_id",
        "before",
        "after",
        "tags",
        # The agent's own, or of a later stage of the board's.
        "harness_floor_s",
        "gates",
        "trace",
        "energy",
        # Only of a provider that compiles, where it was asked for, and of a failure.
        "compile",
        "node_profile",
        "diagnosis",
    } | ({"arena"} - set(data))


def _holds(written, told):
    """Whether everything that was told is written; what was not told has its default."""
    if isinstance(told, dict):
        return all(key in written and _holds(written[key], value) for key, value in told.items())
    if isinstance(told, list):
        return len(written) == len(told) and all(_holds(*pair) for pair in zip(written, told, strict=True))
    return written == told


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (job.Protocol, trial.Protocol),
        (job.SessionRequest, trial.SessionOptions),
        (job.Tolerance, trial.Tolerance),
    ],
)
def test_the_worker_knows_every_field_of_what_is_asked(ours, theirs):
    ours, theirs = (
        {field.name: field.default for field in dataclasses.fields(kind) if field.name != "page_cache"}
        for kind in (ours, theirs)
    )
    assert ours == theirs
    assert job.Protocol().page_cache == ""  # an older agent does not say: then it is left as it is


def test_the_probe_makes_a_runtime(workshop, tmp_path):
    data = workshop.run({"kind": "probe", "scratch_dir": str(tmp_path)}).end["runtime"]
    runtime = codec.from_json(Runtime, dict(data, id="1", flavour=""))
    assert _holds(codec.to_json(runtime), dict(data, id="1", flavour=""))
    assert "CPUExecutionProvider" in runtime.usable_providers
    assert "AzureExecutionProvider" not in runtime.usable_providers


def test_every_cause_is_in_the_catalogue(workshop):
    errors = pytest.importorskip("edgesweep.errors")
    causes = set()
    for path in (workshop.folder / "edgesweep_worker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "TrialFailed" and node.args:
                causes |= _texts(node.args[0])
            elif isinstance(node, ast.keyword) and node.arg == "cause":
                causes |= _texts(node.value)
            elif isinstance(node, ast.Assign) and _target(node) == "cause":
                causes |= _texts(node.value.elts[0])
            elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
                causes |= _texts(node.value.elts[1])
    from edgesweep_worker.failures.read import PATTERNS

    causes |= {known.cause for known in PATTERNS}
    assert {"oom", "no_nodes", "opset_unsupported", "worker_protocol", "invalid_model_file"} <= causes
    assert causes - {""} <= set(errors.CATALOGUE)


def _texts(node):
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def _target(node):
    target = node.targets[0]
    return target.elts[0].id if isinstance(target, ast.Tuple) and isinstance(target.elts[0], ast.Name) else ""
