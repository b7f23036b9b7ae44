"""A trial ends once, whatever comes at whatever moment of its start: the real journal, supervisor and lease."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from edgesweep_agent import durable, trials
from edgesweep_agent import journal as journal_module
from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.durable import is_no_room
from edgesweep_agent.events import EventRing
from edgesweep_agent.journal import Entry, Journal, Running
from edgesweep_agent.leases import LeaseBook
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.trials import Supervisor
from edgesweep_proto.trial import Stage, Trial, TrialOutcome, TrialResult, TrialState

MakeTrial = Callable[..., Trial]


class StepRun:
    """A trial of a few steps of the event loop, so that every one of them can be met by something.

    It tells the journal of its worker as the real one does.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def prepare(self) -> None:
        await asyncio.sleep(0)

    async def __call__(self, entry: Entry, emit: Callable[[Entry, TrialState, Stage], None]) -> TrialResult:
        for stage in (Stage.LOAD, Stage.MEASURE):
            self._journal.set_running(entry.trial_id, Running(7, 8, "this boot", 9.0))
            emit(entry, TrialState.RUNNING, stage)
            await asyncio.sleep(0)
        return TrialResult(entry.trial_id, TrialOutcome.PASS, Stage.PLACEMENT)


class Board:
    """An agent's parts without its server and its worker processes."""

    def __init__(self, folder: Path, model: bytes) -> None:
        self.journal = Journal(folder)
        self.leases = LeaseBook(folder / "lease.json")
        self.quiet = Quiet()
        self.events = EventRing(self.journal.life, self.quiet)
        blobs = BlobStore(folder / "blobs")
        run: Any = StepRun(self.journal)
        self.supervisor = Supervisor(
            self.journal, self.leases, blobs, self.events, self.quiet, run, boot=lambda: "this boot"
        )
        from hashlib import sha256

        path = blobs.path(sha256(model).hexdigest())
        path.parent.mkdir()
        path.write_bytes(model)
        self.number = self.lease("anna")

    def lease(self, owner: str, priority: int = 0) -> int:
        return self.leases.acquire(owner, owner, ttl_s=600, priority=priority)[0].fencing_number

    def ends(self) -> list[str]:
        return [event.trial_id for event, _, _ in self.events._events if event.state is TrialState.FINISHED]


async def cancel(board: Board, trial: Trial) -> None:
    assert await board.supervisor.cancel(trial.id, board.number, "anna") is TrialState.FINISHED


async def release(board: Board, _trial: Trial) -> None:
    board.leases.release(board.number, "anna")
    await board.supervisor.lease_released()


async def take_over(board: Board, _trial: Trial) -> None:
    number, superseded = board.lease("ben", priority=1), None
    await board.supervisor.lease_granted(number, superseded)


async def come_back(board: Board, trial: Trial) -> None:
    granted, superseded = board.leases.acquire("anna", "anna", ttl_s=600)
    await board.supervisor.lease_granted(granted.fencing_number, superseded)
    await board.supervisor.cancel(trial.id, granted.fencing_number, "anna")


@pytest.mark.parametrize("intrude", [cancel, release, take_over, come_back])
async def test_every_moment_of_a_start_gives_one_result(
    tmp_path: Path,
    make_trial: MakeTrial,
    build_model: Callable[..., bytes],
    intrude: Callable[[Board, Trial], Awaitable[None]],
) -> None:
    outcomes = []
    for steps in count():
        board = Board(tmp_path / str(steps), build_model())
        trial = make_trial()
        await board.supervisor.submit(trial, board.number, "anna")
        for _ in range(steps):
            await asyncio.sleep(0)
        over = bool(board.ends())
        await intrude(board, trial)
        await until(board.ends)
        for _ in range(10):  # whatever else were still to come
            await asyncio.sleep(0)
        assert board.ends() == [trial.id]
        (entry,) = board.journal.finished("anna")
        assert entry.cursor == 1, "a result was written and overwritten"
        outcomes.append(board.journal.result(entry).outcome)
        assert [Journal(tmp_path / str(steps)).get(trial.id)] == [entry]
        await board.supervisor.stop()
        if over:
            break
    assert outcomes[0] is TrialOutcome.CANCELLED
    assert outcomes[-1] is TrialOutcome.PASS
    assert set(outcomes) == {TrialOutcome.CANCELLED, TrialOutcome.PASS}
    assert len(outcomes) > 5, "the start has moments in between"


async def until(seen: Callable[[], object]) -> None:
    for _ in range(1000):
        if seen():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that the disk has no room for; and no long wait until the next attempt."""
    refused: set[str] = set()
    write = durable.write_json

    def write_json(path: Path, data: Any, *, flush: bool = True) -> None:
        if path.name in refused:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, data, flush=flush)

    monkeypatch.setattr(journal_module, "write_json", write_json)
    monkeypatch.setattr(trials, "RETRY_S", 0.01)
    return refused


async def test_a_queue_that_the_disk_stops_waits_and_goes_on(
    tmp_path: Path,
    make_trial: MakeTrial,
    build_model: Callable[..., bytes],
    full_disk: set[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(trials, "RETRY_S", 3600.0)
    board = Board(tmp_path, build_model())
    full_disk.add("running.json")
    trial = make_trial()
    await board.supervisor.submit(trial, board.number, "anna")
    await until(lambda: caplog.records)
    for _ in range(200):
        await asyncio.sleep(0)
    (record,) = caplog.records
    assert "goes on in 3600 s" in record.getMessage()
    assert [entry.trial_id for entry in board.journal.in_state(TrialState.QUEUED)] == [trial.id]
    full_disk.clear()
    await board.supervisor.submit(make_trial(number=1), board.number, "anna")
    await until(lambda: len(board.ends()) == 2)
    results = [board.journal.result(entry).outcome for entry in board.journal.finished("anna")]
    assert results == [TrialOutcome.PASS, TrialOutcome.PASS]
    await board.supervisor.stop()


async def test_a_cancel_that_waits_for_room_does_not_end_a_trial_twice(
    tmp_path: Path, make_trial: MakeTrial, build_model: Callable[..., bytes], full_disk: set[str]
) -> None:
    board = Board(tmp_path, build_model())
    trial = make_trial()
    full_disk.add("result.json")
    await board.supervisor.submit(trial, board.number, "anna")
    first = asyncio.ensure_future(board.supervisor.cancel(trial.id, board.number, "anna"))
    second = asyncio.ensure_future(board.supervisor.cancel(trial.id, board.number, "anna"))
    await until(lambda: board.journal.in_state(TrialState.RUNNING))
    full_disk.clear()
    assert await asyncio.wait_for(first, 30) is TrialState.FINISHED
    assert await asyncio.wait_for(second, 30) is TrialState.FINISHED
    assert board.ends() == [trial.id]
    await board.supervisor.stop()


async def test_a_trial_that_the_disk_has_no_room_for_is_not_queued(
    tmp_path: Path, make_trial: MakeTrial, build_model: Callable[..., bytes], full_disk: set[str]
) -> None:
    board = Board(tmp_path, build_model())
    full_disk.add("spec.json")
    trial = make_trial()
    with pytest.raises(OSError, match="No space left") as refused:
        await board.supervisor.submit(trial, board.number, "anna")
    assert is_no_room(refused.value)
    assert board.journal.get(trial.id) is None
    full_disk.clear()
    await board.supervisor.submit(trial, board.number, "anna")
    await until(board.ends)
    assert Journal(tmp_path).finished("anna")
    await board.supervisor.stop()


async def test_an_agent_on_a_full_disk_stops_when_told(
    tmp_path: Path, make_trial: MakeTrial, build_model: Callable[..., bytes], full_disk: set[str]
) -> None:
    board = Board(tmp_path, build_model())
    full_disk.add("result.json")
    await board.supervisor.submit(make_trial(), board.number, "anna")
    await until(lambda: board.journal.in_state(TrialState.RUNNING))
    await asyncio.wait_for(board.supervisor.stop(), 30)
    assert Journal(tmp_path).in_state(TrialState.RUNNING)
