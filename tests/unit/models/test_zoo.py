from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from edgesweep.errors import EdgesweepError
from edgesweep.models.describe import describe_source, facts_of
from edgesweep.models.inputs import inputs_at
from edgesweep.models.load import load_model
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.models.zoo import ZOO, find_entry

#: The models that need no package beyond torch; `test_architectures.py` has the others.
OWN = [name for name, entry in ZOO.items() if not entry.needs]


def source(name: str, **fields: object) -> ModelSource:
    return ModelSource(SourceKind.ZOO, name, name, **fields)


def outputs(name: str, model: object, sizes: dict[str, int], seed: int = 0) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        given = model.module(**inputs_at(model, sizes, seed))
    return given if isinstance(given, tuple) else (given,)


@pytest.mark.parametrize(
    "what",
    [
        "import edgesweep.models.zoo as z; assert z.ZOO",
        "import edgesweep; edgesweep.Model",
        "import edgesweep.models.load, edgesweep.models.describe, edgesweep.models.onnx_file, edgesweep.models.inputs",
        (
            "from edgesweep.models import describe, source as s, zoo\n"
            "[describe.describe_source(s.ModelSource(s.SourceKind.ZOO, n, n)) for n in zoo.ZOO]"
        ),
    ],
)
def test_what_planning_needs_imports_neither_torch_nor_onnx_nor_numpy(what: str) -> None:
    check = f"import sys\n{what}\nprint(*({{'torch', 'onnx', 'numpy', 'onnxruntime'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", OWN)
def test_registered_facts_are_those_of_the_model(name: str) -> None:
    model = load_model(source(name))
    assert facts_of(model, source(name)) == ZOO[name].facts == describe_source(source(name))
    assert model.dynamic == ZOO[name].dynamic
    assert model.name == name
    assert not model.module.training


@pytest.mark.parametrize("name", OWN)
def test_building_twice_gives_the_same_weights_and_examples_whatever_the_global_seed(name: str) -> None:
    torch.manual_seed(1)
    first = load_model(source(name))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = load_model(source(name))
    assert torch.equal(torch.get_rng_state(), state), "building must not disturb the user's random numbers"
    one, two = first.module.state_dict(), second.module.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)
    for key, value in inputs_at(first, {}).items():
        assert torch.equal(value, inputs_at(second, {})[key])


def test_weights_do_not_hang_on_the_processors_instructions() -> None:
    digest = """
import hashlib, torch
from edgesweep.models.inputs import inputs_at
from edgesweep.models.load import load_model
from edgesweep.models.source import ModelSource, SourceKind
found = hashlib.sha256()
for name in ("detector", "fourier-mixer"):
    model = load_model(ModelSource(SourceKind.ZOO, name, name))
    for tensor in [*model.module.state_dict().values(), *inputs_at(model, {}).values()]:
        found.update(tensor.numpy().tobytes())
print(torch.backends.cpu.get_cpu_capability(), found.hexdigest())
"""
    capability, expected = _run(digest, {}).split()
    plain, found = _run(digest, {"ATEN_CPU_CAPABILITY": "default"}).split()
    assert found == expected, f"{plain} differs from {capability}"


def _run(code: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment}).stdout


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("end", [0, 1], ids=["least", "most"])
def test_outputs_are_healthy_at_both_ends_of_the_ranges(name: str, end: int) -> None:
    model = load_model(source(name))
    sizes = {dimension: bounds[end] for dimension, bounds in model.ranges.items()}
    for output in outputs(name, model, sizes):
        assert output.shape[0] == sizes["batch"]
        assert bool(torch.isfinite(output).all())
        assert 0.1 < float(output.std()) < 10
        assert float(output.abs().max()) < 100


@pytest.mark.parametrize("name", OWN)
def test_outputs_at_an_odd_size_depend_on_the_input_by_far_more_than_the_tolerance(name: str) -> None:
    model = load_model(source(name))
    sizes = {dimension: (low + high) // 2 | 1 for dimension, (low, high) in model.ranges.items()} | {"batch": 2}
    for one, two in zip(outputs(name, model, sizes, 0), outputs(name, model, sizes, 1), strict=True):
        assert one.shape == two.shape
        excess = (one - two).abs() / (1e-4 + 1e-3 * two.abs())
        assert float(excess.median()) > 5
    # Each item of a batch is computed by itself: what a dynamic batch must keep.
    inputs = inputs_at(model, sizes)
    with torch.no_grad():
        alone = model.module(**{key: value[:1] for key, value in inputs.items()})
    alone = alone if isinstance(alone, tuple) else (alone,)
    for one, whole in zip(alone, outputs(name, model, sizes), strict=True):
        torch.testing.assert_close(one, whole[:1], rtol=1e-3, atol=1e-4)


def test_the_detector_gives_a_box_for_every_cell_of_its_three_scales() -> None:
    boxes, scores = outputs("detector", load_model(source("detector")), {"height": 101, "width": 199})
    positions = sum((101 // stride) * (199 // stride) for stride in (8, 16, 32))
    assert boxes.shape == (1, positions, 4)
    assert scores.shape == (1, positions, 20)
    assert bool((boxes[..., 2:] > boxes[..., :2]).all()), "right of left, below the top"
    assert 0 <= float(scores.min()) <= float(scores.max()) <= 1


def test_the_text_encoder_heeds_its_mask() -> None:
    model = load_model(source("text-encoder"))
    inputs = inputs_at(model, {"seq": 16})
    mask = inputs["attention_mask"].clone()
    mask[:, 10:] = 0
    changed = inputs["input_ids"].clone()
    changed[:, 10:] = 7
    with torch.no_grad():
        first = model.module(inputs["input_ids"], mask)[0][:, :10]
        second = model.module(changed, mask)[0][:, :10]
        unmasked = model.module(changed, inputs["attention_mask"])[0][:, :10]
    torch.testing.assert_close(first, second)
    assert float((first - unmasked).abs().max()) > 0.01


def test_arguments_reach_the_builder() -> None:
    model = load_model(source("mobile-cnn", args={"classes": 7}))
    assert outputs("mobile-cnn", model, {"height": 96, "width": 96})[0].shape == (1, 7)
    assert describe_source(source("mobile-cnn", args={"classes": 7})) is None, "arguments may change the facts"


def test_no_dimension_is_wider_than_its_example() -> None:
    for entry in ZOO.values():
        assert entry.facts.dimensions == tuple(entry.facts.ranges) == tuple(entry.facts.example)
        for name, (low, high) in entry.facts.ranges.items():
            assert low <= entry.facts.example[name] <= high
            assert any(math.gcd(size, entry.facts.example[name]) == 1 for size in range(low + 1, high))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(EdgesweepError, match="no built-in model 'mobil-cnn'; did you mean 'mobile-cnn'"):
        find_entry("mobil-cnn")
    with pytest.raises(EdgesweepError, match="they are: mobile-cnn, text-encoder") as caught:
        load_model(source("zzz"))
    assert caught.value.code == "model_unusable"
