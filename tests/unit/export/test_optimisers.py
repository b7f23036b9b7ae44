from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep.errors import CATALOGUE
from edgesweep.export.failures.host import failure_of_host
from edgesweep.export.optimisers import optimiser_named
from edgesweep.export.registry import NONE, OPTIMISERS
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob
from edgesweep.export.workers.making import missing_package, steps_of
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

FACTORIES = Path(__file__).with_name("conversion_models.py")
TOOLS = [name for name in OPTIMISERS if name != NONE]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Callable[[str], ModelSource]:
    file = tmp_path_factory.mktemp("factories") / FACTORIES.name
    file.write_text(FACTORIES.read_text(encoding="utf-8"), encoding="utf-8")
    return lambda name: ModelSource(SourceKind.FACTORY, f"{file}:{name}", name)


@pytest.fixture(scope="module")
def results(export_all, tmp_path_factory, source) -> dict[str, ExportResult]:
    variants = [Variant("foldable", "torchscript", 17, "static", optimiser=tool) for tool in ("", *TOOLS)]
    variants += [Variant("perceptron", "torchscript", 17, "batch", "fp16", 8, tool) for tool in TOOLS]
    variants += [Variant("branch", "torchscript", 17, "static", optimiser=tool) for tool in TOOLS]
    jobs = [ExportJob(source(variant.model), variant, (Shape(),)) for variant in variants]
    return export_all(tmp_path_factory.mktemp("exports"), jobs, slots=1)


@pytest.mark.parametrize("tool", TOOLS)
def test_an_optimised_graph_is_smaller_and_proven(results, tool):
    plain = results["foldable/torchscript-opset17-static-fp32"]
    optimised = results[f"foldable/torchscript-opset17-static-fp32+{tool}"]
    assert plain.passed
    assert optimised.passed, optimised.message
    assert optimised.produced.nodes < plain.produced.nodes
    assert optimised.produced.opset == plain.produced.opset
    assert optimised.payloads == plain.payloads


@pytest.mark.parametrize("tool", TOOLS)
def test_steps_follow_each_other(results, tool):
    result = results[f"perceptron/torchscript-opset17-batch-fp16+ir8+{tool}"]
    assert result.passed, result.message
    assert result.produced.ir_version <= 8
    assert "float16" in result.produced.types
    assert result.produced.dynamic == {"x": ("batch",)}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_the_exporter_did_wrong_is_not_laid_to_the_optimiser(results, tool):
    result = results[f"branch/torchscript-opset17-static-fp32+{tool}"]
    assert result.cause == "wrong_output"
    assert tool not in result.message


def test_an_optimiser_that_is_not_installed_is_trouble_of_the_host(monkeypatch):
    variant = Variant("m", "dynamo", 18, "static", optimiser="onnxslim")
    assert not missing_package(variant)
    monkeypatch.setitem(sys.modules, "onnxslim", None)
    sentence = missing_package(variant)
    assert "pip install 'edgesweep[onnxslim]'" in sentence
    assert not CATALOGUE[failure_of_host(sentence).cause].stable


def test_no_optimiser_runs_unless_it_is_asked_for():
    assert steps_of(Variant("m", "dynamo", 18, "static")) == ()
    assert steps_of(Variant("m", "dynamo", 18, "static", optimiser=NONE)) == ()
    names = [step.name for step in steps_of(Variant("m", "dynamo", 18, "static", "int8-static", 8, "onnxslim"))]
    assert names == ["onnxslim", "int8-static"]


def test_every_optimiser_says_what_it_needs():
    assert all(optimiser_named(name).package and optimiser_named(name).extra for name in TOOLS)
