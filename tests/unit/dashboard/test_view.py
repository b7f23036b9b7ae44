from __future__ import annotations

from types import SimpleNamespace

import pytest
from edgesweep.dashboard.screen import draw
from edgesweep.dashboard.view import SweepView
from edgesweep.sweep.events import (
    CellFinished,
    DeviceState,
    ExportFinished,
    ExportStarted,
    Notice,
    SweepFinished,
    SweepStarted,
    Telemetry,
    TrialFinished,
    TrialProgressed,
    TrialStarted,
)
from edgesweep_proto.device import Reading
from edgesweep_proto.trial import Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console


def _ended(
    cell: str, outcome: str = "pass", *, stage: str = "measure", cause: str = "", done: int = 1, total: int = 4
) -> CellFinished:
    return CellFinished(cell.split("/", maxsplit=1)[0], cell, outcome, stage, cause, "", "", None, None, done, total)


def _started(**cells: int) -> SweepStarted:
    return SweepStarted("r1", "nightly", cells, 3, ("near",))


def _started_with(trials: int, **cells: int) -> SweepStarted:
    return SweepStarted("r1", "nightly", cells, 3, ("near",), trials=trials)


# What events do


def test_progress_and_outcomes_are_counted(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=3, near=1))
    view.apply(_ended("pi5/a", done=1))
    view.apply(_ended("near/b", "failed", cause="oom", done=2))
    assert (view.done, view.total, view.earlier) == (2, 4, 0)
    assert view.counts == {"pass": 1, "fallback": 0, "failed": 1, "skipped": 0, "lost": 0}
    assert view.devices["pi5"].remaining == 2


def test_a_resumed_run_tells_what_ended_earlier(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=10))
    view.apply(_ended("pi5/k", done=8, total=10))
    assert (view.done, view.earlier, sum(view.counts.values())) == (8, 7, 1)


def test_what_is_left_follows_the_device_which_knows_of_an_earlier_start(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=10))
    view.apply(DeviceState("pi5", "measuring", 3))
    assert view.devices["pi5"].remaining == 3
    view.apply(_ended("pi5/k", done=8, total=10))
    assert view.devices["pi5"].remaining == 2


def test_findings_are_grouped_and_the_newest_comes_last(clock):
    view = SweepView(clock)
    for cell, cause in (("pi5/a", "oom"), ("pi5/b", "crash"), ("pi5/c", "oom"), ("pi5/c", "oom")):
        view.apply(_ended(cell, "failed", cause=cause))
    assert [(finding.cause, finding.count, finding.last_cell) for finding in view.findings.values()] == [
        ("crash", 1, "pi5/b"),
        ("oom", 2, "pi5/c"),
    ]


def test_exports_are_counted_by_how_they_went(clock):
    view = SweepView(clock)
    view.apply(ExportStarted("m/v1"))
    view.apply(ExportStarted("m/v2"))
    view.apply(ExportFinished("m/v1", "", "", 1.0, cached=True, done=1, total=3))
    assert list(view.exports.active) == ["m/v2"]
    view.apply(ExportFinished("m/v2", "export_error", "no", 1.0, cached=False, done=2, total=3))
    exports = view.exports
    assert (exports.done, exports.total, exports.failed, exports.cached, exports.active) == (2, 3, 1, 1, {})


def test_a_device_shows_its_newest_stage_and_the_age_of_its_reading(clock):
    view = SweepView(clock)
    view.apply(DeviceState("pi5", "measuring", 3))
    view.apply(TrialStarted("pi5", "pi5/a", "t1", 1, 1))
    view.apply(TrialStarted("pi5", "pi5/b", "t2", 1, 1))
    view.apply(TrialProgressed("pi5", "pi5/a", Stage.MEASURE))
    view.apply(Telemetry("pi5", Reading(0.0, {"cpu": 51.0, "gpu": 63.5})))
    clock.now += 7
    line = view.devices["pi5"]
    assert (line.cell, line.stage, line.hottest_c) == ("pi5/a", "measure", 63.5)
    assert clock.now - line.reading_at == 7
    assert clock.now - line.stage_at == 7
    view.apply(TrialFinished("pi5", "pi5/a", "pass", "", 0.01))
    assert (line.cell, line.stage) == ("", "")


def test_a_colocated_device_that_measures_asks_for_quiet(clock):
    view = SweepView(clock)
    view.apply(_started(near=1, pi5=1))
    view.apply(DeviceState("pi5", "measuring", 1))
    assert not view.measuring_here
    view.apply(DeviceState("near", "measuring", 1))
    assert view.measuring_here


# Time left


def _run_trials(view, clock, device: str, cells: list[str], seconds: float, round_no: int = 0) -> None:
    for cell in cells:
        view.apply(TrialStarted(device, f"{device}/{cell}", cell, round_no, 0))
        clock.now += seconds
        view.apply(TrialFinished(device, f"{device}/{cell}", "pass", "", 0.01))


def test_time_left_is_unknown_until_three_trials_have_finished(clock):
    view = SweepView(clock)
    assert view.seconds_left is None
    view.apply(_started_with(5, pi5=6))
    assert view.seconds_left is None
    _run_trials(view, clock, "pi5", ["a", "b"], 10)
    assert view.seconds_left is None
    _run_trials(view, clock, "pi5", ["c"], 10)
    assert view.seconds_left == pytest.approx((5 * 6 - 3) * 10)


def test_time_left_follows_the_trials_so_far(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=6))
    for cell in "abc":
        _run_trials(view, clock, "pi5", [cell], 10)
        view.apply(_ended(f"pi5/{cell}", total=6))
    assert view.seconds_left == pytest.approx(30)
    clock.now += 4
    assert view.seconds_left == pytest.approx(26)


def test_time_left_knows_that_trials_of_a_cell_are_spread_over_the_run(clock):
    view = SweepView(clock)
    view.apply(_started_with(3, pi5=4))
    for round_no in range(2):
        _run_trials(view, clock, "pi5", list("abcd"), 10, round_no)
    assert view.seconds_left == pytest.approx(40)
    _run_trials(view, clock, "pi5", ["a"], 10, 2)
    view.apply(_ended("pi5/a"))
    assert view.seconds_left == pytest.approx(30)


def test_time_left_after_a_resume_counts_only_the_rounds_that_are_left(clock):
    view = SweepView(clock)
    view.apply(_started_with(3, pi5=4))
    _run_trials(view, clock, "pi5", list("abc"), 10, 2)
    assert view.seconds_left == pytest.approx(10)


def test_a_trial_that_is_tried_again_is_still_to_do(clock):
    view = SweepView(clock)
    view.apply(_started_with(1, pi5=4))
    _run_trials(view, clock, "pi5", list("abc"), 10)
    assert view.seconds_left == pytest.approx(10)
    view.apply(TrialStarted("pi5", "pi5/c", "c2", 0, 1))
    assert view.seconds_left == pytest.approx(20)


def test_cells_that_share_a_measurement_cost_nothing_more(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=12))
    for cell in "abc":
        _run_trials(view, clock, "pi5", [cell], 10)
        view.apply(_ended(f"pi5/{cell}", total=12))
        view.apply(_ended(f"pi5/{cell}-same", total=12))
    assert view.seconds_left == pytest.approx(30)


def test_time_left_is_that_of_the_slowest_device_and_unknown_with_one_away(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=6, near=6))
    for device, seconds in (("pi5", 10), ("near", 1)):
        for cell in "abc":
            _run_trials(view, clock, device, [cell], seconds)
            view.apply(_ended(f"{device}/{cell}", total=12))
    assert view.seconds_left == pytest.approx(30, abs=10)
    view.apply(DeviceState("near", "unreachable", 3, "no answer"))
    assert view.seconds_left is None


def test_failed_exports_do_not_make_devices_look_fast(clock):
    view = SweepView(clock)
    view.apply(_started(pi5=9))
    for cell in "uvwxy":
        view.apply(_ended(f"pi5/{cell}", "failed", stage="check", cause="wrong_output", total=9))
    assert view.seconds_left is None


# Any events in any order

NAMES = st.sampled_from(["pi5", "near", "far", ""])
CELLS = st.sampled_from(
    [f"pi5/m{n}/dynamo-opset18-static-fp32/1.23.2/cpu/example/t1" for n in range(6)] + ["", "odd", "[b]x[/b]"]
)
TEXT = st.text(max_size=30)
COUNT = st.integers(min_value=-3, max_value=50)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
SECONDS = st.none() | st.floats(min_value=0, max_value=1e6)
OUTCOME = st.sampled_from(["pass", "fallback", "failed", "skipped", "lost", "brand-new"])
READING = st.builds(Reading, at=FLOATS, temperatures_c=st.dictionaries(TEXT, FLOATS, max_size=2))
EVENTS = st.one_of(
    st.builds(SweepStarted, TEXT, TEXT, st.dictionaries(NAMES, COUNT, max_size=3), COUNT, st.just(("near",))),
    st.builds(ExportStarted, TEXT),
    st.builds(ExportFinished, TEXT, TEXT, TEXT, FLOATS, st.booleans(), COUNT, COUNT),
    st.builds(DeviceState, NAMES, st.sampled_from(["idle", "measuring", "unreachable", "done", "?"]), COUNT, TEXT),
    st.builds(TrialStarted, NAMES, CELLS, TEXT, COUNT, COUNT),
    st.builds(TrialProgressed, NAMES, CELLS, st.sampled_from(Stage), st.sampled_from(["", "idle", "thermal", "new"])),
    st.builds(TrialFinished, NAMES, CELLS, OUTCOME, TEXT, SECONDS),
    st.builds(
        CellFinished,
        NAMES,
        CELLS,
        OUTCOME,
        TEXT,
        TEXT,
        TEXT,
        TEXT,
        st.none() | TEXT,
        SECONDS,
        COUNT,
        COUNT,
        SECONDS,
        st.none() | COUNT,
    ),
    st.builds(Telemetry, NAMES, READING),
    st.builds(Notice, TEXT),
    st.builds(
        SweepFinished, TEXT, st.dictionaries(OUTCOME, COUNT), st.floats(min_value=0, max_value=1e7), st.booleans()
    ),
    st.just(SimpleNamespace(kind="of a newer version")),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(EVENTS, st.floats(min_value=0, max_value=1e4)), max_size=30),
    st.sampled_from([(80, 24), (20, 5), (140, 40)]),
)
def test_any_events_in_any_order_add_up_and_can_be_drawn(steps, size):
    now = [0.0]
    view = SweepView(lambda: now[0])
    for event, seconds in steps:
        now[0] += seconds
        view.apply(event)
        assert sum(view.counts.values()) + view.earlier == view.done <= view.total
        assert view.earlier >= 0
        assert sum(finding.count for finding in view.findings.values()) <= sum(view.counts.values())
        left = view.seconds_left
        assert left is None or left >= 0
    width, height = size
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(draw(view, width, height - 1))
    assert captured.get()


def test_a_whole_run_adds_up_to_its_own_end(clock, sample_events):
    view = SweepView(clock)
    for _, event in sample_events:
        view.apply(event)
    assert view.finished
    assert {word: amount for word, amount in view.counts.items() if amount} == view.finished.outcomes
    assert (view.done, view.total) == (160, 162)
    assert view.exports.done == view.exports.total
    assert not view.exports.active
