"""Steps that a trace gets wrong or an exporter refuses: Python that sees a size, or a value."""

from __future__ import annotations

from random import Random

import torch
from steps import IMAGE, SEQUENCE, TRAPS, VECTOR, Made, Step, Value
from torch import nn

sequence_trap = TRAPS.add(SEQUENCE, room=2)


@sequence_trap
def reshaped_by_numbers(random: Random, value: Value) -> Made:
    return Made(Step(lambda _, x: x.reshape(int(x.shape[0]), int(x.shape[1]), -1) * 2), value)


@sequence_trap
def added_up_step_by_step(random: Random, value: Value) -> Made:
    def add_up(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        total = x[:, 0] * 0
        for index in range(x.shape[1]):
            total = total * 0.9 + x[:, index]
        return total

    return Made(Step(add_up), Value(VECTOR, value.channels))


@sequence_trap
def taken_apart(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def apart(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return torch.stack([x[index] * (index + 1) for index in range(x.shape[0])])
        if form == 1:
            return torch.stack([part.tanh() for part in x.unbind(1)], 1)
        return torch.cat([part * (index + 1) for index, part in enumerate(x.split(2, dim=1))], 1)

    return Made(Step(apart), value)


@sequence_trap
def branch_on_the_length(random: Random, value: Value) -> Made:
    limit = random.randint(3, 12)
    return Made(Step(lambda _, x: x * 2 if x.shape[1] > limit else x - 1), value)


@sequence_trap
def branch_on_the_batch(random: Random, value: Value) -> Made:
    limit = random.randint(1, 6)
    return Made(Step(lambda _, x: x * 2 if x.shape[0] > limit else x - 1), value)


@sequence_trap
def branch_on_a_remainder(random: Random, value: Value) -> Made:
    divisor = random.randint(2, 4)
    return Made(Step(lambda _, x: x * 2 if x.shape[1] % divisor else x - 1), value)


@sequence_trap
def size_as_a_float(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def scale(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x / float(x.shape[1])
        if form == 1:
            return x + torch.tensor(float(x.shape[0]), dtype=x.dtype)
        return x * len(x)

    return Made(Step(scale), value)


@sequence_trap
def table_of_the_size(random: Random, value: Value) -> Made:
    def add(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        table = torch.tensor([0.1 * index for index in range(x.shape[1])], dtype=x.dtype)
        return x + table[None, :, None]

    return Made(Step(add), value)


def _branch(condition: int, x: torch.Tensor, limit: float) -> bool:
    if condition == 0:
        return bool(x.sum() > 0)
    if condition == 1:
        return bool(x.abs().max() > limit)
    if condition == 2:
        return bool(x.mean() > limit * 0.1)
    return bool((x > limit).any())


def _branching(random: Random, value: Value) -> Made:
    condition, limit = random.randrange(4), random.choice((0.5, 1.0, 2.0, 3.0))
    return Made(Step(lambda _, x: x * 2 if _branch(condition, x, limit) else x - 1), value)


@sequence_trap
def branch_on_values(random: Random, value: Value) -> Made:
    return _branching(random, value)


@TRAPS.add(VECTOR)
def branch_on_a_vector(random: Random, value: Value) -> Made:
    return _branching(random, value)


@TRAPS.add(IMAGE)
def branch_on_an_image(random: Random, value: Value) -> Made:
    return _branching(random, value)


@sequence_trap
def value_as_a_number(random: Random, value: Value) -> Made:
    form = random.randrange(4)

    def leak(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x * float(x.mean())
        if form == 1:
            return x + x.max().item()
        if form == 2:
            return x[:, : 1 + int((x[0, 0] > 0).sum()) % 2]
        for _step in range(int(x.abs().max())):
            x = x * 0.5
        return x

    return Made(Step(leak), value if form != 2 else Value(SEQUENCE, value.channels, 1))


@sequence_trap
def as_many_as_there_are(random: Random, value: Value) -> Made:
    form = random.randrange(2)

    def select(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x + x[x > 0].sum()
        return x + torch.nonzero(x > 0).to(x.dtype).sum() * 0.01

    return Made(Step(select), value)


@TRAPS.add(IMAGE, room=2)
def cropped_by_numbers(random: Random, value: Value) -> Made:
    def crop(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        size = min(int(x.shape[2]), int(x.shape[3]))
        return x[:, :, :size, :size]

    return Made(Step(crop), value)


@TRAPS.add(IMAGE)
def flattened_by_a_number(random: Random, value: Value) -> Made:
    step = Step(lambda _, x: x.reshape(int(x.shape[0]), value.channels, -1).transpose(1, 2))
    return Made(step, Value(SEQUENCE, value.channels, value.room**2))


@TRAPS.add(IMAGE)
def branch_on_the_height(random: Random, value: Value) -> Made:
    limit = random.randint(6, 16)
    return Made(Step(lambda _, x: x.relu() if x.shape[2] >= limit else x.neg()), value)


@TRAPS.add(VECTOR)
def batch_as_a_number(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def leak(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x * float(x.shape[0])
        if form == 1:
            return x.reshape(int(x.shape[0]), -1) + 1
        return torch.stack([row * index for index, row in enumerate(x)])

    return Made(Step(leak), value)
