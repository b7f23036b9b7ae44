"""This machine as a place to measure: the agent's own supervisor inside this process, without a server or a network.

Trials run as they do on a board: the same gates, worker, sampler and journal. This process does nothing while a trial takes
times but wait on the worker's pipe (docs/adr/0006).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from edgesweep_agent.device_facts import describe_device
from edgesweep_agent.faults import Fault
from edgesweep_agent.interpreters import Interpreter
from edgesweep_agent.probes import take_reading
from edgesweep_agent.server import Agent, StartError
from edgesweep_agent.settings import Settings
from edgesweep_agent.worker_process import WorkerStartError
from edgesweep_proto.blob import Blob
from edgesweep_proto.device import Runtime
from edgesweep_proto.trial import Trial, TrialEvent, TrialState

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.description import Description
from edgesweep.fleet.results import Fetched

#: What this machine is called in the names of cells, as the device that the quickstart measures on is.
DEVICE = "local"

_OWNER = "edgesweep measure"
#: A day: the agent's longest. Nobody else can ask for this lease, so it is never renewed.
_LEASE_S = 24 * 3600.0


class LocalBench:
    """Runs trials on this machine, one at a time; an async context manager that leaves no process behind.

    Args:
        state_dir: What is remembered from call to call: probed runtimes, and how cool the idle machine is.
        python: An interpreter whose environment holds an onnxruntime; by default this one.

    Raises:
        EdgesweepError: on entering: `machine_busy` while another process measures here, `usage` for an interpreter that
            cannot be run.
    """

    def __init__(self, state_dir: Path, python: str | None = None) -> None:
        self._state_dir = state_dir
        self._python = python
        self._linked: set[str] = set()
        self._fencing_number = 0

    async def __aenter__(self) -> Self:
        named = () if self._python is None else (Interpreter(program(self._python)),)
        settings = Settings(
            host="", port=0, state_dir=self._state_dir, tls_dir=None, name=DEVICE, runtimes=named, max_blob_bytes=0
        )
        try:
            self._agent = Agent(settings)
        except StartError as error:
            if isinstance(error.__cause__, BlockingIOError):
                sentence = "another `edgesweep measure` runs on this machine, and the two would disturb each other"
                raise EdgesweepError("machine_busy", sentence) from error
            raise EdgesweepError("machine_unfit", str(error)) from error
        try:
            await self._take_up()
        except BaseException:
            await self._agent.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._agent.stop()
        self._agent.blobs.remove(self._linked)

    async def describe(self) -> Description:
        """What this machine is, its runtimes (a new one is probed first) and one look at its state."""
        runtimes = await self._agent.runtimes.all()
        return Description(describe_device(DEVICE, self._state_dir), runtimes, take_reading())

    async def runtime(self) -> Runtime:
        """The runtime to measure with: that of the named interpreter, else of this one.

        Raises:
            EdgesweepError: `missing_extra` or `usage` when it has no onnxruntime that works, `machine_unfit` when the
                machine could not find out.
        """
        runtimes = await self._agent.runtimes.all()
        if not runtimes:
            raise EdgesweepError(
                "missing_extra",
                "measuring needs onnxruntime, which this Python does not have",
                remedy="pip install onnxruntime, or name an interpreter that has one with --runtime PYTHON",
            )
        # What was named comes first; this process's own Python may follow.
        chosen = runtimes[0]
        try:
            python, fault = self._agent.runtimes.interpreter(chosen.id)
        except WorkerStartError as error:
            raise EdgesweepError("machine_unfit", str(error)) from error
        if python is None:
            why = (chosen.fault or fault).splitlines()[0]
            raise EdgesweepError(
                "usage",
                f"{self._python or sys.executable} cannot be measured with: {why}",
                remedy="name an interpreter with a working onnxruntime: --runtime PYTHON",
            )
        return chosen

    async def run(
        self, trial: Trial, path_of: Callable[[str], Path], on_event: Callable[[TrialEvent], None]
    ) -> Fetched:
        """Run one trial to its end; cancelling this ends its worker.

        Args:
            trial: Which; its id is new.
            path_of: Where the bytes of a digest lie.
            on_event: Is told every step. The one into `measure` is the last before its times are taken.

        Raises:
            EdgesweepError: as the agent refuses a trial, under the same codes.
        """
        agent = self._agent
        try:
            self._link(trial.blobs, path_of)
            await agent.supervisor.submit(trial, self._fencing_number, _OWNER)
        except Fault as fault:
            raise EdgesweepError(fault.code, str(fault)) from fault
        except OSError as error:
            raise EdgesweepError("machine_unfit", f"the trial's files cannot be kept: {error}") from error
        async for event in agent.events.watch(_OWNER, trial.run_id, 0):
            if event.trial_id != trial.id:
                continue
            on_event(event)
            if event.state is TrialState.FINISHED:
                break
        (entry,) = (entry for entry in agent.journal.finished(_OWNER) if entry.trial_id == trial.id)
        result, samples = agent.journal.fetchable(entry)
        agent.journal.acknowledge([trial.id], _OWNER)
        return Fetched(entry.cursor, result, samples)

    async def _take_up(self) -> None:
        """End what a killed call has left, forget its results, and take the lease."""
        agent = self._agent
        await agent.take_up()
        agent.journal.acknowledge([entry.trial_id for entry in agent.journal.finished(_OWNER)], _OWNER)
        shutil.rmtree(self._state_dir / "blobs", ignore_errors=True)
        lease, _ = agent.leases.acquire(_OWNER, _OWNER, ttl_s=_LEASE_S)
        self._fencing_number = lease.fencing_number

    def _link(self, blobs: Iterable[Blob], path_of: Callable[[str], Path]) -> None:
        """Give the agent the files under its own names; their bytes are not copied where the folders share a disk."""
        for blob in blobs:
            if blob.sha256 in self._linked:
                continue
            target = self._agent.blobs.path(blob.sha256)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path_of(blob.sha256), target)
            except OSError:
                # Another disk, or one without links.
                shutil.copyfile(path_of(blob.sha256), target)
            self._linked.add(blob.sha256)


def program(python: str) -> str:
    """The absolute path of an interpreter that was named by a path, or by a bare name to be found on PATH.

    Raises:
        EdgesweepError: `usage` when there is no such program.
    """
    found = shutil.which(os.path.expanduser(python))  # noqa: PTH111 - the text may be a bare command
    if found is None:
        raise EdgesweepError(
            "usage",
            f"{python!r} is no program that can be run",
            remedy="give the interpreter of an environment that holds onnxruntime, such as env/bin/python",
        )
    return str(Path(found).absolute())
