"""Which ways to call a session this runtime has, whether each is what it says, and what each costs.

The cheapest one is no public interface, so nothing is taken on trust: every way answers two questions whose answers are
known, and is timed on a model that does next to nothing.
"""

from __future__ import annotations

import json
import statistics
from typing import Any, Iterable, Sequence

from edgesweep_worker import null_model
from edgesweep_worker.forked import NoAnswer, ask_child

_SECONDS = 30.0
_LEAD, _CALLS, _ROUNDS = 100, 400, 5
#: Ways whose costs lie within this ratio are as good as each other: the earlier one is taken, so that it stays the same.
_TIE = 1.05


def probe_calls(ort: Any) -> dict[str, Any]:
    """Try every way on the null model, in a forked child of this process, which must not have made a session yet.

    Returns:
        `call`, `call_costs_s` and `harness_floor_s` as in `device.Runtime`: the cheapest way that gives right answers, ""
        when there is none, the median seconds of one call by each such way, and those of the cheapest one.
    """
    from edgesweep_worker.calls import WAYS

    costs = _ask(ort, WAYS)
    if costs is None:
        # One of them crashed or hung, which says nothing about the others.
        costs = {}
        for way in WAYS:
            costs.update(_ask(ort, (way,)) or {})
    call = cheapest(costs, WAYS)
    return {"call": call, "call_costs_s": costs, "harness_floor_s": costs.get(call)}


def cheapest(costs: dict[str, float], ways: Iterable[str]) -> str:
    """The first of `ways` that costs no more than any other, within the scatter; "" when none has a cost."""
    least = min(costs.values(), default=0.0)
    return next((way for way in ways if way in costs and costs[way] <= least * _TIE), "")


def working_calls(ort: Any, ways: Sequence[str]) -> dict[str, Any]:
    """Calls of the null model by each of `ways` that is there and gives right answers, each with a session of its own."""
    import numpy as np

    from edgesweep_worker import calls
    from edgesweep_worker.inputs import aligned_empty

    found = {}
    for way in ways:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        array = aligned_empty((1, 8), np.float32)
        array[...] = 1.0
        try:
            session = ort.InferenceSession(null_model.add_model(), options, providers=["CPUExecutionProvider"])
            io_mode = "host" if way == "run" else "bound"
            call = calls.make_call(ort, session, {"x": array}, io_mode, [("CPUExecutionProvider", {})], way)
            call.run()
            call.settle()
            right = True
            for value in (1.0, 3.0):
                array[...] = value
                right = right and bool((call.run_afresh()["y"] == 2 * value).all())
        except Exception:  # noqa: BLE001, S112 - whatever a broken interface raises, it is not to be used
            continue
        if right and call.way == way:
            found[way] = call
    return found


def _ask(ort: Any, ways: Sequence[str]) -> dict[str, float] | None:
    try:
        answer = json.loads(ask_child(lambda: json.dumps(_costs(ort, ways)), _SECONDS))
    except NoAnswer:
        return None
    return {str(way): float(cost) for way, cost in answer.items()}


def _costs(ort: Any, ways: Sequence[str]) -> dict[str, float]:
    """Median seconds of a call by each way, in turn, so that a change of the clock meets them all."""
    from edgesweep_worker import loop

    found = working_calls(ort, ways)
    samples: dict[str, list[int]] = {way: [] for way in found}
    for _ in range(_ROUNDS):
        for way, call in found.items():
            for _ in range(_LEAD):
                call.function(call.first, call.second)
            samples[way] += loop.run_timed(call.function, call.first, call.second, loop.Limits(_CALLS, 0)).samples
    return {way: statistics.median(taken) / 1e9 for way, taken in samples.items()}
