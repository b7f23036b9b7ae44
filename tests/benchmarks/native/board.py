"""A real agent on loopback that measures one model: the way every trial of a run goes, without a plan around it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.local_agent import LocalAgent
from edgesweep.stats.series import look_at
from edgesweep.stats.summary import summarise
from edgesweep.stats.verdict import judge
from edgesweep.store.records import TrialRecord
from edgesweep.store.samples import decode_samples
from edgesweep.sweep.outcome import facts_of
from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.trial import Protocol, Provider, SessionOptions, Tolerance, Trial, TrialOutcome, TrialState
from native.models import BenchModel

NAME = "bench"


class Board:
    """An agent that holds one model and its inputs, and the lease on it."""

    def __init__(self, client: DeviceClient, fencing_number: int, runtime_id: str, template: Trial) -> None:
        self._client = client
        self._fencing_number = fencing_number
        self._template = dataclasses.replace(template, runtime_id=runtime_id)
        self._cursor = 0
        self._count = 0

    async def trial(self) -> TrialRecord:
        """One trial, from submit to acknowledge, with the figures that a run would compute from its samples."""
        trial = dataclasses.replace(self._template, id=f"bench/key/{self._count}/0", round=self._count)
        self._count += 1
        await self._client.submit(trial, self._fencing_number)
        async with contextlib.aclosing(self._client.watch(trial.run_id, self._cursor)) as events:
            async for event in events:
                self._cursor = event.cursor
                if event.trial_id == trial.id and event.state is TrialState.FINISHED:
                    break
        (fetched,) = [item async for item in self._client.fetch(trial.run_id)]
        await self._client.acknowledge([trial.id])
        result = fetched.result
        if result.outcome is not TrialOutcome.PASS or result.samples is None:
            raise SystemExit(f"a trial ended as {result.outcome}: {result.cause} {result.message} {result.evidence}")
        measured = decode_samples(fetched.samples)[result.samples.warmup_count :]
        series = look_at(measured, result.samples.batch)
        latency = summarise(measured[series.head :], result.samples.batch)
        return TrialRecord(trial.id, trial.cell_name, trial.round, trial.attempt, result, latency, series=series)


def verdict_of(trials: Sequence[TrialRecord], protocol: Protocol, threads: int = 1) -> tuple[str, tuple[str, ...]]:
    """The verdict on a cell of these trials, and the reasons against it.

    As a run gives it, but for the tag `shared_host`: this process sleeps while a trial goes on.
    """
    verdict, reasons = judge([facts_of(trial, (), protocol, threads) for trial in trials], planned=len(trials))
    return str(verdict), reasons


@contextlib.asynccontextmanager
async def board(model: BenchModel, protocol: Protocol, folder: Path, threads: int = 1) -> AsyncIterator[Board]:
    """An agent process in `folder` that holds `model`; it ends with the context."""
    blobs = folder / "blobs"
    blobs.mkdir()

    def keep(content: bytes) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return Blob(digest, len(content))

    def tensor(name: str, array: np.ndarray) -> Tensor:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        return Tensor(name, keep(file.getvalue()), str(array.dtype), array.shape)

    trial = Trial(
        id="",
        run_id="bench",
        cell_key="key",
        cell_name=f"{NAME}/{model.name}/none-opset17-asis-fp32/plain/cpu/example/t{threads}",
        round=0,
        attempt=0,
        artifact=Manifest(keep(model.path.read_bytes())),
        inputs=tuple(tensor(name, array) for name, array in model.inputs.items()),
        references=(),
        tolerance=Tolerance(),
        runtime_id="",
        providers=(Provider("CPUExecutionProvider"),),
        session=SessionOptions(intra_op_threads=threads),
        protocol=protocol,
        deadlines_s={"": 120.0},
    )
    async with LocalAgent() as agent:
        address = await agent.start(NAME, folder / "state", None)
        entry = DeviceEntry(NAME, address, {}, insecure=True)
        async with DeviceClient(entry, None, controller_version="0.1.0") as client:
            runtime = (await client.describe()).runtimes[0]
            lease = await client.acquire(NAME, ttl_s=7200.0)
            await client.push(trial.blobs, blobs.joinpath, lease.fencing_number)
            yield Board(client, lease.fencing_number, runtime.id, trial)
