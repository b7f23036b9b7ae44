"""The worker process: one job in on stdin, events out on a pipe of its own, then the end."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from typing import Any, Sequence

from edgesweep_worker import process
from edgesweep_worker.events import EventPipe
from edgesweep_worker.job import plugin_libraries, trial_job


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one job.

    Args:
        arguments: command line without the program's name; `--events-fd N` is the open descriptor for events,
            `--parent PID` the agent's process id.

    Returns:
        0 when an end event was written.
    """
    parser = argparse.ArgumentParser(prog="edgesweep-worker", description="Measures one model once, for the agent.")
    parser.add_argument("--events-fd", type=int, required=True, help="open descriptor that events are written to")
    parser.add_argument("--parent", type=int, default=None, help="process id of the agent; leave when it is gone")
    parser.add_argument(
        "--serve",
        action="store_true",
        help="fork a worker for every request on that descriptor, which is a socket then",
    )
    chosen = parser.parse_args(arguments)
    if not process.die_with_parent(chosen.parent):
        return 1
    process.die_when_told()
    process.send_stdout_to_stderr()
    # Before onnxruntime is imported: from 1.29 on it would send reports to its maker and write files for them.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # numpy's own pool would only lie beside the model's threads; the worker multiplies nothing with numpy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    pipe = EventPipe(chosen.events_fd)
    if chosen.serve:
        from edgesweep_worker.fork_server import serve

        serve(chosen.events_fd, _work_forked)
        return 0
    return _work(sys.stdin.read(), pipe)


def _work_forked(job_fd: int, events_fd: int) -> int:
    """The job of a fork: read from a descriptor of its own, and said to have had no cold start."""
    pipe = EventPipe(events_fd)
    with os.fdopen(job_fd) as job:
        text = job.read()
    pipe.tag("forked")
    return _work(text, pipe)


def _work(text: str, pipe: EventPipe) -> int:
    """Do the job in `text`; 0 when an end event was written."""
    try:
        _do(text, pipe)
    except BrokenPipeError:
        return 1  # the agent is gone; nobody is left to tell
    except Exception:  # noqa: BLE001 - a bug here must reach the agent as a result with its traceback
        words = traceback.format_exc()[-4000:]
        pipe.end_trial("failed", cause="worker_protocol", message="the worker has a bug", evidence=words)
    return 0


def _do(text: str, pipe: EventPipe) -> None:
    try:
        job: dict[str, Any] = json.loads(text)
        kind = job["kind"]
        scratch_dir = job["scratch_dir"] if kind == "probe" else ""
        plugins = plugin_libraries(job)
        provider_s = float(job.get("provider_s") or 0.0)
        trial = trial_job(job) if kind in {"trial", "placement"} else None
        memory_limit = job.get("memory_limit_bytes")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        words = f"{type(error).__name__}: {error}"
        pipe.end_trial("failed", cause="worker_protocol", message="the job cannot be read", evidence=words)
        return
    limited = process.yield_memory(memory_limit)
    if kind == "probe":
        from edgesweep_worker.probe import PROVIDER_SECONDS, probe_runtime

        pipe.end(**probe_runtime(scratch_dir, plugins, pipe.doing, provider_s or PROVIDER_SECONDS))
    elif trial is not None:
        if not limited:
            pipe.tag("no_memory_limit")
        if kind == "placement":
            from edgesweep_worker.placing import run_placement

            run_placement(trial, pipe)
        else:
            from edgesweep_worker.trial import run_trial

            run_trial(trial, pipe)
    else:
        pipe.end_trial("failed", cause="worker_protocol", message=f"the worker does not know jobs of kind {kind}")


if __name__ == "__main__":
    sys.exit(main())
