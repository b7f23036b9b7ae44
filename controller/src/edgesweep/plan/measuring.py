"""The two sections of a plan that say how cells are measured: `session` (what is compared) and `measure` (with what care)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from edgesweep.plan.fields import NaturalNumber, OneOrMany, PositiveSeconds, PositiveWhole, Seconds, Section, refusal
from edgesweep.plan.preset import BESIDE_FIELDS, PRESETS, PROTOCOL_FIELDS
from edgesweep.plan.scenario import CLOSED, CLOSED_LOOP, ScenarioEntry

GraphOptimization = Literal["disabled", "basic", "extended", "all"]

#: Threads that may call one session at the same time.
MOST_CONCURRENT = 256
#: Widest and narrowest interval, as half its width over the median, that a trial may be told to go on for.
NARROWEST, WIDEST = 1e-4, 0.5


class SessionSection(Section):
    """`session`: the session options to try and how each session is called; every combination is a cell.

    What gives a number another meaning is an axis here, and part of the cell's name.
    """

    threads: Annotated[tuple[PositiveWhole, ...], Field(min_length=1), OneOrMany()] = (1,)
    graph_optimization: Annotated[tuple[GraphOptimization, ...], Field(min_length=1), OneOrMany()] = ("all",)
    io_mode: Annotated[tuple[Literal["bound", "host"], ...], Field(min_length=1), OneOrMany()] = ("bound",)
    scenario: Annotated[tuple[ScenarioEntry, ...], Field(min_length=1), OneOrMany()] = (CLOSED_LOOP,)
    concurrency: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1, le=MOST_CONCURRENT)], ...], Field(min_length=1), OneOrMany()
    ] = (1,)
    page_cache: Annotated[tuple[Literal["warm", "cold"], ...], Field(min_length=1), OneOrMany()] = ("warm",)
    provider_cache: Annotated[tuple[Literal["asis", "empty", "primed"], ...], Field(min_length=1), OneOrMany()] = (
        "asis",
    )
    pin_threads: Annotated[tuple[StrictBool, ...], Field(min_length=1), OneOrMany()] = (True,)
    cpu_arena: Annotated[tuple[StrictBool, ...], Field(min_length=1), OneOrMany()] = (True,)

    @model_validator(mode="after")
    def _only_a_closed_loop_is_crowded(self) -> Self:
        open_loops = [scenario.slug for scenario in self.scenario if scenario.kind != CLOSED]
        if open_loops and max(self.concurrency) > 1:
            raise refusal(
                f"concurrency above 1 belongs to the closed loop, not to {open_loops[0]}; put the two into plans of their own",
                at=("session", "concurrency"),
            )
        return self


class MeasureSection(Section):
    """`measure`: a preset, and figures that replace the preset's."""

    preset: Literal["compat", "smoke", "quick", "nightly", "baseline"] = "quick"
    trials: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    warmup_min_runs: NaturalNumber | None = None
    warmup_min_s: Seconds | None = None
    warmup_max_s: Seconds | None = None
    min_inferences: PositiveWhole | None = None
    min_duration_s: Seconds | None = None
    max_inferences: PositiveWhole | None = None
    max_duration_s: PositiveSeconds | None = None
    target_half_width: Seconds | None = None
    idle_wait_s: Seconds | None = None
    thermal_wait_s: Seconds | None = None
    fix_clocks: StrictBool | None = None
    node_profile: StrictBool | None = None
    shape_changes: StrictBool = False
    deadlines_s: dict[
        Literal["load", "compile", "first_run", "verify", "warmup", "measure", "placement"], PositiveSeconds
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _what_is_not_timed_has_no_figures(self) -> Self:
        if PRESETS[self.preset].protocol.untimed:
            for name in PROTOCOL_FIELDS:
                if name not in BESIDE_FIELDS and getattr(self, name) is not None:
                    raise refusal(
                        f"the preset {self.preset} times nothing, so {name} means nothing there; take it out, or another preset",
                        at=("measure", name),
                    )
        return self

    @model_validator(mode="after")
    def _floors_lie_under_caps(self) -> Self:
        preset = PRESETS[self.preset]
        for floor_name, cap_name in (
            ("min_inferences", "max_inferences"),
            ("min_duration_s", "max_duration_s"),
            ("warmup_min_s", "warmup_max_s"),
        ):
            floor, cap = (
                getattr(preset.protocol, name) if getattr(self, name) is None else getattr(self, name)
                for name in (floor_name, cap_name)
            )
            if cap_name == "warmup_max_s" and not self.warmup_max_s:
                # Without a cap of the plan's own the preset's gives way; 0 means that a warm-up ends at its floors.
                continue
            if floor > cap:
                raise refusal(
                    f"{floor_name} ({floor:g}) is above {cap_name} ({cap:g}) with the preset {self.preset}; set both",
                    at=("measure", floor_name if getattr(self, floor_name) is not None else cap_name),
                )
        return self

    @model_validator(mode="after")
    def _target_can_be_met(self) -> Self:
        if self.target_half_width and not NARROWEST <= self.target_half_width <= WIDEST:
            raise refusal(
                f"target_half_width is a share of the median from {NARROWEST:g} to {WIDEST:g}, such as 0.005, or 0 for "
                f"no target, not {self.target_half_width:g}",
                at=("measure", "target_half_width"),
            )
        return self
