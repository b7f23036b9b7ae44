from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date

import pytest
from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.models.source import ModelFacts
from edgesweep.models.zoo import ZOO
from edgesweep.plan.builtin import builtin_text
from edgesweep.plan.cell import Cell, Shape, Skip, Variant
from edgesweep.plan.expand import SKIPPED_SHAPE, STATIC_SHAPE, UNHELD_SHAPE, DeviceChoice, Expansion, expand
from edgesweep.plan.load import LoadedPlan
from edgesweep.plan.sources import sources_of
from edgesweep.plan.trouble import in_force, trouble_of
from edgesweep_proto.device import ProviderProbe, Runtime

Read = Callable[[str], LoadedPlan]
MakeRuntime = Callable[..., Runtime]

TODAY = date(2026, 11, 23)
NET = "version: 1\nmodels: [{factory: 'lab.py:net', dynamic: {x: {0: batch, 2: height}}}]\n"


def expanded(
    loaded: LoadedPlan, *devices: DeviceChoice, facts: Mapping[str, ModelFacts] | None = None, today: date = TODAY
) -> Expansion:
    known = {name: entry.facts for name, entry in ZOO.items()} if facts is None else facts
    return expand(loaded.plan, sources_of(loaded.plan, loaded.base_dir), known, devices, today=today)


def slugs(cells: tuple[Cell, ...]) -> list[str]:
    return [f"{cell.variant.slug}/{cell.shape.slug}" for cell in cells]


def test_a_cell_bears_its_printable_name(read: Read, board: DeviceChoice) -> None:
    text = NET + "export: {exporters: dynamo, opsets: 18, axes: batch+height}\nshapes: {height: 64, batch: 4}\n"
    text += "session: {threads: 2, graph_optimization: basic, io_mode: host}\nproviders: ['tensorrt,cuda']\n"
    found = expanded(read(text), board)
    assert [cell.name for cell in found.cells] == [
        "pi5/net/dynamo-opset18-batch+height-fp32/1.32.0/tensorrt+cuda/batch4+height64/t2+io=host+opt=basic"
    ]


def test_the_design_example_on_one_board(read: Read, design_example: str, board: DeviceChoice) -> None:
    loaded = read(design_example)
    facts = {"mobile-cnn": ZOO["mobile-cnn"].facts, "resnet50": ModelFacts("resnet50", ("batch",), opset=12)}
    found = expanded(loaded, board, facts=facts)
    # Two exported models of 2 x 8 variants: static once, batch and full at two shapes; the file at two shapes.
    assert len(found.cells) == 2 * 16 * (1 + 2 + 2) + 2
    assert found.unplanned == {STATIC_SHAPE: 2 * 16}
    assert {cell.shape.slug for cell in found.cells if cell.variant.axes == "static"} == {"example"}
    assert [cell.name for cell in found.cells if cell.variant.model == "resnet50"] == [
        "pi5/resnet50/none-opset12-asis-fp32/1.32.0/cpu/example/t1",
        "pi5/resnet50/none-opset12-asis-fp32/1.32.0/cpu/batch4/t1",
    ]
    skipped = [cell for cell in found.cells if cell.skip is not None]
    assert {(cell.variant.model, cell.variant.opset) for cell in skipped} == {("segmenter", 13)}
    assert {cell.skip for cell in skipped} == {Skip("excluded", "https://tracker/1234")}
    assert len(skipped) == 10
    assert len({cell.variant for cell in found.cells if cell.skip is None}) == 2 * 16 * 3 - 6 + 1


def test_shapes_apply_where_the_profile_holds_their_dimensions(read: Read, board: DeviceChoice) -> None:
    text = NET + "export: {exporters: dynamo, opsets: 17, axes: [static, batch, height, full]}\n"
    text += "shapes: [example, {batch: 4}, {height: 64}, {batch: 2, height: 32}, {width: 9}]\n"
    found = expanded(read(text), board)
    assert slugs(found.cells) == [
        "dynamo-opset17-static-fp32/example",
        "dynamo-opset17-batch-fp32/example",
        "dynamo-opset17-batch-fp32/batch4",
        "dynamo-opset17-height-fp32/example",
        "dynamo-opset17-height-fp32/height64",
        "dynamo-opset17-full-fp32/example",
        "dynamo-opset17-full-fp32/batch4",
        "dynamo-opset17-full-fp32/height64",
        "dynamo-opset17-full-fp32/batch2+height32",
    ]
    assert found.unplanned == {STATIC_SHAPE: 4, UNHELD_SHAPE: 3 + 3 + 1}


def test_a_static_variant_runs_at_its_example_though_the_plan_lists_other_shapes(
    read: Read, board: DeviceChoice
) -> None:
    found = expanded(read(NET + "export: {exporters: dynamo, opsets: 17, axes: static}\nshapes: [{batch: 4}]\n"), board)
    assert slugs(found.cells) == ["dynamo-opset17-static-fp32/example"]
    assert found.unplanned == {}


def test_a_profile_with_a_dimension_that_the_model_lacks_is_skipped_once(read: Read, board: DeviceChoice) -> None:
    text = NET + "export: {exporters: dynamo, opsets: 17, axes: [batch+seq, width]}\nshapes: [example, {batch: 4}]\n"
    found = expanded(read(text), board)
    assert [(cell.variant.axes, cell.shape, cell.skip) for cell in found.cells] == [
        (
            "batch+seq",
            Shape(),
            Skip("no_such_dimension", "net has no dynamic dimension named seq; it declares batch, height"),
        ),
        (
            "width",
            Shape(),
            Skip("no_such_dimension", "net has no dynamic dimension named width; it declares batch, height"),
        ),
    ]
    assert found.unplanned == {SKIPPED_SHAPE: 2}
    assert all(cell.skip.cause in CATALOGUE for cell in found.cells if cell.skip)


def test_of_a_model_that_cannot_be_loaded_nothing_is_claimed(read: Read, board: DeviceChoice) -> None:
    text = "version: 1\nmodels: [{factory: 'lab.py:net'}]\nexport: {exporters: dynamo, opsets: 17, axes: [batch]}\n"
    found = expanded(read(text), board, facts={})
    assert [(cell.variant.axes, cell.skip) for cell in found.cells] == [("batch", None)]


def test_a_model_without_dimensions_is_static_under_full_and_lacks_batch(read: Read, board: DeviceChoice) -> None:
    text = "version: 1\nmodels: [{factory: 'lab.py:net'}]\nshapes: [example, {batch: 4}]\n"
    text += "export: {exporters: dynamo, opsets: 17, axes: [static, batch, full]}\n"
    found = expanded(read(text), board, facts={"net": ModelFacts("net", ())})
    assert [(cell.variant.axes, cell.skip and cell.skip.message) for cell in found.cells] == [
        ("static", None),
        ("batch", "net has no dynamic dimension named batch; it declares none"),
        ("full", None),
    ]
    assert found.unplanned == {STATIC_SHAPE: 2, SKIPPED_SHAPE: 1}


def test_full_and_batch_are_both_planned_when_they_mean_the_same(read: Read, board: DeviceChoice) -> None:
    text = "version: 1\nmodels: [{factory: 'lab.py:net', dynamic: {x: {0: batch}}}]\n"
    found = expanded(read(text + "export: {exporters: dynamo, opsets: 17, axes: [batch, full]}\n"), board)
    assert slugs(found.cells) == ["dynamo-opset17-batch-fp32/example", "dynamo-opset17-full-fp32/example"]


def test_facts_go_before_what_the_plan_declares(read: Read, board: DeviceChoice) -> None:
    loaded = read(NET + "export: {exporters: dynamo, opsets: 17, axes: width}\n")
    assert expanded(loaded, board).cells[0].skip is not None
    assert expanded(loaded, board, facts={"net": ModelFacts("net", ("width",))}).cells[0].skip is None


def test_an_onnx_file_without_facts_has_opset_zero_and_its_example(read: Read, board: DeviceChoice) -> None:
    loaded = read("version: 1\nmodels: [{onnx: m.onnx}]\nshapes: [{batch: 4}, {batch: 8}]\n")
    found = expanded(loaded, board, facts={})
    assert [(cell.variant, cell.shape) for cell in found.cells] == [(Variant("m", "none", 0, "asis"), Shape())]
    assert found.unplanned == {STATIC_SHAPE: 1}


def test_a_model_may_be_swept_more_narrowly_than_the_plan(read: Read, board: DeviceChoice) -> None:
    text = (
        "version: 1\nmodels:\n  - {zoo: detector, export: {opsets: 18, axes: [static]}}\n"
        "  - {zoo: text-encoder, export: {exporters: torchscript}}\nexport: {opsets: [17, 18], axes: [static, batch]}\n"
    )
    counts = Counter((cell.variant.model, cell.variant.exporter) for cell in expanded(read(text), board).cells)
    assert counts == {("detector", "dynamo"): 1, ("detector", "torchscript"): 1, ("text-encoder", "torchscript"): 4}


def on_device(read: Read, device: DeviceChoice, lines: str = "") -> list[str]:
    text = "version: 1\nmodels: [{zoo: detector}]\nexport: {exporters: dynamo, opsets: 17, axes: static}\n"
    return [f"{cell.runtime}/{'+'.join(cell.providers)}" for cell in expanded(read(text + lines), device).cells]


def test_available_means_a_chain_for_each_provider_that_ran_a_node(read: Read, runtime: MakeRuntime) -> None:
    device = DeviceChoice("nano", {}, (runtime("1.23.2", "tensorrt", "cuda", "cpu"),))
    assert on_device(read, device) == ["1.23.2/tensorrt", "1.23.2/cuda", "1.23.2/cpu"]


def test_a_provider_that_no_plan_can_name_is_not_available(read: Read, runtime: MakeRuntime) -> None:
    """A plug-in may call its provider anything."""
    plain = runtime("1.32.0", "cpu")
    odd = replace(plain, providers=(*plain.providers, ProviderProbe("ggml", 2, plugin="ggml")))
    assert on_device(read, DeviceChoice("pi5", {}, (odd,))) == ["1.32.0/cpu"]


def test_explicit_chains_become_cells_on_every_runtime(read: Read, runtime: MakeRuntime) -> None:
    device = DeviceChoice("pi5", {}, (runtime("1.23.2"),))
    chains = "providers: [cpu, 'TensorrtExecutionProvider,cuda', VitisAIExecutionProvider]\n"
    assert on_device(read, device, chains) == ["1.23.2/cpu", "1.23.2/tensorrt+cuda", "1.23.2/VitisAIExecutionProvider"]


def test_newest_is_the_newest_of_each_flavour(read: Read, runtime: MakeRuntime) -> None:
    device = DeviceChoice(
        "pi5",
        {},
        (
            runtime("1.9.0"),
            runtime("1.24.0.dev20260101"),
            runtime("1.23.2"),
            runtime("1.23.10", suffix="@py310", python="3.10.4"),
            runtime("1.23.10", suffix="@py311", python="3.11.4"),
            runtime("1.32.0", fault="numpy is missing"),
            runtime("1.20.0", "openvino", flavour="openvino"),
            runtime("1.24.1", "openvino", flavour="openvino"),
        ),
    )
    assert on_device(read, device) == ["1.24.0.dev20260101/cpu", "openvino-1.24.1/openvino"]
    without_preview = DeviceChoice("pi5", {}, tuple(r for r in device.runtimes if "dev" not in r.version))
    assert on_device(read, without_preview) == ["1.23.10@py311/cpu", "openvino-1.24.1/openvino"]
    released = DeviceChoice("pi5", {}, (runtime("1.24.0.dev20260101"), runtime("1.24.0"), runtime("1.24.0rc1")))
    assert on_device(read, released) == ["1.24.0/cpu"]


def test_all_means_every_runtime_that_works(read: Read, runtime: MakeRuntime) -> None:
    device = DeviceChoice("pi5", {}, (runtime("1.19.2"), runtime("1.23.2"), runtime("1.32.0", fault="broken")))
    assert on_device(read, device, "runtimes: all\n") == ["1.19.2/cpu", "1.23.2/cpu"]


def test_named_runtimes_are_planned_though_the_device_lacks_them(read: Read, runtime: MakeRuntime) -> None:
    device = DeviceChoice(
        "pi5", {}, (runtime("1.19.2", suffix="@py38"), runtime("1.19.2", suffix="@py310"), runtime("1.23.2"))
    )
    listed = "runtimes: ['1.23.2', '1.19.2', openvino-1.24.1]\n"
    assert on_device(read, device, listed) == [
        "1.23.2/cpu",
        "1.19.2@py38/cpu",
        "1.19.2@py310/cpu",
        "openvino-1.24.1/cpu",
    ]
    assert on_device(read, device, "runtimes: ['1.19.2@py38']\n") == ["1.19.2@py38/cpu"]
    assert on_device(read, DeviceChoice("pi5"), "runtimes: ['1.23.2']\n") == ["1.23.2/cpu"]


def test_a_device_without_runtimes_keeps_its_cells(read: Read, runtime: MakeRuntime) -> None:
    broken = (runtime("1.23.2", fault="broken"),)
    assert on_device(read, DeviceChoice("pi5")) == ["unknown/cpu"]
    assert on_device(read, DeviceChoice("pi5", reachable=False), "providers: [cuda, 'tensorrt,cuda']\n") == [
        "unknown/cuda",
        "unknown/tensorrt+cuda",
    ]
    assert on_device(read, DeviceChoice("pi5", {}, broken)) == ["none/cpu"]
    assert on_device(read, DeviceChoice("pi5", reachable=True), "providers: [cuda]\n") == ["none/cuda"]


def test_a_runtime_in_which_no_provider_ran_is_asked_for_the_cpu(read: Read, runtime: MakeRuntime) -> None:
    deaf = Runtime("1.23.2", "", "1.23.2", "", "3.11", "2", ("CPUExecutionProvider",), ())
    assert on_device(read, DeviceChoice("pi5", {}, (deaf,))) == ["1.23.2/cpu"]


def test_options_of_a_chain_reach_the_cell_and_its_key(read: Read, board: DeviceChoice) -> None:
    text = NET + "export: {exporters: dynamo, opsets: 17, axes: static}\n"
    with_options = "providers: [{chain: 'tensorrt,cuda', options: {tensorrt: {trt_fp16_enable: '1'}}}]\n"
    cell = expanded(read(text + with_options), board).cells[0]
    plain = expanded(read(text + "providers: ['tensorrt,cuda']\n"), board).cells[0]
    assert cell.provider_options == {"tensorrt": {"trt_fp16_enable": "1"}}
    assert cell.name == plain.name
    assert cell.key != plain.key


def test_two_cells_of_one_name_are_refused(read: Read, board: DeviceChoice) -> None:
    text = NET + "export: {exporters: dynamo, opsets: 17, axes: static}\n"
    with pytest.raises(EdgesweepError) as caught:
        expanded(read(text + "providers: [cuda]\n"), board, board)
    assert caught.value.code == "plan_invalid"
    name = "pi5/net/dynamo-opset17-static-fp32/1.32.0/cuda/example/t1"
    assert caught.value.message == f"2 cells of the plan have the name {name}"


TROUBLE = NET + "export: {exporters: [dynamo, torchscript], opsets: [13, 17], axes: [static, batch]}\n"


@pytest.mark.parametrize(
    ("entry", "excluded"),
    [
        ("{model: net}", 8),
        ("{model: 'n*', opset: 13}", 4),
        ("{opset: '13..16', exporter: dynamo}", 2),
        ("{axes: [batch, full]}", 4),
        ("{exporter: torch*, axes: batch, opset: [13, 17]}", 2),
        ("{device: pi?}", 8),
        ("{device: site=lab1}", 8),
        ("{device: site=lab2}", 0),
        ("{runtime: '1.32.*', providers: cpu, shape: example, threads: 1, precision: fp32}", 8),
        ("{threads: 2}", 0),
        ("{providers: ['cuda,cpu', cpu]}", 8),
    ],
)
def test_an_exclusion_means_cells_whose_parts_all_match(
    read: Read, board: DeviceChoice, entry: str, excluded: int
) -> None:
    found = expanded(read(f"{TROUBLE}exclude: [{entry}]\n"), board)
    assert sum(cell.skip == Skip("excluded") for cell in found.cells) == excluded
    assert len(found.cells) == 8
    assert found.notes == (() if excluded else ("exclude[0] means no cell of this plan",))


def test_known_failures_run_and_are_marked(read: Read, board: DeviceChoice) -> None:
    loaded = read(
        TROUBLE + "known_failures: [{opset: 13, axes: batch, reason: 'issue 7'}]\nexclude: [{exporter: dynamo}]\n"
    )
    found = expanded(loaded, board)
    known = {
        cell.name: entry[1].reason
        for cell in found.cells
        if cell.skip is None and (entry := trouble_of(cell, loaded.plan.known_failures, board.labels, today=TODAY))
    }
    assert known == {"pi5/net/torchscript-opset13-batch-fp32/1.32.0/cpu/example/t1": "issue 7"}


def test_an_entry_counts_on_its_last_day_and_not_after(read: Read, board: DeviceChoice) -> None:
    loaded = read(
        TROUBLE + "exclude: [{opset: 13, until: 2027-01-31}]\nknown_failures: [{opset: 17, until: 2027-01-31}]\n"
    )
    last = expanded(loaded, board, today=date(2027, 1, 31))
    assert sum(cell.skip is not None for cell in last.cells) == 4
    assert last.notes == ()
    (known,) = loaded.plan.known_failures
    assert in_force(known, date(2027, 1, 31))
    after = expanded(loaded, board, today=date(2027, 2, 1))
    assert [cell for cell in after.cells if cell.skip] == []
    assert not in_force(known, date(2027, 2, 1))
    assert after.notes == (
        "exclude[0] ended on 2027-01-31 and no longer counts",
        "known_failures[0] ended on 2027-01-31 and no longer counts",
    )


def test_no_devices_no_cells(read: Read) -> None:
    assert expanded(read(NET)) == Expansion((), {})


def test_the_quickstart_covers_the_ground(read: Read, board: DeviceChoice) -> None:
    loaded = read(builtin_text("quickstart"))
    found = expanded(loaded, board)
    assert (loaded.plan.name, loaded.plan.measure.preset, loaded.plan.fail_on) == ("quickstart", "smoke", ("none",))
    assert 60 <= len(found.cells) <= 100
    assert all(cell.skip is None for cell in found.cells)
    assert found.unplanned == {}
    variants = [cell.variant for cell in found.cells]
    assert len({variant.model for variant in variants}) >= 4
    assert {variant.exporter for variant in variants} == {"dynamo", "torchscript"}
    assert {variant.opset for variant in variants} == {13, 17, 18, 20, 23}
    assert {variant.axes for variant in variants} == {"static", "batch", "full"}
    assert ("dynamo", 13) in {(variant.exporter, variant.opset) for variant in variants}
    assert ("fourier-mixer", "torchscript") in {(variant.model, variant.exporter) for variant in variants}
