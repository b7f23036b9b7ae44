"""Models that a conversion treats well, badly, or not at all. Read as text and written into the test's own folder."""

import torch
from edgesweep import Model
from torch import nn


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, x):
        return self.layers(x)


class Convolution(nn.Module):
    """A resize, which keeps a float32 operand in half precision, and a weight that two layers share."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        larger = nn.functional.interpolate(self.first(x), scale_factor=2.0, mode="bilinear")
        return self.first(larger).mean((2, 3))


class Outlier(nn.Module):
    """One weight is large and never used: 8 bits spread over it leave nothing for the others."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 8, bias=False)
        with torch.no_grad():
            self.layer.weight.mul_(0.01)
            self.layer.weight[:, 0] = 1000.0
        self.register_buffer("mask", torch.tensor([0.0] + [1.0] * 15))

    def forward(self, x):
        return {"plain": x + 1, "lost": self.layer(x * self.mask)}


class Overflow(nn.Module):
    """Passes through 90000, which half precision does not have."""

    def forward(self, x):
        return (x * 300) ** 2 / 300 / 300


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        if x.sum() > 0:
            return self.layer(x)
        return self.layer(x - 1)


class Elementwise(nn.Module):
    def forward(self, x):
        return torch.exp(x)


class Whole(nn.Module):
    def forward(self, x):
        return x * 2 + 1


class Foldable(nn.Module):
    """Shapes worked out from shapes, which TorchScript writes down step by step."""

    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest").flatten(1).unflatten(1, (3, -1))


def perceptron():
    return Model(Perceptron(), (torch.randn(4, 16),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def convolution():
    return Model(Convolution(), (torch.randn(1, 3, 8, 8),))


def outlier():
    return Model(Outlier(), (torch.randn(4, 16),), output_names=("plain", "lost"))


def overflow():
    return Model(Overflow(), (torch.rand(4, 4) + 1,))


def branch():
    return Model(Branch(), (torch.rand(2, 8),))


def elementwise():
    return Model(Elementwise(), (torch.randn(4, 4),))


def whole():
    return Model(Whole(), (torch.arange(8),))


def foldable():
    return Model(Foldable(), (torch.randn(1, 3, 8, 8),))
