"""What a cell's cause was told from."""

from __future__ import annotations

from collections.abc import Sequence

from edgesweep.failures.retell import deciding_trial
from edgesweep.report.plain_data import Json, plain
from edgesweep.store.records import CellEnd, TrialRecord


def diagnosis(end: CellEnd | None, trials: Sequence[TrialRecord]) -> Json | None:
    """`cells[].diagnosis`, from the trial whose failure is the cell's; null where none decided, or none told.

    `rule` names the user's rule that gave the cell its cause, `cause` is what the catalogue makes of it.
    """
    decisive = deciding_trial(end, trials) if end is not None else None
    if end is None or decisive is None or decisive.result.diagnosis is None:
        return None
    return {**plain(decisive.result.diagnosis), "cause": decisive.result.cause, "rule": end.rule}
