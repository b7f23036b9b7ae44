from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from edgesweep.models.source import ModelFacts
from edgesweep.plan.cell import Shape, Skip
from edgesweep.plan.load import LoadedPlan
from edgesweep.plan.sources import sources_of
from edgesweep.plan.variants import PlannedVariant, planned_variants

Read = Callable[[str], LoadedPlan]

TODAY = date(2026, 11, 23)
NET = "version: 1\nmodels: [{factory: 'lab.py:net', dynamic: {x: {0: batch, 2: height}}}]\n"
EXPORT = "export: {exporters: [dynamo, torchscript], opsets: [13, 17], axes: [static, batch]}\n"


def planned(loaded: LoadedPlan, **facts: ModelFacts) -> tuple[PlannedVariant, ...]:
    return planned_variants(loaded.plan, sources_of(loaded.plan, loaded.base_dir), facts, today=TODAY)


def test_every_list_of_the_export_section_multiplies(read: Read) -> None:
    text = (
        NET
        + "export: {exporters: dynamo, opsets: 17, axes: [static, batch], precisions: fp32, ir_version: [null, 8]}\n"
    )
    assert [entry.variant.name for entry in planned(read(text))] == [
        "net/dynamo-opset17-static-fp32",
        "net/dynamo-opset17-static-fp32+ir8",
        "net/dynamo-opset17-batch-fp32",
        "net/dynamo-opset17-batch-fp32+ir8",
    ]


def test_the_shapes_are_those_that_the_profile_holds(read: Read) -> None:
    text = NET + "export: {exporters: dynamo, opsets: 17, axes: [static, batch, full, width]}\n"
    found = planned(read(text + "shapes: [example, {batch: 4}, {height: 64}]\n"))
    assert {entry.variant.axes: [shape.slug for shape in entry.shapes] for entry in found} == {
        "static": ["example"],
        "batch": ["example", "batch4"],
        "full": ["example", "batch4", "height64"],
        "width": ["example"],
    }
    assert [entry.dimensions for entry in found] == [(), ("batch",), ("batch", "height"), ("width",)]
    assert found[3].skip is not None
    assert found[3].skip.cause == "no_such_dimension"
    assert found[3].shapes == (Shape(),)


@pytest.mark.parametrize(
    ("entry", "excluded"),
    [
        ("{opset: 13, reason: 'issue 7'}", 4),
        ("{model: 'n*', exporter: torchscript, reason: 'issue 7'}", 4),
        ("{opset: 13, until: 2026-11-22, reason: 'issue 7'}", 0),
        # These name cells of a variant, not the variant: some device may still want it.
        ("{opset: 13, device: pi4, reason: 'issue 7'}", 0),
        ("{opset: 13, threads: 4, reason: 'issue 7'}", 0),
        ("{opset: 13, shape: batch4, reason: 'issue 7'}", 0),
        ("{opset: 13, runtime: '1.16.*', reason: 'issue 7'}", 0),
        ("{opset: 13, providers: cpu, reason: 'issue 7'}", 0),
    ],
)
def test_an_exclusion_counts_when_it_means_the_whole_variant(read: Read, entry: str, excluded: int) -> None:
    found = planned(read(f"{NET}{EXPORT}exclude: [{entry}]\n"))
    assert sum(each.skip == Skip("excluded", "issue 7") for each in found) == excluded
    assert sum(each.skip is None for each in found) == 8 - excluded


def test_a_model_that_lacks_its_package_is_skipped_with_the_words(read: Read) -> None:
    found = planned(read(NET + EXPORT), net=ModelFacts("net", ("batch",), missing="needs transformers"))
    assert {entry.skip for entry in found} == {Skip("package_missing", "needs transformers")}
