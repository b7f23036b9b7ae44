"""Which other values a model is proven at: more for one that reads values in Python, as long as they tell something."""

from __future__ import annotations

import pytest
import torch
from edgesweep import Model
from edgesweep.export.proof.values import other_values
from torch import nn

TURNED = "example with other values"


class Forward(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def tried(function, example) -> dict[str, torch.Tensor]:
    model = Model(Forward(function), (example,))
    return {found.label: found.outputs[0] for found in other_values(model)}


def floats() -> torch.Tensor:
    return torch.tensor([[-1.5, 0.25, 2.0]])


def test_a_model_that_reads_nothing_is_tried_turned_round_alone():
    assert list(tried(lambda x: torch.where(x > 0, x, x * 2), floats())) == [TURNED]


@pytest.mark.parametrize(
    ("branch", "label"),
    [
        (lambda x: x.sum() > 0, TURNED),
        (lambda x: x.abs().max() > 1, "example with smaller values"),
        (lambda x: x.max() > 8, "example with larger values"),
        (lambda x: bool((x < 0).any()), "example with positive values"),
        (lambda x: bool((x > 0).any()), "example with negative values"),
    ],
)
def test_a_branch_is_tried_on_its_other_side(branch, label):
    example = floats()
    here = bool(branch(example))
    found = tried(lambda x: x * 2 if branch(x) else x - 100, example)
    # The side that is not taken here: `x - 100` where the example is doubled, and the other way round.
    assert bool(found[label].max() < -50) is here


def test_values_that_change_nothing_that_is_read_are_left_out():
    def checked(x):
        if torch.isnan(x).any():
            raise ValueError("no numbers")
        return x * 2

    assert list(tried(checked, floats())) == [TURNED]


def test_a_number_taken_from_the_input_is_another_one_each_time():
    found = tried(lambda x: x * float(x.mean()), floats())
    assert len(found) == 5


def test_indices_are_tried_at_their_lowest_and_highest():
    found = tried(lambda x: x * 2 if (x == 0).any() else x, torch.tensor([[0, 3, 5]]))
    assert found["example with positive values"].tolist() == [[5, 5, 5]]


def test_values_that_torch_refuses_or_answers_without_a_number_are_left_out():
    def refusing(x):
        if x.abs().max() > 3:
            raise ValueError("out of range")
        return x.sqrt()

    assert tried(refusing, floats().abs()) == {}


class Two(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, other):
        return self.function(x, other)


@pytest.mark.parametrize(
    ("function", "other", "label"),
    [
        (lambda x, count: x * int(count), torch.tensor(2), "example with higher values"),
        (lambda x, count: x[:, : int(count)].sum(1), torch.tensor(3, dtype=torch.uint8), "example with lower values"),
        (lambda x, lengths: x * lengths.tolist()[0], torch.tensor([4, 4]), "example with higher values"),
        (lambda x, lengths: x * float(lengths.numpy()[0]), torch.tensor([4, 4]), "example with higher values"),
        (lambda x, ids: x * len(torch.unique(ids)), torch.tensor([1, 2, 2, 5]), "example with positive values"),
        (lambda x, mask: x * len(mask.nonzero()), torch.tensor([[1, 1, 1]]), "example with masked values"),
        (lambda x, other: x * len(other[other.abs() > 0.5]), torch.tensor([0.4, 0.6]), "example with larger values"),
        (lambda x, step: x * 2 if step == 1 else x - 1, torch.tensor(1), "example with higher values"),
        (lambda x, flag: x * 2 if flag else x - 1, torch.ones((), dtype=torch.bool), "example with masked values"),
        (
            lambda x, mask: x if mask.all() else x.masked_fill(~mask, 0.0),
            torch.ones(1, 3, dtype=torch.bool),
            "example with masked values",
        ),
        (
            lambda x, mask: x if mask.all() else x * mask,
            torch.ones(1, 3, dtype=torch.int64),
            "example with masked values",
        ),
    ],
)
def test_counts_flags_and_masks_that_are_read_are_tried_at_others(function, other, label):
    example = (floats(), other)
    here = function(*example)
    found = {tried.label: tried for tried in other_values(Model(Two(function), example))}
    assert not torch.equal(found[label].outputs[0], here), "the trace's answer would be wrong there"
    assert found[label].inputs["other"].dtype == other.dtype
    assert found[label].inputs["other"].shape == other.shape


def test_both_branches_of_torch_cond_are_tried():
    def conditional(x):
        return torch.cond(x.sum() > 0, lambda y: y * 2, lambda y: y - 100, (x,))

    found = tried(conditional, floats())
    assert bool(found["example with negative values"].max() < -50)
    assert bool(found["example with positive values"].min() > 0)
    # Unwatched again, at another size: the next profile's turn.
    assert conditional(torch.ones(2, 5)).tolist() == [[2.0] * 5] * 2


def test_counts_and_masks_that_nobody_reads_stay():
    example = (floats(), torch.tensor([[1, 0, 1]]))
    model = Model(Two(lambda x, mask: x * mask), example)
    assert [found.label for found in other_values(model)] == [TURNED]
    scalar = Model(Two(lambda x, count: x * count), (floats(), torch.tensor(3)))
    assert [found.label for found in other_values(scalar)] == [TURNED]
