from __future__ import annotations

import pytest
from edgesweep.errors import ExitCode
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Variant
from edgesweep.store.records import Outcome, RunKind, RunRecord, RunView
from edgesweep.sweep.matrix_verdict import judge_matrix, known_variants
from edgesweep_proto.trial import Stage

NAME = "{}/dynamo-opset17-static-fp32".format


def view(plan: dict | None = None, **causes: str) -> RunView:
    """A matrix with a variant per model, each with its cause; empty for a pass."""
    run = RunRecord("r", "p", "", "", plan or {}, "/", 1795600000.0, kind=RunKind.MATRIX)
    stages = {"excluded": Stage.PLAN, "not_run": Stage.PLAN}
    exports = tuple(
        ExportResult(Variant(model, "dynamo", 17, "static"), stages.get(cause, Stage.CHECK), cause)
        for model, cause in causes.items()
    )
    return RunView(run, (), (), exports)


@pytest.mark.parametrize(
    ("causes", "fail_on", "code", "reasons"),
    [
        ({"a": "", "b": "excluded"}, ["failure"], ExitCode.OK, ()),
        ({"a": "wrong_output"}, ["failure"], ExitCode.FINDING, ("1 variant failed",)),
        ({"a": "wrong_output", "b": "nan_output"}, ["failure"], ExitCode.FINDING, ("2 variants failed",)),
        ({"a": "wrong_output"}, ["none"], ExitCode.OK, ()),
        # The words about devices and numbers have no meaning here.
        ({"a": "wrong_output"}, ["fallback", "regression", "untrusted"], ExitCode.OK, ()),
        ({"a": "wrong_output"}, ["new-failure"], ExitCode.OK, ()),
        (
            {"was_fine": "wrong_output"},
            ["new-failure"],
            ExitCode.FINDING,
            (f"1 variant failed that passed in the matrix before: {NAME('was_fine')}",),
        ),
        ({"known": "wrong_output"}, ["failure", "new-failure"], ExitCode.OK, ()),
        ({"a": "export_host_trouble"}, ["failure"], ExitCode.LAB, ("1 variant was lost to trouble of the host",)),
        (
            {"a": "not_run", "b": "not_run"},
            ["none"],
            ExitCode.LAB,
            ("2 variants were lost to trouble of the host",),
        ),
        (
            {"a": "wrong_output", "b": "export_host_trouble"},
            ["failure"],
            ExitCode.FINDING,
            ("1 variant was lost to trouble of the host", "1 variant failed"),
        ),
        (
            {"a": "factory_failed", "b": ""},
            ["none"],
            ExitCode.USAGE,
            ("the plan names a model that cannot be loaded: a",),
        ),
    ],
)
def test_the_exit_code_follows_fail_on(causes, fail_on, code, reasons):
    previous = {NAME("was_fine"): Outcome.PASS, NAME("a"): Outcome.FAILED, NAME("known"): Outcome.PASS}
    verdict = judge_matrix(view(**causes), fail_on, previous=previous, known={NAME("known")})
    assert (verdict.exit_code, verdict.reasons) == (code, reasons)


def test_new_failures_and_lost_variants_are_told_whatever_fail_on_says():
    verdict = judge_matrix(
        view(a="wrong_output", b="export_host_trouble"), ["none"], previous={NAME("a"): Outcome.PASS}
    )
    assert (verdict.new, verdict.lost) == ((NAME("a"),), 1)


def test_known_failures_are_those_of_the_day_of_the_matrix():
    plan = {
        "version": 1,
        "models": [{"factory": "lab.py:a"}, {"factory": "lab.py:b"}, {"factory": "lab.py:c"}],
        "known_failures": [
            {"model": "a", "reason": "issue 7", "until": "2027-01-01"},
            {"model": "b", "reason": "over", "until": "2026-01-01"},
            {"model": "c", "device": "pi5", "reason": "there only"},
        ],
    }
    assert known_variants(view(plan, a="wrong_output", b="wrong_output", c="wrong_output")) == {NAME("a"): "issue 7"}
