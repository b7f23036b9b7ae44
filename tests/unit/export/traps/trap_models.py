"""One small model for each way in which an exporter gives something else than it was asked for."""

import torch
from edgesweep import Model
from torch import nn
from torch.nn import functional


class Cnn(nn.Module):
    """GELU is one operator from opset 20 on, Hardswish from 14 on: the file changes with the opset."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return functional.hardswish(functional.gelu(self.conv(x))).mean((2, 3))


class Attention(nn.Module):
    def forward(self, query, key, value):
        return functional.scaled_dot_product_attention(query, key, value)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(4, 6, batch_first=True)

    def forward(self, x):
        return self.layer(x)[0]


class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)


class Reshape(nn.Module):
    """Tells Python the batch, which the trace then knows as a number."""

    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1) * 2


class Loop(nn.Module):
    """As many steps as the sequence is long: a trace holds the example's."""

    def forward(self, x):
        total = x[:, 0] * 0
        for index in range(x.shape[1]):
            total = total + x[:, index] * (index + 1)
        return total


class Branch(nn.Module):
    """One of two answers: a trace holds the example's."""

    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1


class Threshold(nn.Module):
    """A branch that the example turned round takes as well; only smaller values leave it."""

    def forward(self, x):
        if x.abs().max() > 0.5:
            return x * 2
        return x - 1


BATCH = {"x": {0: "batch"}}
BATCHES = {"batch": (1, 8)}


def cnn():
    torch.manual_seed(0)
    return Model(Cnn(), (torch.randn(2, 3, 8, 8),), BATCH, BATCHES)


def attention():
    torch.manual_seed(0)
    names = ("query", "key", "value")
    return Model(Attention(), {name: torch.randn(2, 2, 5, 4) for name in names}, {n: {0: "batch"} for n in names})


def lstm():
    torch.manual_seed(0)
    return Model(Recurrent(nn.LSTM), (torch.randn(2, 5, 4),), BATCH, BATCHES)


def fourier():
    torch.manual_seed(0)
    return Model(Fourier(), (torch.randn(2, 8),), BATCH, BATCHES)


def linear():
    torch.manual_seed(0)
    return Model(Linear(), (torch.randn(2, 4),), BATCH, BATCHES)


def linear_of_one():
    torch.manual_seed(0)
    return Model(Linear(), (torch.randn(1, 4),), BATCH, BATCHES)


def gru_of_one():
    torch.manual_seed(0)
    return Model(Recurrent(nn.GRU), (torch.randn(1, 5, 4),), BATCH, BATCHES)


def reshape():
    torch.manual_seed(0)
    return Model(Reshape(), (torch.randn(2, 3, 3),), BATCH, BATCHES)


def loop():
    torch.manual_seed(0)
    return Model(Loop(), (torch.randn(2, 6),), {"x": {0: "batch", 1: "seq"}}, {"batch": (1, 8), "seq": (2, 12)})


def branch():
    torch.manual_seed(0)
    return Model(Branch(), (torch.rand(2, 4),), BATCH, BATCHES)


def threshold():
    torch.manual_seed(0)
    return Model(Threshold(), (torch.randn(2, 4),), BATCH, BATCHES)
