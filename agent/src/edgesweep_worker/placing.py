"""The stage that tells where the nodes went, from a session of its own that nothing is timed in.

Beside a timed session it runs in the same process only where the chain is the CPU alone; for any other the agent starts a
process of its own for it, once the timed one is gone (docs/adr/0009-the-placement-of-a-provider-is-read-in-a-process-of-its-own.md).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any, Mapping

from edgesweep_worker import ending, failure
from edgesweep_worker.compiling import Compiling
from edgesweep_worker.events import EventPipe
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.failures import read
from edgesweep_worker.job import TrialJob


def run_placement(job: TrialJob, pipe: EventPipe) -> None:
    """Tell the placement of the trial that another process has timed, and end it."""
    pipe.current_stage = "placement"
    ending.end_with(pipe, lambda: _place_apart(job.with_threads(), pipe))


@dataclass(frozen=True)
class Watched:
    """A session beside the timed one, and what it is made of.

    `chain` holds provider names with options, all available in this build, `arrays` the inputs by name; `compiling` is told
    what another shape costs.
    """

    ort: Any
    job: TrialJob
    pipe: EventPipe
    chain: list[tuple[str, dict[str, str]]]
    arrays: Mapping[str, Any]
    compiling: Compiling

    def place(self, cpus: tuple[int, ...]) -> tuple[str, str, str]:
        """Make the session, run it and tell where its nodes are.

        Args:
            cpus: those that its threads are held to; with none nothing is held.

        Returns:
            Outcome, cause and message of a trial that has passed so far.

        Raises:
            TrialFailed: there is no second session, or it does not run.
        """
        from edgesweep_worker import placement, session, shape_changes, threads

        with placement.scratch_folder(self.job.samples_path) as folder:
            options = session.make_options(self.ort, self.job.session)
            placement.watch_placement(self.ort, options, folder)
            pinning = threads.Pinning(cpus)
            try:
                watched = session.open_session(self.ort, self.job, options, self.chain)
            except TrialFailed as failed:
                failed.message = (
                    f"it ran, but a second session, to see where its nodes are, was refused: {failed.message}"
                )
                raise
            pinning.hold()
            try:
                found = placement.read_placement(
                    self.ort,
                    watched,
                    self.arrays,
                    nodes=self.job.protocol.node_profile,
                    # A sign of life: the deadline is for one run, not for all of them.
                    on_run=self.pipe.alive,
                )
            except OSError:
                raise
            except Exception as error:
                raise failure.run_failure(error, self.pipe.current_stage, self.job.model_path) from error
            shape_changes.try_others(self.job, self.pipe, watched, self.arrays, self.compiling)
            del watched
        return judge(self.job, self.pipe, found, self.chain[0][0])


def judge(job: TrialJob, pipe: EventPipe, found: Any, first: str) -> tuple[str, str, str]:
    """Tell where the nodes are, and what that makes of a trial that has passed so far.

    Args:
        job: the trial's job.
        pipe: where facts are told.
        found: its Placement.
        first: the provider that was asked for first.

    Returns:
        Outcome, cause and message.
    """
    from edgesweep_worker import session

    found = found.with_model_nodes(_model_nodes(job.model_path))
    pipe.facts(placement=found.as_json())
    if found.arena is not None:
        pipe.facts(arena=found.arena)
    if found.profile is not None:
        pipe.facts(node_profile=found.profile)
    elif job.protocol.node_profile:
        pipe.tag("no_node_profile")
    counts = found.counts
    if found.method == "provider_list":
        pipe.tag("placement_unknown")
        if first != session.CPU:
            told = read.diagnosis("placement", subject=first)
            raise TrialFailed("placement_untold", f"nothing shows that {first} got a node of the model", diagnosis=told)
        return "pass", "", ""
    if counts[first] == 0 and (counts or first != session.CPU):
        elsewhere = ", ".join(f"{count} on {name}" for name, count in sorted(counts.items()))
        nothing = "none is left to run, since all of it folds into constants"
        return "fallback", "no_nodes", f"{first} got no node of the model: {elsewhere or nothing}"
    if set(counts) - {first}:
        pipe.tag("partial")
    return "pass", "", ""


def _model_nodes(path: str) -> int | None:
    from edgesweep_worker import model_file

    try:
        return model_file.count_nodes(path)
    except (OSError, ValueError):
        return None  # an .ort file, for one, is no protobuf message


def _place_apart(job: TrialJob, pipe: EventPipe) -> tuple[str, str, str]:
    import onnxruntime

    from edgesweep_worker import inputs, plugins, provider_start, session

    if job.protocol.provider_cache in {"empty", "primed"}:
        # The trial's own folder went with its process, and what lies elsewhere is not this cell's to change.
        folder = tempfile.mkdtemp(prefix="provider-", dir=os.path.dirname(os.path.abspath(job.samples_path)))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        job = provider_start.with_cache(job, folder)
    ort: Any = onnxruntime
    plugins.register_wanted(ort, job, pipe.doing)
    chain, _ = session.usable_chain(ort, job)
    cpus = job.cpus if job.protocol.pin_threads else ()
    compiling = Compiling(pipe, job, job.compiled)
    return Watched(ort, job, pipe, chain, inputs.load_inputs(job.inputs), compiling).place(cpus)
