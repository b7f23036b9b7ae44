"""What it costs to change to another shape and back: asked in a session that is not timed, after everything that is."""

from __future__ import annotations

import time
from typing import Any, Mapping

import numpy as np

from edgesweep_worker import failure, inputs
from edgesweep_worker.compiling import Compiling
from edgesweep_worker.events import EventPipe
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import TrialJob

#: The first run at a shape that takes so many times the next one, and this many seconds more, has built something. The
#: first touch of larger values alone was seen to take three to four times a run of a small model; what compiles a graph
#: takes tenths of a second at least.
FAR_LONGER = 5.0
LEAST_S = 0.05


def was_rebuilt(first_s: float, next_s: float, fresh_files: int) -> bool:
    """Whether a change of shape made the provider compile.

    Args:
        first_s: seconds of the first run at the shape.
        next_s: those of the run after it, at the same shape.
        fresh_files: compiled files that came with the two.
    """
    return fresh_files > 0 or (first_s >= FAR_LONGER * next_s and first_s - next_s >= LEAST_S)


def try_others(
    job: TrialJob, pipe: EventPipe, session: Any, own: Mapping[str, np.ndarray], compiling: Compiling
) -> None:
    """Run the job's other shapes one after the other, each with the way back, and tell what each change took.

    A shape that the session refuses is tagged `shape_refused:SHAPE` and says nothing of the cell, whose shape is another.

    Args:
        job: names the other shapes.
        pipe: where a refusal is told.
        session: has run `own` before.
        own: inputs at the cell's shape, by name.
        compiling: is told each ShapeChange; the way back has an empty shape.
    """
    for other in job.other_inputs:
        try:
            arrays = inputs.load_inputs(other.inputs)
            there = _change(other.shape, session, arrays, compiling)
        except OSError:
            raise  # the board's disk
        except TrialFailed:
            pipe.tag(f"shape_refused:{other.shape}")
            continue
        compiling.add_change(there)
        compiling.add_change(_change("", session, own, compiling))


def _change(shape: str, session: Any, arrays: Mapping[str, np.ndarray], compiling: Compiling) -> dict[str, Any]:
    compiling.count_fresh()
    seconds = []
    with failure.failing_runs():
        for _ in range(2):
            started = time.perf_counter()
            session.run(None, dict(arrays))
            seconds.append(time.perf_counter() - started)
    first_s, next_s = seconds
    rebuilt = was_rebuilt(first_s, next_s, compiling.count_fresh())
    return {"shape": shape, "first_run_s": first_s, "next_run_s": next_s, "rebuilt": rebuilt}
