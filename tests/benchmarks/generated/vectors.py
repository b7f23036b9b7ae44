"""Steps on (batch, channels)."""

from __future__ import annotations

from random import Random

import torch
from steps import ACTIVATIONS, HONEST, SEQUENCE, VECTOR, Made, Step, Value
from torch import nn
from torch.nn import functional

vector = HONEST.add(VECTOR)


@vector
def dense(random: Random, value: Value) -> Made:
    out = random.choice((3, 5, 8))
    return Made(nn.Linear(value.channels, out), value.of(out))


@vector
def activated(random: Random, value: Value) -> Made:
    return Made(random.choice(ACTIVATIONS)(), value)


@vector
def scaled(random: Random, value: Value) -> Made:
    layer = random.choice((nn.LayerNorm(value.channels), nn.BatchNorm1d(value.channels), nn.Softmax(-1)))
    return Made(layer, value)


@vector
def outer(random: Random, value: Value) -> Made:
    if random.random() < 0.5:
        return Made(Step(lambda _, x: x.unsqueeze(2) * x.unsqueeze(1)), Value(SEQUENCE, value.channels, value.channels))
    return Made(
        Step(lambda _, x: torch.einsum("bi,bj->bij", x, x.tanh())), Value(SEQUENCE, value.channels, value.channels)
    )


@vector
def doubled(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def double(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return torch.cat((x, x.neg()), -1)
        if form == 1:
            return torch.hstack((x, functional.normalize(x, dim=-1)))
        return torch.stack((x, x.abs()), -1).flatten(1)

    return Made(Step(double), value.of(value.channels * 2))


@vector
def against_the_batch(random: Random, value: Value) -> Made:
    """Mixes the items of a batch, whose number is dynamic."""
    form = random.randrange(4)

    def mix(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x - x.mean(0)
        if form == 1:
            return (x @ x.mT).softmax(-1) @ x
        if form == 2:
            return x + torch.arange(x.shape[0], device=x.device, dtype=x.dtype)[:, None] / x.shape[0]
        return x.cumsum(0)

    return Made(Step(mix), value)


@vector
def chosen(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def choose(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x.topk(2, dim=-1).values
        if form == 1:
            best = x.argmax(-1, keepdim=True)
            return torch.cat((x.gather(1, best), x.mean(-1, keepdim=True)), 1)
        return x[:, [0, -1]]

    return Made(Step(choose), value.of(2))
