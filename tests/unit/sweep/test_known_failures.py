"""Which cells of a run are known failures: judged by the day on which the run began."""

from __future__ import annotations

import datetime as dt

from edgesweep.plan.cell import Cell, Variant
from edgesweep.plan.load import plan_from_json
from edgesweep.store.records import DeviceRecord, RunRecord
from edgesweep.sweep.launch import Prepared, known_failures

CELLS = tuple(
    Cell(Variant("net", "dynamo", 17, "static"), device, "1.32.0", (chain,))
    for device in ("pi5", "desk")
    for chain in ("cpu", "cuda")
)
PLAN = {
    "version": 1,
    "models": [{"factory": "lab.py:net"}],
    "known_failures": [
        {"device": "site=lab1", "providers": ["cuda"], "reason": "issue 7", "until": "2027-01-31"},
        {"device": "site=lab1", "reason": "issue 8"},
    ],
}


def known_on(moment: dt.datetime) -> dict[str, str]:
    """By device and chain, what is known in a run that began at `moment`; it does not matter when it is asked."""
    run = RunRecord("r", "p", "", "", PLAN, "/", moment.timestamp())
    devices = (DeviceRecord("pi5", "", {"site": "lab1"}, None), DeviceRecord("desk", "", {"site": "lab2"}, None))
    found = known_failures(Prepared(run, plan_from_json(PLAN), (), CELLS, (), devices, {}))
    return {f"{cell.device} {cell.providers[0]}": found[cell.name] for cell in CELLS if cell.name in found}


def test_the_last_day_counts_to_its_end_and_the_first_entry_that_fits_is_the_one() -> None:
    late = dt.datetime(2027, 1, 31, 23, 59, 59, tzinfo=dt.UTC)
    assert known_on(late) == {"pi5 cpu": "issue 8", "pi5 cuda": "issue 7"}
    assert known_on(late + dt.timedelta(seconds=1)) == {"pi5 cpu": "issue 8", "pi5 cuda": "issue 8"}
