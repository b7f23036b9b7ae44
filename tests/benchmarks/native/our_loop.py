"""The worker's own loop in a process that stays: loaded, held, called and timed by the worker's modules as in a trial.

A trial's job is the first line on stdin; then it takes the same orders as c_loop.c and answers them alike. Only the
answer to the job differs: `ready BATCH WAY`, where BATCH is how many calls the worker puts into one sample and WAY how it
calls the session.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from edgesweep_worker import batching, calls, inputs, loop, session, threads
from edgesweep_worker.job import TrialJob, trial_job

#: As many calls as the worker makes before it settles how to time them.
FIRST_CALLS = 10


def prepare(job: TrialJob) -> tuple[Any, int, int]:
    """The call, ready to be timed, the calls of one sample, and what one call takes in ns."""
    import onnxruntime

    chain, _ = session.usable_chain(onnxruntime, job)
    options = session.make_options(onnxruntime, job.session)
    arrays = inputs.load_inputs(job.inputs)
    pinning = threads.Pinning(job.cpus)
    opened = session.open_session(onnxruntime, job, options, chain)
    pinning.hold()
    call = calls.make_call(onnxruntime, opened, arrays, job.protocol.io_mode, chain, job.call)
    call.run()
    durations = []
    for _ in range(FIRST_CALLS):
        begin = time.perf_counter_ns()
        call.function(call.first, call.second)
        durations.append(time.perf_counter_ns() - begin)
    if not call.settle():
        sys.exit("our_loop: the outputs could not be bound, so this is not the loop to be compared")
    pinning.hold()
    if job.cpus and not pinning.facts()["pinned"]:
        sys.exit(f"our_loop: {pinning.facts()['note']}")
    cost_ns = batching.call_cost_ns(call.function, call.first, call.second, min(durations))
    return call, batching.batch_for(cost_ns, batching.clock_cost_ns()), cost_ns


def answer(call: Any, cost_ns: int, order: str) -> None:
    """Carry out one order and write what it asks for."""
    out = sys.stdout.buffer
    word, *numbers = order.split()
    if word == "block":
        duration_ns, batch = map(int, numbers)
        timer = loop.Closed(call.function, call.first, call.second, batch)
        limits = loop.Limits(min_samples=1, min_ns=duration_ns)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        timed = loop.run_scenario(timer, limits, cost_ns * batch)
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
        out.write(b"%d %d\n" % (len(timed.samples), switches))
        out.write(timed.samples.tobytes())
    else:
        content = b"".join(array.tobytes() for array in call.run_afresh().values())
        out.write(b"%d\n" % len(content))
        out.write(content)
    out.flush()


def main() -> None:
    """Load the model and take orders until stdin is closed."""
    call, batch, cost_ns = prepare(trial_job(json.loads(sys.stdin.readline())))
    sys.stdout.buffer.write(b"ready %d %s\n" % (batch, call.way.encode()))
    sys.stdout.buffer.flush()
    for order in sys.stdin:
        answer(call, cost_ns, order)


if __name__ == "__main__":
    main()
