"""From an export matrix to the exit code that a nightly job branches on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgesweep.errors import ExitCode
from edgesweep.plan.load import plan_from_json
from edgesweep.plan.trouble import trouble_of_variant
from edgesweep.store.records import Outcome, RunView, outcome_of_export
from edgesweep.sweep.run_verdict import UNUSABLE


@dataclass(frozen=True, slots=True)
class MatrixVerdict:
    """The exit code and, in one sentence each, why it is not 0.

    `new` names the variants that failed and passed before; `lost` counts those that starting again can still mend.
    """

    exit_code: ExitCode
    reasons: tuple[str, ...]
    new: tuple[str, ...] = ()
    lost: int = 0


def judge_matrix(
    view: RunView, fail_on: Collection[str], *, previous: Mapping[str, Outcome], known: Collection[str] = ()
) -> MatrixVerdict:
    """Holds a matrix against the plan's `fail_on`: `failure` and `new-failure`; the other words are about devices.

    A model that could not even be loaded means that the plan is wrong, whatever `fail_on` says.

    Args:
        view: The matrix as stored.
        fail_on: Words of the plan.
        previous: Outcomes by variant name of the matrix before.
        known: Names of the variants that the plan lists as known failures.
    """
    ended = [(result, outcome_of_export(result.stage, result.cause)) for result in view.exports]
    failed = [
        result.variant.name
        for result, outcome in ended
        if outcome is Outcome.FAILED and result.variant.name not in known
    ]
    new = tuple(name for name in failed if previous.get(name) is Outcome.PASS)
    lost = [result for result, outcome in ended if outcome is Outcome.LOST]
    code, reasons = ExitCode.OK, []
    if lost:
        code = ExitCode.LAB
        reasons.append(f"{_variants(len(lost), 'was', 'were')} lost to trouble of the host")
    if failed and "failure" in fail_on:
        code = ExitCode.FINDING
        reasons.append(f"{_variants(len(failed))} failed")
    if new and "new-failure" in fail_on:
        code = ExitCode.FINDING
        reasons.append(f"{_variants(len(new))} failed that passed in the matrix before: {', '.join(new)}")
    unusable = sorted({result.variant.model for result in view.exports if result.cause in UNUSABLE})
    if unusable:
        code = ExitCode.USAGE
        reasons.append(f"the plan names a model that cannot be loaded: {', '.join(unusable)}")
    return MatrixVerdict(code, tuple(reasons), new, len(lost))


def known_variants(view: RunView) -> dict[str, str]:
    """The reason of each variant that the plan called a known failure on the day of the matrix, by the variant's name."""
    plan = plan_from_json(view.run.plan)
    day = dt.datetime.fromtimestamp(view.run.started, tz=dt.UTC).date()
    found = ((result, trouble_of_variant(result.variant, plan.known_failures, today=day)) for result in view.exports)
    return {result.variant.name: entry.reason for result, entry in found if entry is not None}


def _variants(count: int, one: str = "", many: str = "") -> str:
    verb = one if count == 1 else many
    return f"{count} variant{'' if count == 1 else 's'}" + (f" {verb}" if verb else "")
