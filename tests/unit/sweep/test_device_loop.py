"""The loop against a scripted device: a client whose faults are written down, over the real ledger and store."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.description import Description
from edgesweep.fleet.inventory import entry_of
from edgesweep.fleet.results import Fetched
from edgesweep.plan.preset import PRESETS
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.store.records import Outcome, RunRecord
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.device_loop import DeviceLoop, LoopSettings
from edgesweep.sweep.events import DeviceState, TrialProgressed
from edgesweep.sweep.ledger import Ledger
from edgesweep.sweep.work import RETRIES, group_cells, variant_key
from edgesweep_proto.device import Device, Reading
from edgesweep_proto.lease import Lease
from edgesweep_proto.trial import Stage, TrialEvent, TrialOutcome, TrialResult, TrialState

DEVICE = Device("pi", "0", 1, "boot", "", "", "", "", "", 1, (0,), 1, 1, "", "", 1.0, (), emulated=False, hostname="")


class Board:
    """What a scripted board remembers over sessions. `faults` are raised, in order, at the call they name."""

    def __init__(self, **faults: list[EdgesweepError | None]) -> None:
        self.faults = faults
        self.outcomes: list[TrialOutcome] = []
        self.results: dict[str, TrialResult] = {}
        self.submitted: list[str] = []
        self.pushed: list[set[str]] = []
        self.busy = 0
        self.most_busy = 0
        self.sessions = 0
        self.waits: tuple[str, ...] = ()

    def fail(self, call: str) -> None:
        script = self.faults.get(call, [])
        fault = script.pop(0) if script else None
        if fault is not None:
            raise fault


class ScriptedClient:
    """A `DeviceClient` that talks to a `Board` in this process: only faults that no real link gives on demand."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.events: asyncio.Queue[TrialEvent] = asyncio.Queue()

    async def __aenter__(self):
        self.board.sessions += 1
        return self

    async def __aexit__(self, *_):
        return None

    async def describe(self):
        self.board.fail("describe")
        return Description(DEVICE, (), Reading(0.0))

    async def acquire(self, owner, *, ttl_s, priority=0, purpose=""):
        self.board.fail("acquire")
        return Lease("l", owner, 1, 0, ttl_s, ttl_s)

    async def renew(self, number, ttl_s):
        return Lease("l", "o", number, 0, ttl_s, ttl_s)

    async def release(self, number):
        self.board.fail("release")

    async def push(self, blobs, path_of, number):
        self.board.fail("push")
        self.board.pushed.append({blob.sha256 for blob in blobs})
        return 0

    async def submit(self, trial, number):
        self.board.fail("submit")
        if trial.id not in self.board.results:
            self.board.submitted.append(trial.id)
            self.board.busy += 1
            self.board.most_busy = max(self.board.most_busy, self.board.busy)
            outcome = self.board.outcomes.pop(0) if self.board.outcomes else TrialOutcome.FAILED
            cause = {TrialOutcome.FAILED: "crash", TrialOutcome.INTERRUPTED: "interrupted"}.get(outcome, "")
            self.board.results[trial.id] = TrialResult(trial.id, outcome, Stage.LOAD, cause)
        for gate in self.board.waits:
            self.events.put_nowait(TrialEvent(1, trial.id, TrialState.RUNNING, Stage.LOAD, 0.0, waits_for=gate))
        self.events.put_nowait(TrialEvent(1, trial.id, TrialState.FINISHED, Stage.LOAD, 0.0))
        return TrialState.QUEUED

    async def cancel(self, trial_id, number):
        return TrialState.FINISHED

    async def watch(self, run_id, after_cursor=0):
        self.board.fail("watch")
        while True:
            yield await self.events.get()

    async def fetch(self, run_id, after_cursor=0):
        self.board.fail("fetch")
        for result in list(self.board.results.values()):
            yield Fetched(1, result, b"")

    async def acknowledge(self, ids):
        for trial_id in ids:
            del self.board.results[trial_id]
            self.board.busy -= 1
        return tuple(ids)

    async def telemetry(self, interval_s):
        if False:
            yield


@pytest.fixture
def sweep(tmp_path, make_cell, make_export):
    """Runs loops over boards with a real store; gives the stored ends by cell name."""
    opened = []

    async def run(*boards: Board, opsets=(17, 18), budget_s=0.3, shared=False, run_id="r", resume=False, told=None):
        names = [f"pi{index}" if index else "pi" for index in range(len(boards))]
        cells = [make_cell(opset, device=name) for name in names for opset in opsets]
        letters = dict(zip(opsets, "abcdef", strict=False))
        exports = {variant_key(cell): make_export(cell.variant.opset, letters[cell.variant.opset]) for cell in cells}
        store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path / "samples")
        opened.append(store)
        view = None
        if resume:
            view = store.load_run(run_id)
        else:
            store.create_run(RunRecord(run_id, "n", "d", "", {}, ".", 0.0), cells)
        writer = StoreWriter(store)
        trials = {record.cell.name: record.trials for record in view.cells} if view else {}
        ledger = Ledger(run_id, cells, store, writer, (lambda _: None) if told is None else told.append, trials=trials)
        turn = asyncio.Lock() if shared else None
        loops = [
            DeviceLoop(
                entry_of(name, "127.0.0.1:1"),
                group_cells([cell for cell in cells if cell.device == name], exports),
                ledger,
                open_client=lambda _entry, board=board: ScriptedClient(board),
                path_of=Path,
                preset=PRESETS["smoke"],
                fallback=FallbackPolicy(),
                seed=1,
                settings=LoopSettings("me", budget_s=budget_s, retry_pause_s=0.001, goodbye_s=0.1),
                turn=turn,
            )
            for name, board in zip(names, boards, strict=True)
        ]
        try:
            async with asyncio.timeout(30):
                await asyncio.gather(*(loop.run() for loop in loops))
        finally:
            await writer.close()
        return {record.cell.name: record.end for record in store.load_run(run_id).cells}

    yield run
    for store in opened:
        with contextlib.suppress(EdgesweepError):
            store.close()


def gone() -> EdgesweepError:
    return EdgesweepError("unreachable", "the link is down")


async def test_what_the_next_trials_need_is_uploaded_at_one_time_as_far_as_it_is_small(sweep, monkeypatch) -> None:
    board, large = Board(), Board()
    await sweep(board, opsets=(17, 18, 20))
    (together,) = board.pushed
    assert len(together) == 3  # three models, and their one input, which is called like one of them
    monkeypatch.setattr("edgesweep.sweep.supply.TOGETHER_BYTES", 15)
    await sweep(large, opsets=(17, 18, 20), run_id="s")
    assert len(large.pushed) > 1
    assert set.union(*large.pushed) == together
    assert sum(map(len, large.pushed)) == len(together)


async def test_every_cell_ends_once(sweep) -> None:
    board = Board()
    ends = await sweep(board)
    assert [end.outcome for end in ends.values()] == [Outcome.FAILED, Outcome.FAILED]
    assert max(Counter(board.submitted).values()) == 1


@pytest.mark.parametrize("call", ["describe", "acquire", "push", "submit", "fetch", "watch"])
async def test_a_link_that_breaks_once_anywhere_changes_nothing(sweep, call) -> None:
    board = Board(**{call: [gone()]})
    ends = await sweep(board, budget_s=20)
    assert {end.outcome for end in ends.values()} == {Outcome.FAILED}
    assert max(Counter(board.submitted).values()) == 1


@pytest.mark.parametrize("call", ["describe", "push", "submit", "fetch"])
async def test_a_link_that_always_breaks_at_one_call_ends_as_lost(sweep, call) -> None:
    ends = await sweep(Board(**{call: [gone() for _ in range(10_000)]}))
    assert {(end.outcome, end.cause) for end in ends.values()} == {(Outcome.LOST, "device_unreachable")}


async def test_a_trial_that_waits_for_its_board_says_what_for(sweep) -> None:
    board, told = Board(), []
    board.waits = ("idle", "thermal", "a newer gate")
    await sweep(board, opsets=(17,), told=told)
    notes = [event.note for event in told if isinstance(event, DeviceState) and event.state == "waiting"]
    assert notes == ["until nothing else uses the device", "until the device has cooled down", "a newer gate"]
    assert not [event for event in told if isinstance(event, TrialProgressed)]


async def test_a_push_that_always_breaks_does_not_go_on_for_ever(sweep) -> None:
    board = Board(push=[gone() for _ in range(10_000)])
    await sweep(board, budget_s=3600)
    assert board.sessions < 20


@pytest.mark.parametrize("code", ["disk_full", "blob_missing", "digest_mismatch"])
async def test_a_refusal_is_tried_again_before_its_cell_is_lost(sweep, code) -> None:
    once = await sweep(Board(push=[EdgesweepError(code)]))
    assert {end.outcome for end in once.values()} == {Outcome.FAILED}


async def test_a_refusal_that_stays_loses_only_its_cells_with_its_code(sweep) -> None:
    ends = await sweep(Board(push=[EdgesweepError("disk_full") for _ in range(100)]))
    assert {(end.outcome, end.cause) for end in ends.values()} == {(Outcome.LOST, "disk_full")}


async def test_an_interrupted_trial_is_run_again_as_the_next_attempt(sweep) -> None:
    board = Board()
    board.outcomes = [TrialOutcome.INTERRUPTED, TrialOutcome.FAILED]
    ends = await sweep(board, opsets=(18,))
    assert [end.outcome for end in ends.values()] == [Outcome.FAILED]
    assert [trial_id.rsplit("/", 1)[1] for trial_id in board.submitted] == ["0", "1"]


async def test_what_was_lost_to_retries_has_a_new_budget_when_resumed(sweep) -> None:
    board = Board()
    board.outcomes = [TrialOutcome.INTERRUPTED] * (RETRIES + 1)
    ends = await sweep(board, opsets=(18,))
    assert [(end.outcome, end.cause) for end in ends.values()] == [(Outcome.LOST, "interrupted")]
    ends = await sweep(board, opsets=(18,), resume=True)
    assert [end.outcome for end in ends.values()] == [Outcome.FAILED]
    assert len(board.submitted) == RETRIES + 2


async def test_trouble_of_the_store_is_not_blamed_on_the_device(sweep, monkeypatch) -> None:
    def full(*_):
        raise EdgesweepError("store_unusable", "the disk is full")

    monkeypatch.setattr(Store, "save_trial", full)
    with pytest.raises(EdgesweepError, match="the disk is full"):
        await sweep(Board())


async def test_agents_on_one_board_take_turns(sweep, monkeypatch) -> None:
    first, second = Board(), Board()
    alone = []
    submit = ScriptedClient.submit

    async def watched(self, trial, number):
        alone.append(first.busy + second.busy == 0)
        return await submit(self, trial, number)

    monkeypatch.setattr(ScriptedClient, "submit", watched)
    ends = await sweep(first, second, shared=True)
    assert {end.outcome for end in ends.values()} == {Outcome.FAILED}
    assert alone == [True] * 4


async def test_a_board_of_its_own_is_kept_supplied(sweep) -> None:
    board = Board()
    await sweep(board, opsets=(17, 18, 20))
    assert board.most_busy >= 1
