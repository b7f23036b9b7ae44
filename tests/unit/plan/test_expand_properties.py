from __future__ import annotations

from datetime import date
from math import prod
from pathlib import Path
from typing import Any

from edgesweep.models.source import ModelFacts
from edgesweep.plan.expand import DeviceChoice, Expansion, expand
from edgesweep.plan.load import plan_from_json, plan_to_json
from edgesweep.plan.runtimes import runtimes_of
from edgesweep.plan.schema import PlanFile
from edgesweep.plan.sources import sources_of
from edgesweep.plan.variants import planned_variants
from edgesweep.sweep.orchestrator import jobs_of
from edgesweep_proto.device import ProviderProbe, Runtime
from hypothesis import given
from hypothesis import strategies as st

TODAY = date(2026, 11, 23)
DIMENSIONS = ("batch", "height", "seq")
PROVIDERS = ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")


def some_of(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=str)


exports = st.fixed_dictionaries(
    {},
    optional={
        "exporters": some_of("dynamo", "torchscript"),
        "opsets": some_of(13, 17, 18, "20..23"),
        "axes": some_of("static", "full", "batch", "height", "batch+height", "seq"),
    },
)
shapes = st.one_of(
    st.just("example"), st.dictionaries(st.sampled_from(DIMENSIONS), st.sampled_from([1, 4, 32]), min_size=1)
)
models = st.one_of(
    st.builds(lambda export: {"factory": "lab.py:net", "export": export}, exports), st.just({"onnx": "model.onnx"})
)
troubles = st.fixed_dictionaries(
    {"opset": some_of(13, 17)}, optional={"axes": some_of("static", "b*"), "until": st.sampled_from(["2026-01-01"])}
)


def named(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "models": [{**model, "name": f"model-{index}"} for index, model in enumerate(data["models"])]}


SESSION_AXES = {
    "threads": some_of(1, 2, 4),
    "graph_optimization": some_of("all", "basic"),
    "io_mode": some_of("host"),
    "scenario": some_of("closed", "paced=0.1", "sustained", "sustained=120"),
    "page_cache": some_of("warm", "cold"),
    "provider_cache": some_of("asis", "empty", "primed"),
    "pin_threads": st.sampled_from([[True], [False], [True, False]]),
    "cpu_arena": st.sampled_from([[True], [False], [True, False]]),
}
#: Every axis multiplies the cells, so that a plan takes a few of them only.
sessions = st.lists(st.sampled_from(sorted(SESSION_AXES)), unique=True, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: SESSION_AXES[name] for name in names})
)


plans = st.fixed_dictionaries(
    {"version": st.just(1), "models": st.lists(models, min_size=1, max_size=3)},
    optional={
        "export": exports,
        "shapes": st.lists(shapes, min_size=1, max_size=4),
        "runtimes": st.one_of(st.sampled_from(["newest", "all"]), some_of("1.19.2", "1.23.2", "9.9")),
        "providers": st.one_of(st.just("available"), some_of("cpu", "cuda", "tensorrt,cuda")),
        "session": sessions,
        "exclude": st.lists(troubles, max_size=2),
    },
).map(named)


@st.composite
def runtimes(draw: st.DrawFn) -> tuple[Runtime, ...]:
    versions = draw(st.lists(st.sampled_from(["1.19.2", "1.23.2", "1.32.0"]), unique=True))
    flavours = draw(st.lists(st.sampled_from(["", "gpu"]), min_size=len(versions), max_size=len(versions)))
    return tuple(
        Runtime(
            id=f"{flavour}-{version}" if flavour else version,
            flavour=flavour,
            version=version,
            build_info="",
            python_version="3.11",
            numpy_version="2",
            listed_providers=PROVIDERS,
            providers=tuple(ProviderProbe(name, draw(st.integers(0, 1))) for name in PROVIDERS),
            fault=draw(st.sampled_from(["", "broken"])),
        )
        for version, flavour in zip(versions, flavours, strict=True)
    )


@st.composite
def expansions(draw: st.DrawFn) -> tuple[PlanFile, tuple[DeviceChoice, ...], Expansion]:
    data = draw(plans)
    facts = {}
    for model in data["models"]:
        name = model["name"]
        if draw(st.booleans()):
            held = tuple(draw(st.lists(st.sampled_from(DIMENSIONS), unique=True)))
            facts[name] = ModelFacts(name, held, opset=12 if "onnx" in model else None)
    plan = PlanFile.model_validate(data)
    names = draw(st.lists(st.sampled_from(["pi4", "pi5", "nano"]), unique=True))
    devices = tuple(DeviceChoice(name, {}, draw(runtimes())) for name in names)
    found = expand(plan, sources_of(plan, Path("/lab")), facts, devices, today=TODAY)
    return plan, devices, found


def variants_of(plan: PlanFile) -> int:
    total = 0
    for model in plan.models:
        own = model.export
        lists = [
            (own and getattr(own, key)) or getattr(plan.export, key)
            for key in ("exporters", "opsets", "axes", "precisions")
        ]
        total += 1 if model.onnx else prod(len(values) for values in lists)
    return total


@given(expansions())
def test_planned_and_unplanned_make_up_the_full_product(
    made: tuple[PlanFile, tuple[DeviceChoice, ...], Expansion],
) -> None:
    plan, devices, found = made
    asked = sum(len(chains) for device in devices for _, chains in runtimes_of(plan, device))
    session = plan.session
    sessions = prod(len(getattr(session, axis)) for axis in type(session).model_fields)
    assert len(found.cells) + sum(found.unplanned.values()) == variants_of(plan) * asked * len(plan.shapes) * sessions


@given(expansions())
def test_names_and_keys_are_unique_and_have_seven_parts(
    made: tuple[PlanFile, tuple[DeviceChoice, ...], Expansion],
) -> None:
    cells = made[2].cells
    assert len({cell.name for cell in cells}) == len({cell.key for cell in cells}) == len(cells)
    assert all(len(cell.name.split("/")) == 7 and not cell.name.split()[1:] for cell in cells)


@given(expansions())
def test_the_jobs_are_just_what_the_cells_need(made: tuple[PlanFile, tuple[DeviceChoice, ...], Expansion]) -> None:
    plan, _, found = made
    jobs = jobs_of(found.cells, sources_of(plan, Path("/lab")))
    needed = {(cell.variant, cell.shape) for cell in found.cells if cell.skip is None}
    offered = [(job.variant, shape) for job in jobs for shape in job.shapes]
    assert set(offered) == needed
    assert len(offered) == len(needed)
    assert len({job.variant for job in jobs}) == len(jobs)
    assert all(job.source.name == job.variant.model for job in jobs)


@given(plans)
def test_the_variants_without_devices_are_those_of_the_cells(data: dict[str, Any]) -> None:
    plan = PlanFile.model_validate(data)
    sources = sources_of(plan, Path("/lab"))
    probe = ProviderProbe("CPUExecutionProvider", 1)
    runtime = Runtime("1.32.0", "", "1.32.0", "", "3.11", "2", (probe.name,), (probe,), "")
    plan = plan.model_copy(update={"runtimes": "all", "providers": "available"})
    cells = expand(plan, sources, {}, [DeviceChoice("pi5", {}, (runtime,))], today=TODAY).cells
    planned = planned_variants(plan, sources, {}, today=TODAY)
    assert len({entry.variant for entry in planned}) == len(planned) == variants_of(plan)
    by_variant = {entry.variant: entry for entry in planned}
    for cell in cells:
        assert cell.shape in by_variant[cell.variant].shapes
        assert cell.skip == by_variant[cell.variant].skip


@given(expansions())
def test_a_static_variant_has_one_cell_for_each_runtime_chain_and_session(
    made: tuple[PlanFile, tuple[DeviceChoice, ...], Expansion],
) -> None:
    static = [cell for cell in made[2].cells if cell.variant.axes == "static"]
    assert {cell.shape.slug for cell in static} <= {"example"}
    places = {(cell.variant, cell.device, cell.runtime, cell.providers, cell.session) for cell in static}
    assert len(places) == len(static)


@given(expansions())
def test_every_device_has_cells_and_every_dimension_sized_is_held(
    made: tuple[PlanFile, tuple[DeviceChoice, ...], Expansion],
) -> None:
    plan, devices, found = made
    if "example" in plan.shapes:
        assert {cell.device for cell in found.cells} == {device.name for device in devices}
    for cell in found.cells:
        sized = {name for name, _ in cell.shape.sizes}
        if cell.variant.axes not in {"full", "asis"}:
            assert sized <= set(cell.variant.axes.split("+"))
        assert cell.skip is None or not (cell.skip.cause == "no_such_dimension" and sized)


@given(plans)
def test_any_plan_comes_back_from_its_stored_form(data: dict[str, Any]) -> None:
    plan = PlanFile.model_validate(data)
    assert plan_from_json(plan_to_json(plan)) == plan
