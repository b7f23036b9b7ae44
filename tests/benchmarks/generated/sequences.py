"""Steps on (batch, length, channels)."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import torch
from steps import ACTIVATIONS, HONEST, SEQUENCE, VECTOR, Made, Step, Value
from torch import nn
from torch.nn import functional

sequence = HONEST.add(SEQUENCE)


@sequence
def linear(random: Random, value: Value) -> Made:
    out = random.choice((4, 6, 8))
    return Made(nn.Linear(value.channels, out, bias=random.random() < 0.7), value.of(out))


@sequence
def activation(random: Random, value: Value) -> Made:
    return Made(random.choice(ACTIVATIONS)(), value)


@sequence
def normalised(random: Random, value: Value) -> Made:
    if random.random() < 0.6:
        return Made(nn.LayerNorm(value.channels), value)
    return Made(Step(lambda _, x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)), value)


@sequence
def convolved(random: Random, value: Value) -> Made:
    groups = random.choice((1, 2))
    layer = nn.Conv1d(value.channels, value.channels, 3, padding=1, groups=groups)
    return Made(Step(lambda m, x: m.layer(x.transpose(1, 2)).transpose(1, 2), layer=layer), value)


@HONEST.add(SEQUENCE, room=4)
def pooled(random: Random, value: Value) -> Made:
    pool = random.choice((nn.MaxPool1d(2), nn.AvgPool1d(2), nn.AvgPool1d(3, stride=2, padding=1)))
    step = Step(lambda m, x: m.pool(x.transpose(1, 2)).transpose(1, 2), pool=pool)
    return Made(step, replace(value, room=value.room // 2))


@sequence
def recurrent(random: Random, value: Value) -> Made:
    both = random.random() < 0.5
    kind = random.choice((nn.LSTM, nn.GRU))
    layer = kind(value.channels, 4, batch_first=True, bidirectional=both)
    return Made(Step(lambda m, x: m.layer(x)[0], layer=layer), value.of(8 if both else 4))


@sequence
def last_state(random: Random, value: Value) -> Made:
    layer = nn.GRU(value.channels, 6, batch_first=True)
    return Made(Step(lambda m, x: m.layer(x)[1][0], layer=layer), Value(VECTOR, 6))


@sequence
def attended(random: Random, value: Value) -> Made:
    causal = random.random() < 0.3
    layers = {name: nn.Linear(value.channels, 8) for name in ("query", "key", "content")}

    def attend(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        heads = [layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (m.query, m.key, m.content)]
        return functional.scaled_dot_product_attention(*heads, is_causal=causal).transpose(1, 2).flatten(2)

    return Made(Step(attend, **layers), value.of(8))


@sequence
def multiplied(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def product(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            scores = torch.einsum("btc,bsc->bts", x, x)
        elif form == 1:
            scores = torch.bmm(x, x.transpose(1, 2))
        else:
            scores = x @ x.mT
        return (scores / math.sqrt(x.shape[-1])).softmax(-1) @ x

    return Made(Step(product), value)


@sequence
def broadcast(random: Random, value: Value) -> Made:
    form = random.randrange(5)
    weight = nn.ParameterList([torch.randn(value.channels)])

    def combine(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x * m.weight[0] + 0.5
        if form == 1:
            return x - x.mean(1, keepdim=True)
        if form == 2:
            return x / (1 + x.abs().amax(dim=(1, 2), keepdim=True))
        if form == 3:
            return x + x[:, :1] * m.weight[0]
        return torch.minimum(x, x.mean(-1, keepdim=True)) + torch.maximum(x, m.weight[0])

    return Made(Step(combine, weight=weight), value)


@sequence
def positioned(random: Random, value: Value) -> Made:
    form = random.randrange(4)
    table = nn.Embedding(64, value.channels)

    def add(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        if form == 0:
            return x + m.table(torch.arange(length, device=x.device) % 64).to(x.dtype)
        if form == 1:
            return x + m.table.weight[: length % 7 + 1].mean(0)
        steps = torch.arange(length, dtype=x.dtype, device=x.device)
        if form == 2:
            return x + (steps / length)[:, None]
        return x * torch.cos(steps * 0.3)[None, :, None]

    return Made(Step(add, table=table), value)


@sequence
def masked(random: Random, value: Value) -> Made:
    form = random.randrange(4)

    def mask(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        if form == 0:
            return torch.where(x > 0.1, x, x * -0.5)
        if form == 1:
            keep = torch.arange(length, device=x.device) < (length + 1) // 2
            return x.masked_fill(~keep[None, :, None], 0.25)
        if form == 2:
            low = torch.ones(length, length, device=x.device, dtype=torch.bool).tril()
            scores = (x @ x.mT).clamp(-5, 5).masked_fill(~low, -30.0)
            return scores.softmax(-1) @ x
        return x * (x.sum(-1, keepdim=True) > 0).to(x.dtype)

    return Made(Step(mask), value)


@sequence
def ordered(random: Random, value: Value) -> Made:
    form = random.randrange(4)

    def order(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x.cumsum(1) / x.shape[1]
        if form == 1:
            return x.sort(dim=1).values
        if form == 2:
            return x.flip(1)
        return x.gather(1, x.argsort(dim=1, descending=True))

    return Made(Step(order), value)


@HONEST.add(SEQUENCE, room=3)
def topmost(random: Random, value: Value) -> Made:
    return Made(Step(lambda _, x: x.topk(2, dim=1).values), replace(value, room=2))


@sequence
def joined(random: Random, value: Value) -> Made:
    form = random.randrange(5)

    def join(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=2)
        if form == 0:
            return torch.cat((second, first), 2)
        if form == 1:
            return torch.stack((x, x.tanh()), 0).sum(0)
        if form == 2:
            return torch.cat((x, x[:, :1]), 1)
        if form == 3:
            left, right = x.split((1, x.shape[2] - 1), dim=2)
            return torch.cat((right, left * 2), 2)
        return torch.cat([x, x.mean(1, keepdim=True).expand(-1, x.shape[1], -1)], 2)

    return Made(Step(join), value.of(value.channels * 2) if form == 4 else value)


@HONEST.add(SEQUENCE, room=4)
def sliced(random: Random, value: Value) -> Made:
    form = random.randrange(6)

    def cut(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        if form == 0:
            return x[:, : length // 2]
        if form == 1:
            return x[:, 1:] - x[:, :-1]
        if form == 2:
            return x[:, ::2]
        if form == 3:
            return x[:, length // 2 :]
        if form == 4:
            return x[:, torch.arange(length - 1, -1, -1, device=x.device)]
        return x.narrow(1, 1, length - 2)

    return Made(Step(cut), replace(value, room=value.room // 2))


@sequence
def padded(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def pad(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return functional.pad(x, (0, 0, 1, 2))
        if form == 1:
            return functional.pad(x.transpose(1, 2), (1, 1), mode="replicate").transpose(1, 2)
        return functional.pad(x, (0, 0, 0, -x.shape[1] % 4), value=0.5)

    return Made(Step(pad), value)


@sequence
def resized(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def resize(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = x.transpose(1, 2)
        if form == 0:
            y = functional.interpolate(y, scale_factor=2, mode="nearest")
        elif form == 1:
            y = functional.interpolate(y, size=x.shape[1] * 2, mode="linear", align_corners=False)
        else:
            y = functional.interpolate(y, size=7, mode="linear", align_corners=True)
        return y.transpose(1, 2)

    return Made(Step(resize), value)


@sequence
def reshaped(random: Random, value: Value) -> Made:
    half = value.channels // 2
    form = random.randrange(5 if half >= 2 else 3)

    def reshape(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        batch, length, channels = x.shape
        if form == 0:
            return x.flatten(0, 1).unflatten(0, (batch, length)).contiguous()
        if form == 1:
            return x.reshape(batch * length, channels).sigmoid().reshape(batch, length, channels)
        if form == 2:
            return x.unsqueeze(1).expand(batch, 2, length, channels).reshape(batch, 2 * length, channels)
        if form == 3:
            return x.reshape(batch, length * channels // half, half)
        return x.contiguous().view(batch, -1, half)

    return Made(Step(reshape), value if form < 3 else value.of(half))


@sequence
def repeated(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def repeat(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return x.repeat(1, 2, 1)
        if form == 1:
            return x.roll(1, dims=1)
        return x.repeat_interleave(2, dim=1)

    return Made(Step(repeat), value)


@sequence
def cast(random: Random, value: Value) -> Made:
    form = random.randrange(4)

    def change(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return (x.double() * 1.5).to(x.dtype)
        if form == 1:
            return (x * 4).round().to(torch.int32).clamp(-20, 20).to(x.dtype) / 4
        if form == 2:
            return x + (x > 0).to(x.dtype).sum(1, keepdim=True) / x.shape[1]
        return x.clamp(-1.5, 1.5) * 0.5 + x.floor() * 0.1

    return Made(Step(change), value)


@sequence
def reduced(random: Random, value: Value) -> Made:
    form = random.randrange(9)

    def reduce(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        forms = (
            lambda: x.mean(1),
            lambda: x.sum(1) / x.shape[1],
            lambda: x.amax(1),
            lambda: x.logsumexp(1),
            lambda: x.norm(dim=1),
            lambda: x.var(1, correction=0),
            lambda: x[:, -1],
            lambda: x.max(dim=1).values - x.min(dim=1).values,
            lambda: (x.softmax(1) * x).sum(1),
        )
        return forms[form]()

    return Made(Step(reduce), Value(VECTOR, value.channels))
