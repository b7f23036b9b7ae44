"""One trial from its files to its result: stage, start, listen, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgesweep_proto.codec import to_json
from edgesweep_proto.trial import Stage, Trial, TrialOutcome, TrialResult, TrialState

from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.clock import boot_id, start_ticks
from edgesweep_agent.durable import is_no_room, remove_tree
from edgesweep_agent.findings import Findings
from edgesweep_agent.journal import Entry, Journal, Running, store_stderr
from edgesweep_agent.oom import oom_count
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.runtimes import RuntimeBook
from edgesweep_agent.staging import job, stage
from edgesweep_agent.surroundings import Surroundings
from edgesweep_agent.verdicts import is_passed, judge
from edgesweep_agent.worker_process import Ending, WorkerStartError, run_worker

if TYPE_CHECKING:
    from edgesweep_agent.around_trial import Around
    from edgesweep_agent.cpu_clusters import CpuChoice
    from edgesweep_agent.fork_server import ForkServers

#: Seconds without an event that a stage may take when the trial names no deadline.
DEFAULT_DEADLINE_S = 120.0


class Emit(Protocol):
    """Tells whoever watches how far a trial is."""

    def __call__(self, entry: Entry, state: TrialState, stage: Stage, waits_for: str = "", /) -> None:
        """The trial of `entry` is in this state and stage, and waits for that gate, if for any."""


class TrialRun:
    """Runs one trial in a fresh process of its runtime."""

    def __init__(
        self,
        journal: Journal,
        blobs: BlobStore,
        runtimes: RuntimeBook,
        quiet: Quiet,
        run_py: Path,
        *,
        surroundings: Surroundings,
        max_worker_bytes: int | None = None,
    ) -> None:
        self._max_worker_bytes = max_worker_bytes
        self._journal = journal
        self._blobs = blobs
        self._runtimes = runtimes
        self._quiet = quiet
        self._run_py = run_py
        self._surroundings = surroundings
        self._sysroot = surroundings.sysroot
        self._forks: ForkServers | None = None

    async def close(self) -> None:
        """End what is kept ready for further trials."""
        if self._forks is not None:
            await self._forks.close()

    async def prepare(self) -> None:
        """Know the runtimes; it may start a probe, so the device must not be held for a trial yet."""
        await self._runtimes.all()

    async def __call__(self, entry: Entry, emit: Emit) -> TrialResult:
        """Run the trial of `entry`; cancelling this kills its worker.

        Args:
            entry: A trial that the journal knows as running.
            emit: Is told every stage as it begins.

        Returns:
            Its result, not yet written.
        """
        trial = entry.trial
        if trial is None:
            raise ValueError(f"trial {entry.trial_id} has no spec any more")
        started = time.time()
        base = TrialResult(entry.trial_id, TrialOutcome.FAILED, Stage.LOAD, started=started, boot_id=boot_id())
        emit(entry, TrialState.RUNNING, Stage.LOAD)
        choice = _cpus(trial, self._sysroot)
        around = self._surroundings.around(trial, choice, self._on_wait(entry, started, emit))
        runtime = self._runtimes.runtime(trial.runtime_id)
        try:
            python, fault = self._runtimes.interpreter(trial.runtime_id)
            if python is None:
                result = replace(base, cause="runtime_unavailable", message=fault)
            else:
                async with around:
                    result = await self._run(entry, trial, python, started, emit, choice, around)
        except WorkerStartError as error:
            result = _interrupted(base, str(error), full_disk=error.full_disk)
        except OSError as error:
            sentence = f"the board could not keep the trial's files: {error.strerror or error}"
            result = _interrupted(base, sentence, full_disk=is_no_room(error))
        if trial.protocol.pin_threads and not choice.cpus:
            result = replace(result, tags=(*result.tags, "not_pinned"))
        return replace(
            around.told(result),
            started=started,
            finished=time.time(),
            boot_id=base.boot_id,
            harness_floor_s=runtime.harness_floor_s if runtime else None,
        )

    def _on_wait(self, entry: Entry, started: float, emit: Emit) -> Callable[[str], None]:
        """Writes down and tells which gate the trial waits for."""

        def note(gate: str) -> None:
            running = Running(0, 0, boot_id(), started, waits_for=gate)
            self._journal.set_running(entry.trial_id, running)
            emit(entry, TrialState.RUNNING, Stage.LOAD, gate)

        return note

    async def _run(
        self,
        entry: Entry,
        trial: Trial,
        python: str,
        started: float,
        emit: Emit,
        choice: CpuChoice,
        around: Around,
    ) -> TrialResult:
        from edgesweep_agent.device_facts import unified_memory

        work, samples_path = entry.folder / "work", entry.folder / "samples.bin"
        findings = Findings(trial.id, samples_path)
        tags: list[str] = []

        def on_event(event: dict[str, Any]) -> None:
            if not findings.take(event):
                return
            measuring = findings.stage is Stage.MEASURE
            around.measuring(measuring=measuring)
            if not measuring:
                self._quiet.set_timing(timing=False)
            emit(entry, TrialState.RUNNING, findings.stage)
            if measuring:
                self._quiet.set_timing(timing=True)

        def deadline_s() -> float:
            named = trial.deadlines_s
            return named.get(findings.stage.value, named.get("", DEFAULT_DEADLINE_S))

        async def in_worker(told: dict[str, Any], *, second: bool = False) -> Ending:
            return await self._worker(
                trial,
                python,
                told,
                folder=work,
                stderr_path=entry.folder / "stderr.txt",
                deadline_s=deadline_s,
                on_start=lambda pid: self._note_running(entry, pid, started),
                on_event=on_event,
                keep_stderr=second,
                on_tag=tags.append,
            )

        model = stage(trial, self._blobs, work)
        samples_path.unlink(missing_ok=True)
        oom_before = oom_count(self._sysroot)
        try:
            told = job(
                trial,
                model,
                self._blobs,
                samples_path,
                self._max_worker_bytes,
                runtime=self._runtimes.runtime(trial.runtime_id),
                plugins=self._runtimes.plugins(trial.runtime_id),
                cpus=choice.cpus,
                unified_memory=unified_memory(self._sysroot),
            )
            ending = await in_worker(told)
            if told["place_apart"] and is_passed(ending):
                # Here and not by the worker: one that dies while it loads the runtime has died in this stage.
                on_event({"event": "stage", "stage": Stage.PLACEMENT.value})
                rest = {"kind": "placement", "compiled": to_json(findings.result.compile)}
                ending = await in_worker({**told, **rest}, second=True)
        finally:
            around.measuring(measuring=False)
            self._quiet.set_timing(timing=False)
            remove_tree(work)
        words = store_stderr(entry.folder)
        first = trial.providers[0].name
        result = judge(findings, ending, words, oom_before, oom_count(self._sysroot), provider=first)
        if result.samples is not None:
            _flush(samples_path)
        return replace(result, tags=(*result.tags, *tags))

    async def _worker(
        self, trial: Trial, python: str, job: dict[str, Any], *, on_tag: Callable[[str], None], **listening: Any
    ) -> Ending:
        """A fresh process for a trial that is timed; one that times nothing may be a fork of a process that is ready."""
        if trial.protocol.untimed:
            # Late: most agents measure.
            from edgesweep_agent.fork_server import ForkServers, UnfitError

            if self._forks is None:
                self._forks = ForkServers(self._run_py)
            try:
                fingerprint = self._runtimes.fingerprint(trial.runtime_id)
                return await self._forks.run_worker(python, fingerprint, job, **listening)
            except UnfitError:
                on_tag("not_forked")
        else:
            # Nothing is measured while something else of ours lies in memory.
            await self.close()
        return await run_worker([python, "-I", str(self._run_py)], job, **listening)

    def _note_running(self, entry: Entry, pid: int, started: float) -> None:
        running = Running(pid=pid, start_ticks=start_ticks(pid) or 0, boot_id=boot_id(), started=started)
        self._journal.set_running(entry.trial_id, running)


def _cpus(trial: Trial, sysroot: Path) -> CpuChoice:
    """Where the trial's threads go: each caller of the session works too, so a pool of n starts n - 1 of them."""
    from edgesweep_agent.cpu_clusters import choose_cpus, find_clusters

    clusters = find_clusters(sysroot)
    threads = trial.session.intra_op_threads or sum(len(cluster.cpus) for cluster in clusters)
    choice = choose_cpus(clusters, threads + max(1, trial.protocol.concurrency) - 1)
    return choice if trial.protocol.pin_threads else replace(choice, cpus=())


def _interrupted(base: TrialResult, sentence: str, *, full_disk: bool) -> TrialResult:
    cause = "disk_full" if full_disk else "interrupted"
    return replace(base, outcome=TrialOutcome.INTERRUPTED, cause=cause, message=sentence)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
