from __future__ import annotations

from dataclasses import fields

import pytest
from edgesweep.plan.cell import Session
from edgesweep.plan.measuring import MeasureSection
from edgesweep.plan.preset import (
    DEADLINE_STAGES,
    NO_LIMIT,
    PRESET_FIELDS,
    PRESETS,
    PROTOCOL_FIELDS,
    SESSION_FIELDS,
    preset_of,
)
from edgesweep.plan.scenario import read_scenario
from edgesweep_proto.trial import Protocol
from edgesweep_worker.providers import facts_of


@pytest.mark.parametrize(("name", "trials"), [("smoke", 1), ("quick", 3), ("nightly", 5), ("baseline", 10)])
def test_the_presets_have_the_trials_of_the_measurement_protocol(name: str, trials: int) -> None:
    assert preset_of(MeasureSection.model_validate({"preset": name})).trials == trials


@pytest.mark.parametrize("name", ["quick", "nightly", "baseline"])
def test_the_full_presets_stop_by_the_measurement_protocol(name: str) -> None:
    protocol = preset_of(MeasureSection.model_validate({"preset": name})).protocol
    assert (protocol.min_inferences, protocol.min_duration_s) == (100, 2.0)
    assert (protocol.max_inferences, protocol.max_duration_s) == (10_000, 20.0)
    assert (protocol.warmup_min_runs, protocol.warmup_min_s, protocol.warmup_max_s) == (3, 0.5, 15.0)
    assert protocol.target_half_width == 0.005
    assert (protocol.idle_wait_s, protocol.thermal_wait_s) == (60.0, 60.0 if name == "quick" else 300.0)
    assert protocol.pin_threads
    assert not protocol.fix_clocks


def test_smoke_is_over_in_two_seconds() -> None:
    protocol = preset_of(MeasureSection(preset="smoke")).protocol
    assert (protocol.min_inferences, protocol.min_duration_s, protocol.max_duration_s) == (100, 1.0, 2.0)
    assert (protocol.warmup_min_s, protocol.warmup_max_s, protocol.target_half_width) == (0.1, 0.0, 0.0)
    assert (protocol.idle_wait_s, protocol.thermal_wait_s, protocol.pin_threads) == (0.0, 0.0, True)


def test_quick_is_the_default() -> None:
    assert preset_of(MeasureSection()) == PRESETS["quick"]


def test_the_plan_can_override_every_figure_of_the_protocol() -> None:
    assert {*PROTOCOL_FIELDS, *SESSION_FIELDS, *PRESET_FIELDS} == {field.name for field in fields(Protocol)}
    assert set(PROTOCOL_FIELDS) < set(MeasureSection.model_fields)
    given = {
        "warmup_min_runs": 0,
        "warmup_min_s": 0.0,
        "min_inferences": 7,
        "min_duration_s": 0.0,
        "max_inferences": 8,
        "max_duration_s": 0.5,
        "warmup_max_s": 0.0,
        "target_half_width": 0.0,
        "idle_wait_s": 1.0,
        "thermal_wait_s": 2.0,
        "fix_clocks": True,
        "node_profile": True,
    }
    assert set(given) == set(PROTOCOL_FIELDS)
    preset = preset_of(MeasureSection.model_validate({"preset": "nightly", "trials": 2, **given}))
    assert preset.protocol == Protocol(**given)
    assert (preset.name, preset.trials) == ("nightly", 2)


def test_what_times_nothing_may_still_tell_its_nodes() -> None:
    protocol = preset_of(MeasureSection(preset="compat", node_profile=True)).protocol
    assert protocol == Protocol(untimed=True, node_profile=True)


def test_a_longer_measurement_gets_a_longer_deadline_unless_the_plan_names_one() -> None:
    longer = preset_of(MeasureSection(max_duration_s=600.0, warmup_min_s=300.0))
    # The worker triples the caps of inferences slower than 1 s, and the last one may be long.
    assert longer.deadlines_s["measure"] == 2400.0
    assert longer.deadlines_s["warmup"] == 1200.0
    assert preset_of(MeasureSection(preset="smoke", max_duration_s=600.0)).deadlines_s["measure"] == 1200.0
    named = preset_of(MeasureSection(max_duration_s=600.0, deadlines_s={"measure": 700.0}))
    assert named.deadlines_s["measure"] == 700.0
    assert PRESETS["quick"].deadlines_s["measure"] == 120.0


def test_every_preset_has_a_deadline_for_every_stage() -> None:
    for preset in PRESETS.values():
        assert tuple(preset.deadlines_s) == DEADLINE_STAGES
        assert preset.deadlines_s["measure"] > preset.protocol.max_duration_s


def test_the_session_says_how_inputs_travel() -> None:
    preset = PRESETS["smoke"]
    assert preset.protocol_for(Session(io_mode="host")).io_mode == "host"
    assert preset.protocol_for(Session()) == preset.protocol


def test_a_longer_warm_up_lifts_its_cap_unless_the_plan_names_one() -> None:
    assert preset_of(MeasureSection(warmup_min_s=30.0)).protocol.warmup_max_s == 30.0
    assert preset_of(MeasureSection(warmup_max_s=0.0)).protocol.warmup_max_s == 0.0
    assert preset_of(MeasureSection(warmup_max_s=200.0)).deadlines_s["warmup"] == 800.0


def test_the_session_says_how_inferences_follow_each_other() -> None:
    preset = PRESETS["nightly"]
    crowd = preset.protocol_for(Session(concurrency=4, page_cache="cold", provider_cache="empty", pin_threads=False))
    asked = (crowd.concurrency, crowd.page_cache, crowd.provider_cache, crowd.pin_threads)
    assert asked == (4, "cold", "empty", False)
    paced = preset.protocol_for(Session(scenario=read_scenario("paced=0.5")))
    assert (paced.scenario, paced.period_s, paced.target_half_width) == ("paced", 0.5, 0.005)
    assert paced.max_duration_s == 20.0  # ten of them are enough of what is so slow
    slower = preset.protocol_for(Session(scenario=read_scenario("paced=5")))
    assert 50 < slower.max_duration_s < 60
    slow_pace = preset.protocol_for(Session(scenario=read_scenario("paced=0.2")))
    assert slow_pace.max_duration_s > slow_pace.period_s * slow_pace.min_inferences
    quick_pace = preset.protocol_for(Session(scenario=read_scenario("paced=0.01")))
    assert quick_pace.max_duration_s == preset.protocol.max_duration_s


def test_a_sustained_trial_ends_by_its_time_alone() -> None:
    preset, session = PRESETS["quick"], Session(scenario=read_scenario("sustained"))
    protocol = preset.protocol_for(session)
    assert (protocol.min_duration_s, protocol.max_duration_s) == (600.0, 600.0)
    assert (protocol.max_inferences, protocol.target_half_width, protocol.period_s) == (NO_LIMIT, 0.0, 0.0)
    assert preset.deadlines_for(session)["measure"] == 1200.0
    named = preset_of(MeasureSection(deadlines_s={"measure": 700.0}))
    assert named.deadlines_for(session)["measure"] == 700.0
    assert preset.deadlines_for(Session()) == preset.deadlines_s


def test_a_provider_that_compiles_brings_its_own_deadline_unless_the_plan_names_one() -> None:
    smoke = PRESETS["smoke"]
    assert smoke.deadlines_for(Session(), "cpu") == smoke.deadlines_for(Session()) == smoke.deadlines_s
    compiling = smoke.deadlines_for(Session(), "tensorrt")
    assert compiling["compile"] == facts_of("TensorrtExecutionProvider").compile_deadline_s
    # The session that placement is asked of compiles again.
    assert compiling["placement"] == smoke.deadlines_s["placement"] + compiling["compile"]
    assert {**compiling, "compile": 0, "placement": 0} == {**smoke.deadlines_s, "compile": 0, "placement": 0}
    # One that is known to compile, but not for how long, has the preset's.
    assert smoke.deadlines_for(Session(), "webgpu")["compile"] == smoke.deadlines_s["compile"]
    assert smoke.deadlines_for(Session(), "SomeExecutionProvider") == smoke.deadlines_s


def test_the_deadlines_that_a_plan_names_stand_for_providers_that_compile() -> None:
    named = preset_of(MeasureSection(deadlines_s={"compile": 5.0, "placement": 7.0}))
    found = named.deadlines_for(Session(), "openvino")
    assert (found["compile"], found["placement"]) == (5.0, 7.0)
    found = preset_of(MeasureSection(deadlines_s={"compile": 5.0})).deadlines_for(Session(), "openvino")
    assert found["placement"] == PRESETS["quick"].deadlines_s["placement"] + 5.0
