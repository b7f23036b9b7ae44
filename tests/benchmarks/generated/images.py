"""Steps on (batch, channels, height, width)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch
from steps import ACTIVATIONS, HONEST, IMAGE, SEQUENCE, VECTOR, Made, Step, Value
from torch import nn
from torch.nn import functional

image = HONEST.add(IMAGE)


@image
def filtered(random: Random, value: Value) -> Made:
    out = random.choice((4, 6))
    size = random.choice((1, 3))
    return Made(nn.Conv2d(value.channels, out, size, padding=size // 2), value.of(out))


@image
def depthwise(random: Random, value: Value) -> Made:
    return Made(nn.Conv2d(value.channels, value.channels, 3, padding=1, groups=value.channels), value)


@HONEST.add(IMAGE, room=6)
def strided(random: Random, value: Value) -> Made:
    out = random.choice((4, 6))
    return Made(
        nn.Conv2d(value.channels, out, 3, stride=2, padding=1), replace(value, channels=out, room=value.room // 2)
    )


@image
def transposed(random: Random, value: Value) -> Made:
    return Made(nn.ConvTranspose2d(value.channels, 4, 2, stride=2), value.of(4))


@image
def bent(random: Random, value: Value) -> Made:
    return Made(random.choice(ACTIVATIONS)(), value)


@image
def levelled(random: Random, value: Value) -> Made:
    layer = random.choice(
        (
            nn.BatchNorm2d(value.channels),
            nn.GroupNorm(2, value.channels),
            nn.InstanceNorm2d(value.channels, affine=True),
        )
    )
    return Made(layer, value)


@HONEST.add(IMAGE, room=6)
def shrunk(random: Random, value: Value) -> Made:
    pool = random.choice((nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)))
    return Made(pool, replace(value, room=value.room // 2))


@image
def gathered(random: Random, value: Value) -> Made:
    size = random.choice((1, 1, 2))
    return Made(nn.AdaptiveAvgPool2d(size), replace(value, room=size))


@image
def resampled(random: Random, value: Value) -> Made:
    form = random.randrange(4)

    def resample(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        if form == 0:
            return functional.interpolate(x, scale_factor=2.0, mode="nearest")
        if form == 1:
            return functional.interpolate(x, size=(height * 2, width * 2), mode="bilinear", align_corners=False)
        if form == 2:
            small = functional.avg_pool2d(x, 2, ceil_mode=True)
            return x + functional.interpolate(small, size=(height, width), mode="nearest")
        return functional.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True)

    return Made(Step(resample), value)


@HONEST.add(IMAGE, room=3)
def bordered(random: Random, value: Value) -> Made:
    mode = random.choice(("constant", "reflect", "replicate"))
    return Made(Step(lambda _, x: functional.pad(x, (1, 2, 1, 0), mode=mode)), value)


@HONEST.add(IMAGE, room=4)
def cropped(random: Random, value: Value) -> Made:
    form = random.randrange(3)

    def crop(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2], x.shape[3]
        if form == 0:
            return x[..., 1:-1, 1:-1]
        if form == 1:
            return x[:, :, : height // 2, width // 2 :]
        return x[:, :, ::2, ::2]

    return Made(Step(crop), replace(value, room=value.room // 2))


@image
def shuffled(random: Random, value: Value) -> Made:
    form = random.randrange(4)

    def shuffle(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if form == 0:
            return torch.cat(x.chunk(2, dim=1)[::-1], 1)
        if form == 1:
            return x.flip(-1)
        if form == 2:
            return x.roll((1, -1), dims=(2, 3))
        return x.transpose(2, 3).contiguous()

    return Made(Step(shuffle), value)


@image
def with_coordinates(random: Random, value: Value) -> Made:
    def add(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        batch, _channels, height, width = x.shape
        rows = (torch.arange(height, device=x.device, dtype=x.dtype) / height)[:, None].expand(height, width)
        columns = (torch.arange(width, device=x.device, dtype=x.dtype) / width).expand(height, width)
        grid = torch.stack((rows, columns)).expand(batch, 2, height, width)
        return torch.cat((x, grid), 1)

    return Made(Step(add), value.of(value.channels + 2))


@image
def squeezed(random: Random, value: Value) -> Made:
    layer = nn.Conv2d(value.channels, value.channels, 1)
    return Made(Step(lambda m, x: x * m.layer(x.mean((2, 3), keepdim=True)).sigmoid(), layer=layer), value)


@image
def as_tokens(random: Random, value: Value) -> Made:
    return Made(Step(lambda _, x: x.flatten(2).transpose(1, 2)), Value(SEQUENCE, value.channels, value.room**2))


@image
def as_vector(random: Random, value: Value) -> Made:
    form = random.randrange(3)
    forms = (lambda x: x.mean((2, 3)), lambda x: x.amax((-1, -2)), lambda x: x.flatten(2).std(-1, correction=0))
    return Made(Step(lambda _, x: forms[form](x)), Value(VECTOR, value.channels))
