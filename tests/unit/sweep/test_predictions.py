"""Predicted failures in a run: one cell proves a limit for all, whatever is cut, lost, shared or known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from edgesweep.compat.prediction import PredictionState
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.description import Description
from edgesweep.fleet.inventory import entry_of
from edgesweep.fleet.results import Fetched
from edgesweep.plan.preset import PRESETS
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.store.records import CellEnd, Outcome, RunRecord
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.device_loop import DeviceLoop, LoopSettings
from edgesweep.sweep.events import Notice
from edgesweep.sweep.ledger import Ledger
from edgesweep.sweep.run_verdict import judge_run
from edgesweep.sweep.work import RETRIES, group_cells, variant_key
from edgesweep_proto.device import Device, ProviderProbe, Reading, Runtime
from edgesweep_proto.lease import Lease
from edgesweep_proto.trial import Stage, Trial, TrialEvent, TrialOutcome, TrialResult, TrialState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DEVICE = Device("pi", "0", 1, "boot", "", "", "", "", "", 1, (0,), 1, 1, "", "", 1.0, (), emulated=False, hostname="")
CPU = "CPUExecutionProvider"
#: A runtime that says it takes opsets up to 19 and IR versions up to 10.
OLD = Runtime(
    "1.32.0", "", "1.16.3", "", "3.10", "1", (CPU,), (ProviderProbe(CPU, 3),), max_opset=19, max_ir_version=10
)
REFUSED = (TrialOutcome.FAILED, Stage.LOAD, "opset_unsupported")
PASSED = (TrialOutcome.FAILED, Stage.FIRST_RUN, "crash")
CUT = (TrialOutcome.INTERRUPTED, Stage.LOAD, "interrupted")

Answer = tuple[TrialOutcome, Stage, str]


def honest(trial: Trial) -> Answer:
    """A runtime that is as its limits say; what it can load crashes later, which is no prediction's business."""
    opset = int(trial.cell_name.split("-opset")[1].split("-")[0])
    return REFUSED if opset > OLD.max_opset else PASSED


@dataclass
class Agent:
    """An agent's journal in this process; `answer` says how each trial ends. It lives on when its controller dies."""

    answer: Callable[[Trial], Answer] = honest
    results: dict[str, TrialResult] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    steps: int = 0
    dies_at: int | None = None

    def client(self) -> Client:
        return Client(self)

    def step(self) -> None:
        """One more call that changes something; the controller may die at any of them."""
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise KilledError
        self.steps += 1


class Client:
    """A `DeviceClient` that talks to an `Agent` in this process."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.events: asyncio.Queue[TrialEvent] = asyncio.Queue()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def describe(self):
        return Description(DEVICE, (OLD,), Reading(0.0))

    async def acquire(self, owner, *, ttl_s, priority=0, purpose=""):
        return Lease("l", owner, 1, 0, ttl_s, ttl_s)

    async def renew(self, number, ttl_s):
        return Lease("l", "o", number, 0, ttl_s, ttl_s)

    async def release(self, number):
        return None

    async def push(self, blobs, path_of, number):
        return 0

    async def submit(self, trial, number):
        self.agent.step()
        if trial.id not in self.agent.results:
            self.agent.tried.append(trial.cell_name)
            outcome, stage, cause = self.agent.answer(trial)
            self.agent.results[trial.id] = TrialResult(trial.id, outcome, stage, cause)
        self.events.put_nowait(TrialEvent(1, trial.id, TrialState.FINISHED, Stage.LOAD, 0.0))
        return TrialState.QUEUED

    async def cancel(self, trial_id, number):
        return TrialState.FINISHED

    async def watch(self, run_id, after_cursor=0):
        while True:
            yield await self.events.get()

    async def fetch(self, run_id, after_cursor=0):
        for result in list(self.agent.results.values()):
            yield Fetched(1, result, b"")

    async def acknowledge(self, ids):
        self.agent.step()
        for trial_id in ids:
            del self.agent.results[trial_id]
        return tuple(ids)

    async def telemetry(self, interval_s):
        if False:
            yield


class KilledError(Exception):
    """The controller dies at this point."""


@dataclass
class Run:
    """What a run left behind."""

    ends: dict[str, CellEnd | None]
    notices: list[str]
    store: Store

    def of(self, opset: int) -> CellEnd:
        (end,) = [end for name, end in self.ends.items() if f"-opset{opset}-" in name]
        assert end is not None
        return end

    @property
    def states(self) -> dict[int, tuple[str, str | None]]:
        """Outcome and prediction by opset."""
        return {
            int(name.split("-opset")[1].split("-")[0]): (
                end.outcome.value,
                end.prediction.state.value if end.prediction else None,
            )
            for name, end in self.ends.items()
            if end is not None
        }


@pytest.fixture
def run_cells(tmp_path, make_cell, make_export):
    """Runs a device's loop over a real store; `letters` tell which opsets share one artifact."""
    opened = []

    async def run(
        agent: Agent,
        opsets=(17, 20, 21, 22),
        *,
        run_id="r",
        skip="proven",
        letters="",
        known=(),
        resume=False,
        runtime=OLD,
        preset="smoke",
        folder=tmp_path,
    ) -> Run:
        cells = [make_cell(opset) for opset in opsets]
        digests = dict(zip(opsets, letters or "abcdefghijkl", strict=False))
        exports = {variant_key(cell): make_export(cell.variant.opset, digests[cell.variant.opset]) for cell in cells}
        store = Store.open(f"sqlite:///{folder / 'store.sqlite'}", folder / "samples")
        opened.append(store)
        view = store.load_run(run_id) if resume else None
        if view is None:
            store.create_run(RunRecord(run_id, "n", "d", "", {}, ".", 0.0), cells)
        writer = StoreWriter(store)
        notices: list[str] = []
        ledger = Ledger(
            run_id,
            cells,
            store,
            writer,
            lambda event: notices.append(event.text) if isinstance(event, Notice) else None,
            trials={record.cell.name: record.trials for record in view.cells} if view else {},
            ended={
                record.cell.name: record.end.outcome
                for record in (view.cells if view else ())
                if record.end is not None and record.end.outcome is not Outcome.LOST
            },
            known={cell.name: "tracker" for cell in cells if cell.variant.opset in known},
        )
        loop = DeviceLoop(
            entry_of("pi", "127.0.0.1:1"),
            group_cells(cells, exports),
            ledger,
            open_client=lambda _: agent.client(),
            path_of=Path,
            preset=PRESETS[preset],
            fallback=FallbackPolicy(),
            seed=1,
            settings=LoopSettings("me", budget_s=0.3, retry_pause_s=0.001, goodbye_s=0.1),
            runtimes=(runtime,),
            skip=skip,
        )
        try:
            async with asyncio.timeout(60):
                with contextlib.suppress(KilledError, ExceptionGroup):
                    await loop.run()
        finally:
            await writer.close()
        return Run({record.cell.name: record.end for record in store.load_run(run_id).cells}, notices, store)

    yield run
    for store in opened:
        with contextlib.suppress(EdgesweepError):
            store.close()


def opsets_of(names) -> list[int]:
    return [int(name.split("-opset")[1].split("-")[0]) for name in names]


async def test_one_cell_proves_the_limit_for_all_others(run_cells) -> None:
    agent = Agent()
    run = await run_cells(agent)
    assert run.states == {
        17: ("failed", None),
        20: ("failed", "proven"),
        21: ("skipped", "proven"),
        22: ("skipped", "proven"),
    }
    assert opsets_of(agent.tried) == [20, 17]
    proof, skipped = run.of(20), run.of(22)
    assert (proof.cause, proof.stage, proof.prediction.by) == ("opset_unsupported", "load", proof.cell_name)
    assert (skipped.cause, skipped.prediction.by) == ("predicted_failure", proof.cell_name)
    assert skipped.prediction.cause == "opset_unsupported"
    assert "opset 22" in skipped.message
    assert proof.cell_name in skipped.message
    assert run.notices == []


async def test_the_mildest_offender_is_tried_since_it_says_most(run_cells) -> None:
    agent = Agent()
    await run_cells(agent, opsets=(23, 21, 20, 22))
    assert opsets_of(agent.tried) == [20]


async def test_skip_predicted_tries_none(run_cells) -> None:
    agent = Agent()
    run = await run_cells(agent, skip="predicted")
    assert run.states == dict.fromkeys((20, 21, 22), ("skipped", "predicted")) | {17: ("failed", None)}
    assert opsets_of(agent.tried) == [17]
    assert run.of(20).prediction.by == ""


async def test_skip_nothing_tries_all_and_says_what_came_true(run_cells) -> None:
    agent = Agent(lambda trial: PASSED if "opset21" in trial.cell_name else honest(trial))
    run = await run_cells(agent, skip="nothing")
    assert run.states == {
        17: ("failed", None),
        20: ("failed", "proven"),
        21: ("failed", "refuted"),
        22: ("failed", "proven"),
    }
    assert run.notices == []


async def test_a_wrong_prediction_is_refuted_and_all_are_run(run_cells) -> None:
    agent = Agent(lambda _: PASSED)
    run = await run_cells(agent)
    assert run.states == dict.fromkeys((20, 21, 22), ("failed", "refuted")) | {17: ("failed", None)}
    assert {end.cause for end in run.ends.values()} == {"crash"}
    assert sorted(opsets_of(agent.tried)) == [17, 20, 21, 22]
    (notice,) = run.notices
    assert "was wrong" in notice
    assert "2 more cells" in notice


async def test_the_predicted_cause_at_another_stage_is_no_proof(run_cells) -> None:
    agent = Agent(lambda _: (TrialOutcome.FAILED, Stage.FIRST_RUN, "opset_unsupported"))
    run = await run_cells(agent)
    assert run.states[21] == ("failed", "refuted")


async def test_a_lost_representative_proves_nothing_and_the_next_is_tried(run_cells) -> None:
    agent = Agent(lambda trial: CUT if "opset20" in trial.cell_name else honest(trial))
    run = await run_cells(agent)
    assert run.states == {
        17: ("failed", None),
        20: ("lost", None),
        21: ("failed", "proven"),
        22: ("skipped", "proven"),
    }
    assert opsets_of(agent.tried).count(20) == RETRIES + 1


async def test_what_was_lost_is_skipped_on_resume_since_another_has_proven_it(run_cells) -> None:
    await run_cells(Agent(lambda trial: CUT if "opset20" in trial.cell_name else honest(trial)))
    again = Agent()
    run = await run_cells(again, resume=True)
    assert run.states[20] == ("skipped", "proven")
    assert again.tried == []


async def test_cells_with_one_artifact_are_one_group_and_end_together(run_cells) -> None:
    agent = Agent()
    run = await run_cells(agent, opsets=(20, 21, 22, 23), letters="aabb")
    assert run.states == {
        20: ("failed", "proven"),
        21: ("failed", "proven"),
        22: ("skipped", "proven"),
        23: ("skipped", "proven"),
    }
    assert (run.of(21).same_as, run.of(21).prediction.by) == (run.of(20).cell_name,) * 2
    assert opsets_of(agent.tried) == [20]


async def test_each_limit_is_proven_by_itself(run_cells, monkeypatch) -> None:
    agent = Agent(
        lambda trial: REFUSED if "opset2" in trial.cell_name else (TrialOutcome.FAILED, Stage.LOAD, "ir_unsupported")
    )
    run = await run_cells(agent, opsets=(17, 18, 20, 21), runtime=replace(OLD, max_ir_version=9))
    assert run.states == {
        17: ("failed", "proven"),
        18: ("skipped", "proven"),
        20: ("failed", "proven"),
        21: ("skipped", "proven"),
    }
    assert run.of(18).prediction.cause == "ir_unsupported"
    assert (run.of(21).prediction.cause, run.of(21).also) == ("opset_unsupported", ("ir_unsupported",))


async def test_a_runtime_without_limits_gets_no_prediction(run_cells) -> None:
    agent = Agent()
    run = await run_cells(agent, runtime=replace(OLD, max_opset=None, max_ir_version=None))
    assert {state for _, state in run.states.values()} == {None}
    assert len(agent.tried) == 4


async def test_a_known_failure_does_not_speak_for_others_while_one_is_new(run_cells) -> None:
    agent = Agent()
    run = await run_cells(agent, known=(20,))
    assert opsets_of(agent.tried) == [21, 17]
    assert "known" not in run.of(21).tags
    assert run.states[20] == ("skipped", "proven")
    verdict = judge_run(run.store.load_run("r"), ["failure"], previous={})
    assert verdict.exit_code == 1
    assert verdict.reasons == ("2 cells failed",)


async def test_all_trials_of_a_representative_come_first_and_two_equal_failures_are_enough(run_cells) -> None:
    agent = Agent()
    run = await run_cells(agent, preset="nightly")
    assert opsets_of(agent.tried)[:2] == [20, 20]
    assert run.states[22] == ("skipped", "proven")


async def test_the_prediction_is_stored_and_read_back(run_cells) -> None:
    run = await run_cells(Agent())
    prediction = run.of(22).prediction
    assert (prediction.limit, prediction.state) == ("opset 19", PredictionState.PROVEN)


ANSWERS = st.sampled_from([REFUSED, PASSED, CUT])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(ANSWERS, min_size=6, max_size=6),
    kills=st.lists(st.integers(0, 6), max_size=3),
    letters=st.lists(st.sampled_from("abc"), min_size=6, max_size=6),
    skip=st.sampled_from(["proven", "predicted", "nothing"]),
)
async def test_whatever_happens_every_cell_ends_once_and_no_claim_lacks_its_proof(
    run_cells, tmp_path_factory, answers, kills, letters, skip
) -> None:
    opsets = (17, 19, 20, 21, 22, 23)
    by_opset = dict(zip(opsets, answers, strict=True))
    agent = Agent(lambda trial: by_opset[opsets_of([trial.cell_name])[0]])
    more = {"skip": skip, "letters": "".join(letters), "folder": tmp_path_factory.mktemp("run")}
    before: dict[str, CellEnd | None] = {}
    for start, kill in enumerate([*kills, None]):
        agent.dies_at = None if kill is None else agent.steps + kill
        run = await run_cells(agent, opsets, **more, resume=start > 0)
        for name, end in before.items():
            if end is not None and end.outcome is not Outcome.LOST:
                assert run.ends[name] == end, "an outcome was rewritten"
        before = run.ends
    for end in run.ends.values():
        assert end is not None
        if end.prediction is None:
            assert end.outcome is not Outcome.SKIPPED
        elif end.outcome is Outcome.SKIPPED:
            assert (end.prediction.state is PredictionState.PROVEN) == (skip == "proven")
            assert skip != "nothing"
        if end.prediction is not None and end.prediction.state is PredictionState.PROVEN:
            proof = run.ends[end.prediction.by]
            assert (proof.outcome, proof.stage, proof.cause) == (Outcome.FAILED, "load", end.prediction.cause)
