from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from edgesweep.plan.cell import Session
from edgesweep.plan.measuring import MeasureSection
from edgesweep.plan.preset import PRESETS, preset_of
from edgesweep.sweep.work import (
    COMPLETED,
    MOST_CANCELLED,
    RETRIES,
    History,
    PlannedTrial,
    build_trial,
    group_cells,
    schedule,
    variant_key,
)
from edgesweep_proto.blob import Blob, Tensor
from edgesweep_proto.trial import NamedInputs, TrialOutcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_equal_artifacts_are_measured_once_through_the_first_planned_cell(make_cell, make_export) -> None:
    first, second, other = make_cell(17), make_cell(18), make_cell(20)
    exports = {
        variant_key(first): make_export(17, "a"),
        variant_key(second): make_export(18, "a"),
        variant_key(other): make_export(20, "e"),
    }
    groups = group_cells([first, second, other], exports)
    assert [group.leader for group in groups] == [first, other]
    assert groups[0].followers == (second,)


@pytest.mark.parametrize(
    "change",
    [
        {"session": Session(threads=2)},
        {"runtime": "1.23.2"},
        {"providers": ("openvino", "cpu")},
        {"device": "jetson"},
        {"provider_options": {"cpu": {"a": "1"}}},
    ],
)
def test_cells_that_ask_for_something_else_are_measured_apart(make_cell, make_export, change) -> None:
    cell = make_cell(18)
    different = dataclasses.replace(cell, **change)
    exports = {variant_key(cell): make_export(18)}
    assert len(group_cells([cell, different], exports)) == 2


def test_a_variant_that_failed_has_no_group(make_cell, make_export) -> None:
    cell = make_cell(13)
    assert group_cells([cell], {variant_key(cell): make_export(13, cause="opset_not_honoured")}) == []
    assert group_cells([cell], {}) == []


def test_the_trial_carries_digests_and_never_a_path(make_cell, make_export) -> None:
    cell = make_cell(18)
    group = group_cells([cell], {variant_key(cell): make_export(18)})[0]
    trial = build_trial(PlannedTrial(group, 2, 1), "run", PRESETS["smoke"])
    assert trial.id == f"run/{cell.key}/2/1"
    assert trial.providers[0].name == "CPUExecutionProvider"
    assert trial.protocol.max_duration_s == 2
    assert {blob.sha256 for blob in trial.blobs} == {"a" * 64, "b" * 64}


def test_a_trial_carries_the_other_shapes_of_its_variant_only_where_the_plan_asks(make_cell, make_export) -> None:
    cell = make_cell(18)
    export = make_export(18)
    (own,) = export.payloads.values()
    other = dataclasses.replace(own, inputs=(Tensor("x", Blob("e" * 64, 16), "float32", (4,)),))
    export = dataclasses.replace(export, payloads={**export.payloads, "batch4": other})
    planned = PlannedTrial(group_cells([cell], {variant_key(cell): export})[0], 0, 0)
    assert build_trial(planned, "run", PRESETS["quick"]).other_inputs == ()
    asked = preset_of(MeasureSection(shape_changes=True))
    trial = build_trial(planned, "run", asked)
    assert trial.other_inputs == (NamedInputs("batch4", other.inputs),)
    # The board must hold them, too.
    assert "e" * 64 in {blob.sha256 for blob in trial.blobs}


def test_a_trial_has_the_deadline_of_the_provider_that_compiles(make_cell, make_export) -> None:
    cell = make_cell(18, providers=("tensorrt", "cuda"))
    group = group_cells([cell], {variant_key(cell): make_export(18)})[0]
    deadlines = build_trial(PlannedTrial(group, 0, 0), "run", PRESETS["smoke"]).deadlines_s
    assert deadlines["compile"] > PRESETS["smoke"].deadlines_s["compile"]


def test_a_transient_end_is_tried_again_until_the_budget_is_spent(make_cell, make_trial) -> None:
    cell = make_cell()
    trials = []
    for attempt in range(RETRIES + 1):
        assert History(tuple(trials)).next_attempt(0) == attempt
        trials.append(make_trial(cell, TrialOutcome.INTERRUPTED, attempt=attempt))
    assert History(tuple(trials)).next_attempt(0) is None
    assert History(tuple(trials)).is_settled(planned=1)


def test_a_resumed_run_has_a_new_budget(make_cell, make_trial) -> None:
    cell = make_cell()
    spent = tuple(make_trial(cell, TrialOutcome.INTERRUPTED, attempt=attempt) for attempt in range(RETRIES + 1))
    resumed = History(spent, {0: len(spent)})
    assert resumed.next_attempt(0) == RETRIES + 1
    assert not resumed.is_settled(planned=1)


def test_a_cancelled_trial_costs_no_retry_but_not_for_ever(make_cell, make_trial) -> None:
    cell = make_cell()
    cancelled = [make_trial(cell, TrialOutcome.CANCELLED, attempt=attempt) for attempt in range(MOST_CANCELLED + 1)]
    assert History(tuple(cancelled[:-1])).next_attempt(0) == MOST_CANCELLED
    assert History(tuple(cancelled)).next_attempt(0) is None


def test_two_equal_failures_settle_a_cell_early(make_cell, make_trial) -> None:
    cell = make_cell()
    one = make_trial(cell, TrialOutcome.FAILED, round_no=0, cause="crash")
    two = make_trial(cell, TrialOutcome.FAILED, round_no=1, cause="crash")
    passed = make_trial(cell, TrialOutcome.PASS, round_no=2)
    assert not History((one,)).is_settled(planned=5)
    assert History((one, two)).is_settled(planned=5)
    assert not History((one, passed)).is_settled(planned=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(planned=st.integers(1, 4), seed=st.integers(), data=st.data())
def test_whatever_happens_no_cell_gets_more_completed_trials_than_planned(
    make_cell, make_export, make_trial, planned, seed, data
) -> None:
    """Plays runs that are cut and resumed at random, each trial ending at random."""
    cells = [make_cell(opset) for opset in (17, 18, 20)]
    exports = {variant_key(cell): make_export(cell.variant.opset, "abc"[i]) for i, cell in enumerate(cells)}
    groups = group_cells(cells, exports)
    stored: dict[str, list] = {}
    forgiven: dict[str, Counter[int]] = {}
    ids: Counter[str] = Counter()

    def history(name: str) -> History:
        return History(tuple(stored.get(name, ())), forgiven.get(name, {}))

    for _ in range(60):
        todo = schedule(groups, history, planned, str(seed))
        if not todo:
            break
        for item in todo[: data.draw(st.integers(1, len(todo)))]:
            name = item.group.leader.name
            if history(name).is_settled(planned) or history(name).next_attempt(item.round) != item.attempt:
                continue
            outcome = data.draw(st.sampled_from([TrialOutcome.PASS, TrialOutcome.FAILED, TrialOutcome.INTERRUPTED]))
            ids[item.trial_id("run")] += 1
            stored.setdefault(name, []).append(
                make_trial(item.group.leader, outcome, round_no=item.round, attempt=item.attempt, cause="crash")
            )
        if data.draw(st.booleans()) and sum(ids.values()) < 20:
            forgiven = {name: Counter(trial.round for trial in trials) for name, trials in stored.items()}
    assert not schedule(groups, history, planned, str(seed))
    assert max(ids.values()) == 1
    for trials in stored.values():
        assert sum(trial.result.outcome in COMPLETED for trial in trials) <= planned


def test_rounds_come_one_after_the_other_and_the_seed_decides_the_order(make_cell, make_export) -> None:
    cells = [make_cell(opset) for opset in range(7, 24)]
    exports = {
        variant_key(cell): make_export(cell.variant.opset, "0123456789abcdefg"[i]) for i, cell in enumerate(cells)
    }
    groups = group_cells(cells, exports)
    first = schedule(groups, lambda _: History(), 3, "seed")
    assert [item.round for item in first] == [0] * 17 + [1] * 17 + [2] * 17
    assert first == schedule(groups, lambda _: History(), 3, "seed")
    order = [item.group.leader.variant.opset for item in first]
    assert order[:17] != order[17:34]


def test_variant_key_tells_models_and_ways_of_exporting_apart(make_cell) -> None:
    cells = [make_cell(18), make_cell(20), make_cell(18, model="other")]
    assert len(set(map(variant_key, cells))) == 3
    assert variant_key(make_cell(18, device="jetson")) == variant_key(cells[0])
