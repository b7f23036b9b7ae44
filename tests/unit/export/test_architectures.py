"""A cut of the plan `architectures`, exported for real; `scripts/bench export_architectures` runs all of it."""

from __future__ import annotations

import asyncio

import pytest
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.models.zoo import ZOO
from edgesweep.plan.cell import Shape, Variant

CUT = [
    ("distilbert", {}, "torchscript", 13, "full"),
    ("distilbert-eager", {"attention": "eager"}, "torchscript", 13, "full"),
    ("llama-decoder", {}, "torchscript", 18, "full"),
    # A capture costs more with every dimension; the whole plan has this one with all three.
    ("llama-decoder", {}, "dynamo", 18, "past_sequence"),
]
CACHE = [f"past.{layer}.{part}" for layer in (0, 1) for part in ("key", "value")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportResult]:
    if ZOO["bert"].missing:
        pytest.skip(ZOO["bert"].missing)
    jobs = [
        ExportJob(
            ModelSource(SourceKind.ZOO, name.removesuffix("-eager"), name, args=args),
            Variant(name, exporter, opset, axes),
            (Shape(),),
        )
        for name, args, exporter, opset, axes in CUT
    ]

    async def export_all() -> dict[str, ExportResult]:
        async with ExportService(tmp_path_factory.mktemp("architectures"), slots=1) as service:
            return {result.variant.name: result async for result in service.export(jobs)}

    return asyncio.run(export_all())


def test_fused_attention_needs_an_opset_that_spelt_out_attention_does_not(
    results: dict[str, ExportResult],
) -> None:
    fused = results["distilbert/torchscript-opset13-full-fp32"]
    assert fused.cause == "export_unsupported_op"
    assert "scaled_dot_product_attention" in fused.message
    spelt_out = results["distilbert-eager/torchscript-opset13-full-fp32"]
    assert spelt_out.passed, spelt_out.message
    assert spelt_out.produced.opset == 13
    assert spelt_out.produced.dynamic == dict.fromkeys(("input_ids", "attention_mask"), ("batch", "seq"))
    assert {"batch8", "seq8", "seq128", "batch3+seq128"} <= set(spelt_out.sizes_tried)


@pytest.mark.parametrize(
    ("slug", "ids", "cached", "sizes"),
    [
        (
            "torchscript-opset18-full-fp32",
            ("batch", "sequence"),
            ("batch", "past_sequence"),
            {"sequence1", "past_sequence1", "batch8+past_sequence1+sequence1", "batch3+past_sequence64+sequence32"},
        ),
        ("dynamo-opset18-past_sequence-fp32", None, ("past_sequence",), {"past_sequence1", "past_sequence64"}),
    ],
)
def test_a_decoders_cache_is_an_input_and_an_output_that_grows(
    slug: str, ids: tuple[str, ...] | None, cached: tuple[str, ...], sizes: set[str], results: dict[str, ExportResult]
) -> None:
    result = results[f"llama-decoder/{slug}"]
    assert result.passed, result.message
    proven = result.produced.dynamic
    assert proven.get("input_ids") == ids
    assert {path: proven[path] for path in CACHE} == dict.fromkeys(CACHE, cached)
    assert sizes <= set(result.sizes_tried)
    payload = result.payloads["example"]
    assert [tensor.name for tensor in payload.inputs] == ["input_ids", "attention_mask", "past_mask", *CACHE]
    assert [tensor.shape for tensor in payload.references] == [(1, 4, 512), *[(1, 2, 28, 16)] * 4]
