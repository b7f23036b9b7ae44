"""Cells told anew by the user's rules: the trial's own cause stays with the trial, the cell gets the rule's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgesweep_proto.trial import TrialOutcome

from edgesweep.failures.advice import advice_on
from edgesweep.failures.rules import RuleBook
from edgesweep.store.records import CellEnd, Outcome, RunView, TrialRecord


def retell(view: RunView, rules: RuleBook) -> RunView:
    """A stored run as the rules in force tell it; what an earlier rule said and none says any more is taken back."""
    trials = {record.cell.name: record.trials for record in view.cells}
    cells = []
    for record in view.cells:
        end = record.end
        if end is not None:
            end = retell_end(end, trials.get(end.same_as or record.cell.name, ()), rules)
        cells.append(record if end is record.end else replace(record, end=end))
    return replace(view, cells=tuple(cells))


def retell_end(end: CellEnd, trials: Sequence[TrialRecord], rules: RuleBook) -> CellEnd:
    """The end of a cell by the rules: only one that a failed trial decided can be another.

    Args:
        end: the end as the trials and the catalogue, or an earlier rule, tell it.
        trials: those of the cell that was measured.
        rules: the rules in force.
    """
    decisive = deciding_trial(end, trials) or _tried_in_vain(end, trials, rules)
    if decisive is None:
        return end
    result = decisive.result
    rule = rules.find(result.diagnosis)
    if rule is not None:
        outcome = Outcome.FAILED if rule.stable else Outcome.LOST
        message = rule.text or result.message
        return replace(
            end, outcome=outcome, cause=rule.cause, message=message, remedy=rule.advice, rule=rule.name, link=rule.link
        )
    if not end.rule:
        return end
    remedy = advice_on(result.cause, result.diagnosis)
    return replace(
        end, outcome=Outcome.FAILED, cause=result.cause, message=result.message, remedy=remedy, rule="", link=""
    )


def trial_as_told(record: TrialRecord, rules: RuleBook) -> TrialRecord:
    """A trial that failed of what a rule calls trouble of the lab counts as interrupted, and is tried again."""
    result = record.result
    rule = rules.find(result.diagnosis) if result.outcome is TrialOutcome.FAILED else None
    if rule is None or rule.stable:
        return record
    told = replace(result, outcome=TrialOutcome.INTERRUPTED, cause=rule.cause, message=rule.text or result.message)
    return replace(record, result=told)


def deciding_trial(end: CellEnd, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The trial whose failure is the cell's: the first that failed; None where no trial decided how the cell ended."""
    if end.outcome is not Outcome.FAILED and not end.rule:
        return None
    ordered = sorted(trials, key=lambda trial: (trial.round, trial.attempt))
    return next((trial for trial in ordered if trial.result.outcome is TrialOutcome.FAILED), None)


def _tried_in_vain(end: CellEnd, trials: Sequence[TrialRecord], rules: RuleBook) -> TrialRecord | None:
    """The last trial of a cell that was lost because each attempt met what a rule calls trouble of the lab."""
    if end.outcome is not Outcome.LOST or end.rule or not trials:
        return None
    last = max(trials, key=lambda trial: (trial.round, trial.attempt))
    told = trial_as_told(last, rules)
    return last if told is not last and told.result.cause == end.cause else None
