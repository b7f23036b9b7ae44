"""What is kept of a trial's samples, and what a cell then tells of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from edgesweep.plan.cell import Session
from edgesweep.plan.scenario import read_scenario
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.stats.series import Course
from edgesweep.store.records import Verdict
from edgesweep.sweep.outcome import end_of_trials
from edgesweep.sweep.trial_record import trial_record
from edgesweep.sweep.work import PlannedTrial, group_cells, variant_key
from edgesweep_proto.blob import Blob
from edgesweep_proto.trial import Accounting, MemoryPhase, Protocol, Samples, Stage, TrialOutcome, TrialResult

WARMUP = 20
MIB = 2**20


@pytest.fixture
def make_group(make_cell, make_export):
    def make(**session):
        cell = make_cell(18, session=Session(**session))
        return group_cells([cell], {variant_key(cell): make_export(18)})[0]

    return make


def trial(group, shape, *, round_no=0, peak=10 * MIB):
    """A trial whose samples follow `shape`, in ms, after a warm-up of other times."""
    random = np.random.default_rng(round_no)
    measured = 1e6 * np.asarray(shape) * np.exp(0.01 * random.standard_normal(len(shape)))
    samples = np.concatenate([np.full(WARMUP, 9e6), measured]).astype("<i8")
    planned = PlannedTrial(group, round_no, 0)
    result = TrialResult(
        planned.trial_id("run"),
        TrialOutcome.PASS,
        Stage.PLACEMENT,
        accounting=Accounting(samples.sum() / 1e9, samples.sum() / 1e9, 0.0, 0, 0),
        memory=(MemoryPhase("steady_peak", peak, "VmHWM"),),
        samples=Samples(Blob("d" * 64, samples.nbytes), WARMUP, len(shape), 1, "interval_met"),
    )
    return trial_record(planned, result, samples.tobytes())


def end(group, trials):
    return end_of_trials(
        group, trials, planned=len(trials), protocol=Protocol(), fallback=FallbackPolicy("allow"), host_tags=()
    )


def test_a_flat_trial_keeps_all_its_samples_and_is_trusted(make_group) -> None:
    group = make_group()
    trials = [trial(group, np.ones(500), round_no=number) for number in range(3)]
    assert [(record.series.course, record.latency.n) for record in trials] == [(Course.FLAT, 500)] * 3
    ended = end(group, trials)
    assert (ended.verdict, ended.reasons, ended.tags) == (Verdict.TRUSTED, (), ())


def test_the_head_that_was_still_warming_up_is_no_figure(make_group) -> None:
    group = make_group()
    shape = np.where(np.arange(500) < 150, 2.0, 1.0)
    trials = [trial(group, shape, round_no=number) for number in range(3)]
    for record in trials:
        assert record.series.course is Course.WARMUP
        assert record.series.head == pytest.approx(150, abs=10)
        assert record.latency.n == 500 - record.series.head
        assert record.latency.median == pytest.approx(1e-3, rel=0.01)
    ended = end(group, trials)
    assert (ended.verdict, ended.tags) == (Verdict.TRUSTED, ("warmup_left_out",))


def test_a_sustained_trial_loses_no_minute(make_group) -> None:
    group = make_group(scenario=read_scenario("sustained=120"))
    shape = np.where(np.arange(120) < 40, 1400.0, 1000.0)
    record = trial(group, shape)
    assert (record.series.head, record.latency.n) == (0, 120)
    assert record.series.sustained.ratio == pytest.approx(1 / 1.4, rel=0.02)


def test_memory_that_varies_is_a_tag(make_group) -> None:
    group = make_group()
    trials = [trial(group, np.ones(500), round_no=number, peak=peak * MIB) for number, peak in enumerate((10, 40, 10))]
    ended = end(group, trials)
    assert (ended.verdict, ended.tags) == (Verdict.TRUSTED, ("memory_varies",))


def test_a_trial_that_slows_is_told_though_its_interval_is_narrow(make_group) -> None:
    group = make_group()
    trials = [trial(group, np.linspace(1.0, 1.5, 500), round_no=number) for number in range(3)]
    ended = end(group, trials)
    assert ended.verdict is Verdict.DOUBTFUL
    assert [reason.split(":")[0] for reason in ended.reasons] == ["slowdown"]


def test_a_trial_without_samples_has_no_figures(make_group) -> None:
    group = make_group()
    measured = trial(group, np.ones(500)).result
    bare = trial_record(PlannedTrial(group, 0, 0), dataclasses.replace(measured, samples=None), b"")
    assert (bare.latency, bare.series, bare.samples_digest) == (None, None, None)
