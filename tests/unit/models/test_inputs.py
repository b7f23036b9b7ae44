from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from edgesweep.errors import EdgesweepError
from edgesweep.models.inputs import example_of, example_sizes, inputs_at, tensors_in
from edgesweep.models.model import Model
from hypothesis import given, settings
from hypothesis import strategies as st


class Pair(NamedTuple):
    key: Any
    value: Any


class Takes(torch.nn.Module):
    def forward(self, x: Any, other: Any = None, *rest: Any, **named: Any) -> Any:
        return x


def model_of(*tensors: Any, dynamic: dict[str, dict[int, str]] | None = None) -> Model:
    return Model(Takes().eval(), tensors, dynamic or {"x": {0: "batch", 1: "seq"}}, name="m")


def test_no_sizes_give_the_example_itself() -> None:
    x = torch.randn(2, 3)
    assert inputs_at(model_of(x), {})["x"] is x
    assert inputs_at(model_of(x), {"batch": 2})["x"] is x, "nor does the example's own size change it"


@given(batch=st.integers(1, 9), seq=st.integers(1, 40), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_sizes_are_kept_and_a_seed_repeats_itself(batch: int, seq: int, seed: int) -> None:
    model = model_of(torch.randn(2, 7, 3), torch.arange(14).reshape(2, 7), dynamic={
        "x": {0: "batch", 1: "seq"}, "other": {0: "batch", 1: "seq"},
    })  # fmt: skip
    inputs = inputs_at(model, {"batch": batch, "seq": seq}, seed)
    assert list(inputs) == ["x", "other"]
    assert inputs["x"].shape == (batch, seq, 3)
    assert inputs["x"].dtype == torch.float32
    assert inputs["other"].shape == (batch, seq)
    assert inputs["other"].dtype == torch.int64
    assert 0 <= int(inputs["other"].min()) <= int(inputs["other"].max()) <= 13
    again = inputs_at(model, {"batch": batch, "seq": seq}, seed)
    assert all(torch.equal(inputs[name], again[name]) for name in inputs)


def test_another_seed_and_another_input_give_other_values() -> None:
    model = model_of(torch.randn(2, 7), torch.randn(2, 7), dynamic={"x": {0: "batch"}, "other": {0: "batch"}})
    first, second = inputs_at(model, {"batch": 5}, 0), inputs_at(model, {"batch": 5}, 1)
    assert not torch.equal(first["x"], second["x"])
    assert not torch.equal(first["x"], first["other"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_lie_like_the_examples_and_hold_no_denormal(dtype: torch.dtype) -> None:
    example = torch.linspace(0.0, 1.0, 101).reshape(1, 101).to(dtype)
    drawn = inputs_at(model_of(example), {"batch": 64})["x"]
    assert drawn.dtype == dtype
    assert 0.0 <= float(drawn.min()) < 0.1
    assert 0.9 < float(drawn.max()) <= 1.0
    assert abs(float(drawn.double().mean()) - 0.5) < 0.05
    size = drawn.abs().double()
    assert bool(((size == 0) | (size >= torch.finfo(dtype).tiny)).all())


def test_no_two_floats_are_equal_because_they_were_kept_inside_the_examples_bounds() -> None:
    example = torch.tensor([[-1.0, 0.5, 1.0]], dtype=torch.float64)
    drawn = inputs_at(model_of(example), {"batch": 2000})["x"]
    assert -1.0 <= float(drawn.min()) < float(drawn.max()) <= 1.0
    assert drawn.unique().numel() == drawn.numel(), "topk and sort give equal values in any order"


def test_a_constant_example_keeps_its_sign_and_zeros_become_normal_numbers() -> None:
    ones = inputs_at(model_of(torch.ones(1, 4)), {"batch": 50})["x"]
    assert 0.5 <= float(ones.min()) < float(ones.max()) <= 1.0
    zeros = inputs_at(model_of(torch.zeros(1, 4)), {"batch": 500})["x"]
    assert 0.9 < float(zeros.std()) < 1.1


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_an_open_mask_stays_open(dtype: torch.dtype) -> None:
    drawn = inputs_at(model_of(torch.ones(1, 4, dtype=dtype)), {"batch": 3, "seq": 9})["x"]
    assert drawn.shape == (3, 9)
    assert drawn.dtype == dtype
    assert bool(drawn.all())


def test_a_mask_repeats_its_pattern_so_that_no_row_is_shut() -> None:
    causal = torch.ones(4, 4).tril().bool()
    drawn = inputs_at(model_of(causal), {"batch": 9, "seq": 7})["x"]
    assert bool(drawn.any(1).all())
    additive = torch.zeros(4, 4).masked_fill(~causal, -torch.inf)
    drawn = inputs_at(model_of(additive), {"batch": 9, "seq": 7})["x"]
    assert not bool(torch.isneginf(drawn).all(1).any())
    assert not bool(drawn.isnan().any())


def test_nested_arguments_keep_their_kinds() -> None:
    past = [Pair(torch.randn(1, 2), {"mask": torch.ones(1, dtype=torch.bool), "scale": 3})]
    model = model_of(torch.randn(1, 2), past, dynamic={"x": {0: "batch"}, "other.0.key": {0: "batch"}})
    assert list(tensors_in(example_of(model))) == ["x", "other.0.key", "other.0.value.mask"]
    inputs = inputs_at(model, {"batch": 4})
    changed = inputs["other"][0]
    assert type(inputs["other"]) is list
    assert type(changed) is Pair
    assert changed.key.shape == (4, 2)
    assert changed.value["mask"].shape == (1,)
    assert changed.value["scale"] == 3
    assert past[0].key.shape == (1, 2), "the example is left as it was"


def test_star_arguments_have_names_too() -> None:
    tensors = [torch.ones(1, 2) for _ in range(4)]
    model = model_of(*tensors, dynamic={"x": {0: "batch"}, "rest.1": {0: "batch"}})
    assert list(tensors_in(example_of(model))) == ["x", "other", "rest.0", "rest.1"]
    assert inputs_at(model, {"batch": 3})["rest"][1].shape == (3, 2)
    named = Model(Takes(), {"x": tensors[0], "extra": tensors[1]}, {"extra": {0: "batch"}})
    assert inputs_at(named, {"batch": 3})["extra"].shape == (3, 2)


def test_example_sizes_by_name() -> None:
    assert example_sizes(model_of(torch.ones(2, 5))) == {"batch": 2, "seq": 5}


def test_an_unknown_dimension_and_an_impossible_size_are_refused() -> None:
    with pytest.raises(EdgesweepError, match="model 'm' has no dynamic dimension 'width'; it has: batch, seq"):
        inputs_at(model_of(torch.ones(1, 1)), {"width": 3})
    with pytest.raises(EdgesweepError, match="size 0 of 'batch' is below 1"):
        inputs_at(model_of(torch.ones(1, 1)), {"batch": 0})
