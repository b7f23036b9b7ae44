from __future__ import annotations

import dataclasses

import pytest
from edgesweep.errors import ExitCode
from edgesweep.store.records import CellEnd, CellRecord, Outcome, RunRecord, RunView, Verdict
from edgesweep.sweep.run_verdict import judge_run


@pytest.fixture
def view_of(make_cell):
    def build(*ends: tuple[Outcome | None, str]) -> RunView:
        records = []
        for index, (outcome, cause) in enumerate(ends):
            cell = make_cell(opset=7 + index)
            verdict = Verdict.DOUBTFUL if outcome is Outcome.PASS else None
            ended = CellEnd(cell.name, outcome, "measure", cause, verdict=verdict) if outcome else None
            records.append(CellRecord(cell, ended, None))
        run = RunRecord("r", "night", "d", "", {}, ".", 0.0)
        return RunView(run, (), tuple(records))

    return build


@pytest.mark.parametrize(
    ("end", "fail_on", "code"),
    [
        ((Outcome.PASS, ""), ["failure", "fallback", "new-failure"], ExitCode.OK),
        ((Outcome.PASS, ""), ["untrusted"], ExitCode.FINDING),
        ((Outcome.FAILED, "crash"), ["failure"], ExitCode.FINDING),
        ((Outcome.FAILED, "crash"), ["none"], ExitCode.OK),
        ((Outcome.FALLBACK, "no_nodes"), ["failure"], ExitCode.OK),
        ((Outcome.FALLBACK, "no_nodes"), ["fallback"], ExitCode.FINDING),
        ((Outcome.SKIPPED, "excluded"), ["failure"], ExitCode.OK),
        ((Outcome.LOST, "device_unreachable"), ["none"], ExitCode.LAB),
        ((None, ""), ["none"], ExitCode.LAB),
        ((Outcome.FAILED, "factory_failed"), ["none"], ExitCode.USAGE),
    ],
)
def test_each_end_has_its_exit_code(view_of, end, fail_on, code) -> None:
    verdict = judge_run(view_of(end), fail_on, previous={})
    assert verdict.exit_code is code
    assert bool(verdict.reasons) == (code is not ExitCode.OK)


@pytest.mark.parametrize(("verdict", "code"), [(None, ExitCode.OK), (Verdict.DOUBTFUL, ExitCode.FINDING)])
def test_a_pass_without_a_number_is_no_untrusted_number(view_of, verdict, code) -> None:
    view = view_of((Outcome.PASS, ""))
    (record,) = view.cells
    end = dataclasses.replace(record.end, verdict=verdict)
    view = dataclasses.replace(view, cells=(dataclasses.replace(record, end=end),))
    assert judge_run(view, ["untrusted"], previous={}).exit_code is code


def test_findings_win_over_lab_trouble_and_a_wrong_plan_over_both(view_of) -> None:
    both = view_of((Outcome.FAILED, "crash"), (Outcome.LOST, "interrupted"))
    assert judge_run(both, ["failure"], previous={}).exit_code is ExitCode.FINDING
    wrong = view_of((Outcome.FAILED, "crash"), (Outcome.FAILED, "invalid_model_file"))
    assert judge_run(wrong, ["failure"], previous={}).exit_code is ExitCode.USAGE


def test_only_what_passed_before_is_a_new_failure(view_of, make_cell) -> None:
    view = view_of((Outcome.FAILED, "crash"), (Outcome.FAILED, "crash"))
    passed_before = {make_cell(opset=7).key: Outcome.PASS, make_cell(opset=8).key: Outcome.FAILED}
    verdict = judge_run(view, ["new-failure"], previous=passed_before)
    assert verdict.exit_code is ExitCode.FINDING
    assert verdict.reasons == ("1 cell failed that passed in the run before",)
    assert judge_run(view, ["new-failure"], previous={}).exit_code is ExitCode.OK


def tagged(view: RunView, *tags: str) -> RunView:
    """The view with one tag per cell, in order."""
    records = [
        dataclasses.replace(record, end=dataclasses.replace(record.end, tags=(tag,)))
        for record, tag in zip(view.cells, tags, strict=True)
    ]
    return dataclasses.replace(view, cells=tuple(records))


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.FALLBACK])
def test_a_known_failure_counts_for_no_word(view_of, outcome) -> None:
    words = ["failure", "fallback", "new-failure", "regression", "untrusted"]
    view = view_of((outcome, "crash"))
    before = {view.cells[0].cell.key: Outcome.PASS}
    assert judge_run(view, words, previous=before).exit_code is ExitCode.FINDING
    verdict = judge_run(tagged(view, "known"), words, previous=before)
    assert (verdict.exit_code, verdict.reasons, verdict.fixed) == (ExitCode.OK, (), ())


def test_another_failure_counts_beside_a_known_one(view_of) -> None:
    view = tagged(view_of((Outcome.FAILED, "crash"), (Outcome.FAILED, "oom")), "known", "shared_host")
    verdict = judge_run(view, ["failure"], previous={})
    assert (verdict.exit_code, verdict.reasons) == (ExitCode.FINDING, ("1 cell failed",))


def test_what_is_fixed_is_named(view_of) -> None:
    view = tagged(view_of((Outcome.PASS, ""), (Outcome.FAILED, "crash")), "fixed", "known")
    verdict = judge_run(view, ["failure"], previous={})
    assert (verdict.exit_code, verdict.fixed) == (ExitCode.OK, (view.cells[0].cell.name,))
