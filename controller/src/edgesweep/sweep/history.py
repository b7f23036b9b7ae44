"""What the run before says about the same cells."""

from __future__ import annotations

from edgesweep.store.records import Outcome, RunState, RunView
from edgesweep.store.store import Store

#: How far back the run before is looked for.
_LOOK_BACK = 200


def previous_outcomes(store: Store, view: RunView) -> dict[str, Outcome]:
    """Outcomes by cell key of the last complete run of the same name before `view`; empty where there is none."""
    for summary in store.list_runs(_LOOK_BACK):
        if (
            summary.name == view.run.name
            and summary.state is RunState.COMPLETE
            and summary.started < view.run.started
            and summary.id != view.run.id
        ):
            earlier = store.load_run(summary.id)
            return {record.cell.key: record.end.outcome for record in earlier.cells if record.end is not None}
    return {}
