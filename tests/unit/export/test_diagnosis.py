"""What torch really writes about models that it cannot export, and what is left of it for the user."""

from __future__ import annotations

import errno
import textwrap
import warnings
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.export.failures.classify import classify
from edgesweep.export.failures.conversion import conversion_failure
from edgesweep.export.failures.diagnosis import actionable
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import DIAGNOSIS_MAX_CHARS, host_failure
from edgesweep.export.proof.cases import ModelRefusesError
from edgesweep.export.proof.prove import _unprovable
from edgesweep.export.workers.main import _factory_failure
from edgesweep.export.workers.workshop import _refused_example

MODELS = """
import torch

class Branch(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1

class Number(torch.nn.Module):
    def forward(self, x):
        count = int((x[0] > 0).sum())
        return x * 2 if count > 1 else x

class Sparse(torch.nn.Module):
    def forward(self, x):
        return x.to_sparse().to_dense()

class Gamma(torch.nn.Module):
    def forward(self, x):
        return torch.polygamma(2, x)

class Own(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("expected 3 channels")

class Fixed(torch.nn.Module):
    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1)

class Even(torch.nn.Module):
    def forward(self, x):
        return x.reshape(x.shape[0] // 2, 2, -1).sum(1)

class Few(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] > 4 else x
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> ModuleType:
    path = Path(tmp_path_factory.mktemp("models")) / "lab.py"
    path.write_text(textwrap.dedent(MODELS), encoding="utf-8")
    spec = util.spec_from_file_location("lab", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusal(call: Callable[[], Any]) -> Failure:
    """What `classify` makes of the exception that `call` really raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as an export worker does
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever torch raises; the test is about what it says
            call()
    return classify(caught.value, "dynamo", 18)


@pytest.fixture
def refused(models, tmp_path, capfd) -> Callable[[str], Failure]:
    """The failure of a model under the ONNX exporter."""
    import torch

    def export(name: str) -> Failure:
        dims = {"x": {0: torch.export.Dim("batch", min=1, max=8)}}
        args = (torch.randn(4, 8),)
        module = getattr(models, name)().eval()
        return refusal(
            lambda: torch.onnx.export(
                module, args, str(tmp_path / "o.onnx"), dynamo=True, dynamic_shapes=dims, verbose=False
            )
        )

    return export


@pytest.fixture
def uncaptured(models) -> Callable[[str], Failure]:
    """The failure of a model under torch's own capture, which tells of dimensions that the ONNX exporter refines away."""
    import torch

    def capture(name: str, **bounds: int) -> Failure:
        dims = {"x": {0: torch.export.Dim("batch", **({"min": 1, "max": 8} | bounds))}}
        module = getattr(models, name)().eval()
        return refusal(lambda: torch.export.export(module, (torch.randn(4, 8),), dynamic_shapes=dims))

    return capture


def test_a_branch_on_data_is_told_with_the_line_of_the_model(refused):
    failure = refused("Branch")
    assert failure.cause == "export_data_dependent"
    assert failure.message == "the model branches on the values of its input at lab.py:6 in forward: if x.sum() > 0:"
    assert actionable(failure.detail) == (
        "your code: lab.py:6 in forward: if x.sum() > 0:",
        "it branches on data: the condition Eq(u0, 1) depends on the input's values",
    )
    assert len(failure.detail) > 10_000
    assert failure.detail.startswith("Traceback")
    assert "\x1b" not in failure.detail


def test_a_python_number_of_a_value_is_told_apart_from_a_branch(refused):
    failure = refused("Number")
    assert failure.cause == "export_data_dependent"
    assert failure.message.startswith("the model makes a Python number of a value of its input at lab.py:12 in forward")
    assert any(line.startswith("it needs a Python number of a value") for line in actionable(failure.detail))


@pytest.mark.parametrize(("name", "operator"), [("Sparse", "aten._to_sparse.default"), ("Gamma", "aten.polygamma")])
def test_an_operator_without_a_translation_is_named(refused, name, operator):
    failure = refused(name)
    assert (failure.cause, failure.message) == (
        "export_unsupported_op",
        f"dynamo has no ONNX form for {operator} at opset 18",
    )
    assert any(line.startswith(f"operator without a translation: {operator}") for line in actionable(failure.detail))


def test_the_models_own_error_is_told_in_its_own_words(refused):
    failure = refused("Own")
    assert failure.cause == "export_error"
    assert "RuntimeError: expected 3 channels" in failure.message
    assert actionable(failure.detail) == (
        'your code: lab.py:25 in forward: raise RuntimeError("expected 3 channels")',
        "RuntimeError: expected 3 channels",
    )


def test_a_specialised_dimension_is_named_with_its_size(uncaptured):
    failure = uncaptured("Fixed")
    assert failure.cause == "dynamic_dim_static"
    assert failure.message.startswith("torch made dimension 'batch' static at 4")
    assert actionable(failure.detail) == (
        "dimension 'batch' came out constant, always 4",
        "torch suggests: batch = 4",
    )


def test_a_violated_constraint_comes_with_what_torch_suggests(uncaptured):
    failure = uncaptured("Few")
    assert failure.cause == "dynamic_dim_refused"
    assert "2 <= batch and batch <= 4" in failure.message
    assert "torch suggests batch = Dim('batch', max=4)" in failure.message
    assert "L['x']" not in " ".join(actionable(failure.detail))
    suggested = [line for line in actionable(uncaptured("Even").detail) if line.startswith("torch suggests")]
    assert suggested == ["torch suggests: _batch = Dim('_batch', min=1, max=4)", "torch suggests: batch = 2*_batch"]


def test_an_example_outside_its_range_is_told(uncaptured):
    failure = uncaptured("Few", min=5)
    assert failure.cause == "dynamic_dim_refused"
    assert "4 not in range [5, 8]" in failure.message


def test_an_endless_diagnosis_keeps_its_head_and_its_tail():
    failure = classify(RuntimeError("first words\n" + "graph\n" * 100_000 + "last words"), "dynamo", 18)
    assert len(failure.detail) < DIAGNOSIS_MAX_CHARS + 100
    assert "first words" in failure.detail
    assert failure.detail.rstrip().endswith("last words")
    assert "characters left out" in failure.detail


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(lambda error: conversion_failure(error, "precision_unsupported", "fp16"), id="conversion"),
        pytest.param(lambda error: host_failure(OSError(errno.ENOSPC, str(error))), id="host"),
        pytest.param(
            lambda error: _factory_failure(_raised_from(EdgesweepError("model_unusable", "no"), error)), id="factory"
        ),
        pytest.param(lambda error: _refused_example(_raised_from(ModelRefusesError("no"), error)), id="example"),
        pytest.param(lambda error: _unprovable("no", str(error)), id="proof"),
    ],
)
def test_every_step_keeps_the_head_and_the_tail_of_its_pages(judge):
    failure = judge(ValueError("the first line\n" + "advice\n" * 4000 + "the last line"))
    assert "the first line" in failure.detail
    assert "the last line" in failure.detail


def _raised_from(error, cause):
    error.__cause__ = cause
    return error


def test_words_without_anything_to_act_on_give_nothing():
    assert actionable("") == ()
    assert actionable("all went well\n") == ()
