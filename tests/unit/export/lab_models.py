"""Models that export well, badly, and not at all. Read as text and written into the test's own folder."""

import os
import signal
import sys
import time

import torch
from edgesweep import Model
from torch import nn


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(nn.functional.gelu(self.conv(x)).mean((2, 3)))


class Reshape(nn.Module):
    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1) * 2


class Loop(nn.Module):
    def forward(self, x):
        total = x[:, 0] * 0
        for index in range(x.shape[1]):
            total = total + x[:, index] * (index + 1)
        return total


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1


class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(600, 600)

    def forward(self, x):
        return self.layer(x)


class Nested(nn.Module):
    def forward(self, x, *, past, scale=2.0):
        return {"sum": x * scale + past["key"], "key": past["key"]}


class Even(nn.Module):
    def forward(self, x):
        if x.shape[0] % 4:
            raise ValueError("batches are multiples of four")
        return x * 2


def linear():
    return Model(Linear(), (torch.randn(2, 4),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def linear_of_one():
    return Model(Linear(), (torch.randn(1, 4),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def conv():
    return Model(Conv(), (torch.randn(2, 3, 8, 8),), {"x": {0: "batch"}}, {"batch": (1, 4)})


def reshape():
    return Model(Reshape(), (torch.randn(2, 3, 4),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def loop():
    return Model(Loop(), (torch.randn(2, 6),), {"x": {0: "batch", 1: "seq"}}, {"batch": (1, 8), "seq": (2, 12)})


def branch():
    return Model(Branch(), (torch.rand(2, 4),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def fourier():
    return Model(Fourier(), (torch.randn(2, 8),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def wide():
    return Model(Wide(), (torch.randn(2, 600),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def nested():
    inputs = {"x": torch.randn(2, 4), "past": {"key": torch.randn(2, 4)}}
    return Model(Nested(), inputs, {"x": {0: "batch"}, "past.key": {0: "batch"}}, {"batch": (1, 8)})


def undeclared():
    return Model(Even(), (torch.randn(4, 2),), {"x": {0: "batch"}})


def refusing():
    return Model(Even(), (torch.randn(3, 2),))


def raising():
    raise RuntimeError("the weights are on another disk")


class Wordless(Exception):  # noqa: N818 - a user's own
    """Cannot even be told."""

    def __str__(self):
        raise RuntimeError("no words")


def wordless():
    raise Wordless


class Refusing(nn.Module):
    def forward(self, x):
        raise Wordless


def wordless_example():
    return Refusing(), (torch.randn(2, 3),)


def interrupted():
    raise KeyboardInterrupt


class Leaving(nn.Module):
    def forward(self, x):
        raise SystemExit(5)


def leaving():
    return Leaving(), (torch.randn(2, 3),)


def dying():
    os._exit(3)


def stopped():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)


def hanging():
    time.sleep(600)


class Dying(nn.Module):
    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            os.abort()
        return x * 2


def dying_export():
    sys.stdout.write("x" * 100_000)
    return Model(Dying(), (torch.randn(2, 4),))
