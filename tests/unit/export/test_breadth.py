"""Every kind of input and output: it passes with torch's numbers under the model's own names, or ends with what helps."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgesweep.errors import CATALOGUE
from edgesweep.export.result import ExportResult
from edgesweep.models.source import ModelSource, SourceKind

sys.path.insert(0, str(Path(__file__).parent))
from breadth_kinds import KINDS  # a table beside this file, shared with the benchmark

MODELS = Path(__file__).with_name("breadth_models.py")
EXPORTERS = {"dynamo": 18, "torchscript": 17}
CUT = {name: kind for name, kind in KINDS.items() if kind.cut}
PASSING = [(name, exporter) for name, kind in CUT.items() for exporter in EXPORTERS if not kind.cause_of(exporter)]
ENDING = [(name, exporter) for name, kind in CUT.items() for exporter in EXPORTERS if kind.cause_of(exporter)]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("breadth")


@pytest.fixture(scope="module")
def exported(root, make_job, export_all) -> Callable[[str, str], ExportResult]:
    file = root / "breadth_models.py"
    file.write_text(MODELS.read_text(encoding="utf-8"), encoding="utf-8")
    jobs = []
    for name, kind in CUT.items():
        source = ModelSource(SourceKind.FACTORY, f"{file}:{name}", name)
        for exporter, opset in EXPORTERS.items():
            jobs.append(make_job(source, exporter, opset, "static" if kind.cause_of(exporter) else "full"))
    results = export_all(root / "store", jobs)
    return lambda name, exporter: next(
        result for result in results.values() if (result.variant.model, result.variant.exporter) == (name, exporter)
    )


@pytest.mark.parametrize(("name", "exporter"), PASSING)
def test_it_passes_under_the_model_s_own_names(exported, name, exporter):
    result, kind = exported(name, exporter), KINDS[name]
    assert result.passed, (result.cause, result.message)
    payload = result.payloads["example"]
    assert tuple(tensor.name for tensor in payload.inputs) == kind.inputs_of(exporter)
    assert len(payload.references) == kind.outputs
    measured = [size for size in result.proof if not size.label.startswith("example with")]
    assert result.numerics.outputs_compared == kind.outputs * len(measured)


@pytest.mark.parametrize(("name", "exporter"), ENDING)
def test_what_cannot_be_exported_ends_with_its_reason(exported, name, exporter):
    result, kind = exported(name, exporter), KINDS[name]
    assert result.cause == kind.cause_of(exporter)
    assert kind.words in result.message
    assert CATALOGUE[result.cause].remedy


def test_payloads_hold_the_example_and_torch_s_answer_in_their_own_types(exported, root):
    payload = exported("all_types", "torchscript").payloads["example"]
    arrays = {
        tensor.name: np.load(root / "store" / "blobs" / tensor.blob.sha256[:2] / tensor.blob.sha256)
        for tensor in (*payload.inputs, *payload.references)
    }
    types = [str(array.dtype) for array in arrays.values()]
    assert types[:8] == ["float16", "float64", "int64", "int8", "uint8", "bool", "float32", "float32"]
    assert types[8:] == ["float16", "float64", "int64", "int8", "uint8", "bool", "float32", "int64", "float32"]
    np.testing.assert_array_equal(arrays["output_2"], np.arange(12).reshape(3, 4) + 3)
    np.testing.assert_array_equal(arrays["output_5"], np.arange(12).reshape(3, 4) % 3 != 0)
    assert arrays["factor"].shape == arrays["output_7"].shape == ()
    assert arrays["past"].shape == (3, 0)


def test_every_factory_has_its_expectation():
    names = re.findall(r"^def ([a-z]\w*)\(\):", MODELS.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names) == set(KINDS)
