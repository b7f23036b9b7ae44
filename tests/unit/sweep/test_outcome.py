from __future__ import annotations

import dataclasses

import pytest
from edgesweep.errors import CATALOGUE
from edgesweep.plan.cell import Skip
from edgesweep.plan.preset import PRESETS
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.store.records import Outcome, Verdict
from edgesweep.sweep.outcome import end_of_failed_export, end_of_skip, end_of_trials, follow
from edgesweep.sweep.work import group_cells, variant_key
from edgesweep_proto.execution import OutputSummary
from edgesweep_proto.trial import Protocol, Stage, TrialOutcome


@pytest.fixture
def group(make_cell, make_export):
    cells = [make_cell(18), make_cell(20)]
    exports = {variant_key(cell): make_export(cell.variant.opset) for cell in cells}
    return group_cells(cells, exports)[0]


def end(group, trials, *, planned=1, needed=100, fallback="warn", tags=()):
    protocol = Protocol(min_inferences=needed)
    return end_of_trials(
        group,
        trials,
        planned=planned,
        protocol=protocol,
        fallback=FallbackPolicy(fallback) if isinstance(fallback, str) else fallback,
        host_tags=tags,
    )


def test_fewer_inferences_than_the_protocol_asks_for_are_a_reason(group, make_trial) -> None:
    ended = end(group, [make_trial(group.leader)], needed=1000)
    assert any("few samples: 100 of 1000" in reason for reason in ended.reasons)


def test_a_pass_that_nothing_was_compared_with_says_so(group, make_trial) -> None:
    payload = dataclasses.replace(group.payload, references=(), reference_note="the host cannot run it")
    ended = end(dataclasses.replace(group, payload=payload), [make_trial(group.leader)])
    assert "unverified" in ended.tags
    assert "unverified: the host cannot run it" in ended.reasons


def test_inputs_that_hold_denormal_numbers_are_doubted(group, make_trial) -> None:
    payload = dataclasses.replace(group.payload, denormals=3)
    ended = end(dataclasses.replace(group, payload=payload), [make_trial(group.leader)])
    assert "denormal_inputs" in ended.tags
    assert ended.verdict is not Verdict.TRUSTED
    assert any(reason.startswith("denormal inputs: ") for reason in ended.reasons)


def test_trouble_of_the_exporting_host_is_lost(make_cell, make_export) -> None:
    transient = next(code for code, entry in CATALOGUE.items() if not entry.stable)
    ended = end_of_failed_export(make_cell(18), make_export(18, cause=transient), [])
    assert ended.outcome is Outcome.LOST


def test_a_single_smoke_trial_passes_but_is_never_trusted(group, make_trial) -> None:
    ended = end(group, [make_trial(group.leader)])
    assert ended.outcome is Outcome.PASS
    assert ended.verdict is not Verdict.TRUSTED
    assert any("single trial" in reason for reason in ended.reasons)
    assert ended.latency is not None
    assert ended.items_per_inference == 2


def test_where_nothing_is_timed_there_is_no_verdict_and_the_fallback_policy_holds(group, make_trial) -> None:
    trial = make_trial(group.leader, nodes={"OpenVINOExecutionProvider": 2, "CPUExecutionProvider": 1})
    untimed = dataclasses.replace(
        trial, latency=None, result=dataclasses.replace(trial.result, samples=None, cold_start=None)
    )
    protocol = PRESETS["compat"].protocol
    for policy, outcome in (("warn", Outcome.PASS), ("fail", Outcome.FALLBACK)):
        ended = end_of_trials(
            group, [untimed], planned=1, protocol=protocol, fallback=FallbackPolicy(policy), host_tags=()
        )
        assert (ended.outcome, ended.verdict, ended.latency) == (outcome, None, None)
        assert not any("trial" in reason or "sample" in reason for reason in ended.reasons)


def test_the_first_stable_failure_decides_and_a_mix_is_flaky(group, make_trial) -> None:
    trials = [
        make_trial(group.leader, round_no=0),
        make_trial(group.leader, TrialOutcome.FAILED, round_no=1, cause="crash", stage=Stage.MEASURE),
        make_trial(group.leader, TrialOutcome.FAILED, round_no=2, cause="oom", stage=Stage.LOAD),
    ]
    ended = end(group, trials, planned=3)
    assert (ended.outcome, ended.cause, ended.stage) == (Outcome.FAILED, "crash", "measure")
    assert "flaky 2/3" in ended.tags
    assert ended.remedy


def test_trouble_of_the_lab_is_lost_and_never_a_failure_of_the_model(group, make_trial) -> None:
    trials = [make_trial(group.leader, TrialOutcome.INTERRUPTED, attempt=attempt) for attempt in range(3)]
    ended = end(group, trials)
    assert (ended.outcome, ended.cause) == (Outcome.LOST, "interrupted")
    assert ended.verdict is None


def test_a_retried_trial_that_passed_is_a_pass(group, make_trial) -> None:
    trials = [make_trial(group.leader, TrialOutcome.INTERRUPTED), make_trial(group.leader, attempt=1)]
    assert end(group, trials).outcome is Outcome.PASS


def test_fallback_beats_pass(group, make_trial) -> None:
    trials = [make_trial(group.leader), make_trial(group.leader, TrialOutcome.FALLBACK, round_no=1, cause="no_nodes")]
    ended = end(group, trials, planned=2)
    assert (ended.outcome, ended.cause) == (Outcome.FALLBACK, "no_nodes")


@pytest.mark.parametrize(
    ("policy", "outcome", "cause"),
    [("allow", Outcome.PASS, ""), ("warn", Outcome.PASS, ""), ("fail", Outcome.FALLBACK, "partial_placement")],
)
def test_nodes_elsewhere_are_a_tag_a_reason_or_an_outcome(group, make_trial, policy, outcome, cause) -> None:
    nodes = {"OpenVINOExecutionProvider": 2, "CPUExecutionProvider": 1}
    ended = end(group, [make_trial(group.leader, nodes=nodes)], fallback=policy)
    assert (ended.outcome, ended.cause) == (outcome, cause)
    said = any("1 of 3 nodes ran outside OpenVINOExecutionProvider" in reason for reason in ended.reasons)
    assert said == (policy == "warn")
    assert ("partial" in ended.tags) == (policy != "fail")


def test_where_trials_do_not_agree_the_one_with_most_nodes_elsewhere_counts(group, make_trial) -> None:
    whole, part = {"OpenVINOExecutionProvider": 3}, {"OpenVINOExecutionProvider": 2, "CPUExecutionProvider": 1}
    trials = [make_trial(group.leader, nodes=nodes, round_no=place) for place, nodes in enumerate((whole, part, whole))]
    assert end(group, trials, planned=3, fallback="fail").cause == "partial_placement"
    warned = end(group, trials, planned=3, fallback="warn")
    assert any("1 of 3 nodes ran outside" in reason for reason in warned.reasons)


def test_a_plan_may_say_how_much_must_land_on_the_first_provider(group, make_trial) -> None:
    nodes = {"OpenVINOExecutionProvider": 2, "CPUExecutionProvider": 1}
    trials = [make_trial(group.leader, nodes=nodes)]
    enough = end(group, trials, fallback=FallbackPolicy("warn", min_nodes=0.6))
    assert (enough.outcome, enough.cause) == (Outcome.PASS, "")
    assert "partial" in enough.tags
    assert not any("outside" in reason for reason in enough.reasons)
    short = end(group, trials, fallback=FallbackPolicy("warn", min_nodes=0.7))
    assert (short.outcome, short.cause) == (Outcome.FALLBACK, "partial_placement")
    assert short.message == ("openvino 2 of 3 nodes, cpu 1 node; the plan wants 70 % of the nodes on openvino at least")
    assert short.remedy
    unsure = end(group, trials, fallback=FallbackPolicy("allow", min_time=0.9))
    assert unsure.outcome is Outcome.PASS
    assert any(reason.startswith("placement unsure:") for reason in unsure.reasons)
    everything = [make_trial(group.leader, nodes={"OpenVINOExecutionProvider": 2})]
    assert end(group, everything, fallback=FallbackPolicy("warn", 1.0, 1.0)).tags == ()


def test_a_follower_has_the_same_figures_and_says_whose(group, make_trial) -> None:
    ended = end(group, [make_trial(group.leader)], tags=("shared_host",))
    copy = follow(ended, group.followers[0])
    assert copy.same_as == group.leader.name
    assert (copy.latency, copy.verdict, copy.tags) == (ended.latency, ended.verdict, ended.tags)
    assert "shared_host" in ended.tags


def test_a_dishonoured_opset_points_to_the_honest_cell_of_the_plan(make_cell, make_export) -> None:
    asked, honest = make_cell(13), make_cell(18)
    result = make_export(13, cause="opset_not_honoured", produced=18)
    with_it = end_of_failed_export(asked, result, [asked, honest])
    assert (with_it.outcome, with_it.stage, with_it.see) == (Outcome.FAILED, "check", honest.name)
    assert end_of_failed_export(asked, result, [asked]).see is None


def test_a_skip_keeps_its_reason(make_cell) -> None:
    ended = end_of_skip(make_cell(skip=Skip("no_such_dimension", "net has no dimension height")))
    assert (ended.outcome, ended.cause, ended.message) == (
        Outcome.SKIPPED,
        "no_such_dimension",
        "net has no dimension height",
    )


# Answers that are not the same each time


def answering(trial, *values, digest):
    output = OutputSummary("y", "float32", (len(values),), digest, values, max(values), 0, 0.0)
    return dataclasses.replace(trial, result=dataclasses.replace(trial.result, outputs=(output,)))


def unverified(group):
    return dataclasses.replace(group, payload=dataclasses.replace(group.payload, references=(), reference_note="none"))


@pytest.mark.parametrize(
    ("second", "digest", "tags"),
    [(1.0, "a", set()), (1.00001, "b", {"outputs_differ"}), (1.0, "b", {"outputs_differ"})],
)
def test_trials_whose_outputs_differ_a_little_are_tagged_and_pass(group, make_trial, second, digest, tags) -> None:
    trials = [
        answering(make_trial(group.leader, round_no=0), 1.0, digest="a"),
        answering(make_trial(group.leader, round_no=1), second, digest=digest),
    ]
    for asked in (group, unverified(group)):
        ended = end(asked, trials, planned=2)
        assert ended.outcome is Outcome.PASS
        assert set(ended.tags) - {"unverified"} == tags


def test_trials_that_lie_too_far_apart_are_a_finding_unless_a_reference_vouches_for_each(group, make_trial) -> None:
    trials = [
        answering(make_trial(group.leader, round_no=0), 1.0, digest="a"),
        answering(make_trial(group.leader, round_no=1), 1.5, digest="b"),
    ]
    assert end(group, trials, planned=2).outcome is Outcome.PASS
    ended = end(unverified(group), trials, planned=2)
    assert (ended.outcome, ended.stage, ended.cause) == (Outcome.FAILED, "verify", "nondeterministic_output")
    assert ended.message.startswith("y: two trials with the same inputs")
    assert "outputs_differ" in ended.tags
    assert ended.remedy
