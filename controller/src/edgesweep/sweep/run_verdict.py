"""From a finished run to the exit code that a nightly job branches on (conventions: 1 finding, 4 lab, 2 plan)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgesweep.errors import CATALOGUE, ExitCode
from edgesweep.plan.runtimes import UNKNOWN_RUNTIME
from edgesweep.store.records import CellRecord, Outcome, RunView, Verdict

#: Causes that lie in the plan's own model, not in a way of exporting it.
UNUSABLE = frozenset({"factory_failed", "factory_timeout", "invalid_model_file", "inputs_unusable"})

_BAD = frozenset({Outcome.FAILED, Outcome.FALLBACK})


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The exit code and, in one sentence each, why it is not 0.

    `resumable` tells whether a resume can still give some lost cell its outcome; `fixed` names the cells that pass
    although the plan lists them as known failures.
    """

    exit_code: ExitCode
    reasons: tuple[str, ...]
    resumable: bool = False
    fixed: tuple[str, ...] = ()


def judge_run(view: RunView, fail_on: Collection[str], *, previous: Mapping[str, Outcome]) -> RunVerdict:
    """Holds a run against the plan's `fail_on` words.

    A model that could not even be loaded means that the plan is wrong, whatever `fail_on` says.

    Args:
        view: the run as stored.
        fail_on: words of the plan: failure, fallback, new-failure, regression, untrusted, none.
        previous: outcomes by cell key of the last complete run of the same plan name.
    """
    findings = []
    ends = [
        (record.cell, record.end) for record in view.cells if record.end is not None and "known" not in record.end.tags
    ]
    if "failure" in fail_on:
        findings.append((sum(end.outcome is Outcome.FAILED for _, end in ends), "failed"))
    if "fallback" in fail_on:
        findings.append((sum(end.outcome is Outcome.FALLBACK for _, end in ends), "fell back to another provider"))
    if "new-failure" in fail_on:
        new = sum(end.outcome in _BAD and previous.get(cell.key) is Outcome.PASS for cell, end in ends)
        findings.append((new, "failed that passed in the run before"))
    if "untrusted" in fail_on:
        # Without a verdict there is no number: the plan's preset times nothing.
        trusted = {Verdict.TRUSTED, None}
        shaky = sum(end.outcome is Outcome.PASS and end.verdict not in trusted for _, end in ends)
        findings.append((shaky, "have a number that is not trusted"))
    reasons = [f"{count} cell{'s' if count > 1 else ''} {words}" for count, words in findings if count]

    lost = sum(is_incomplete(record) for record in view.cells)
    code = ExitCode.OK
    if lost:
        # Certificates do not mend themselves: told apart from a board that is merely away.
        causes = {end.cause for _, end in ends if end.outcome is Outcome.LOST}
        refused = causes & {code for code, entry in CATALOGUE.items() if entry.exit_code is ExitCode.CREDENTIALS}
        code = ExitCode.CREDENTIALS if refused else ExitCode.LAB
        reasons.append(f"{lost} cell{'s were' if lost > 1 else ' was'} lost to lab trouble")
    if any(count for count, _ in findings):
        code = ExitCode.FINDING
    unusable = sorted({cell.variant.model for cell, end in ends if end.cause in UNUSABLE})
    if unusable:
        code = ExitCode.USAGE
        reasons.append(f"the plan names a model that cannot be loaded: {', '.join(unusable)}")
    resumable = any(is_incomplete(record) and record.cell.runtime != UNKNOWN_RUNTIME for record in view.cells)
    fixed = tuple(cell.name for cell, end in ends if "fixed" in end.tags)
    return RunVerdict(code, tuple(reasons), resumable, fixed)


def is_incomplete(record: CellRecord) -> bool:
    """Whether a cell says nothing about its model: not ended, or lost."""
    return record.end is None or record.end.outcome is Outcome.LOST
