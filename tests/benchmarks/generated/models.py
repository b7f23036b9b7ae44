"""Small random models, each from a single integer: `build(seed)` gives the same model every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import images  # noqa: F401 - lists its steps
import leaks  # noqa: F401
import sequences  # noqa: F401
import torch
import vectors  # noqa: F401
from edgesweep import Model
from steps import HONEST, IMAGE, SEQUENCE, TRAPS, VECTOR, Value
from torch import nn

#: How many models hold a step that sees a size or a value in Python.
TRAP_SHARE = 0.4
MOST_STEPS = 5

Tail = Callable[[torch.Tensor], Any]


class Generated(nn.Module):
    """Steps one after the other, then outputs in one of several forms."""

    def __init__(self, body: nn.Sequential, tail: Tail, *layers: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.tail = tail
        self.layers = nn.ModuleList(layers)

    def finish(self, x: torch.Tensor) -> Any:
        return self.tail(self.body(x))


class Plain(Generated):
    def forward(self, x):
        return self.finish(x)


class Rounded(Generated):
    """For inputs of half precision, which few runtimes compute in."""

    def forward(self, x):
        return self.finish(x.float())


class Embedded(Generated):
    def forward(self, ids):
        return self.finish(self.layers[0](ids))


class EmbeddedTwice(Generated):
    def forward(self, ids, mask):
        return self.finish(self.layers[0](ids) * mask.unsqueeze(-1))


class Added(Generated):
    def forward(self, x, other):
        return self.finish(x + other * 0.5)


class Shifted(Generated):
    """The second input has no axis but the batch; it is given by keyword."""

    def forward(self, x, *, scale):
        return self.finish(x * scale.reshape(-1, *(1,) * (x.dim() - 1)))


class Counted(Generated):
    """The second input says how much of each item counts."""

    def forward(self, x, lengths):
        inside = torch.arange(x.shape[1], device=x.device)[None] < lengths[:, None]
        return self.finish(x * inside.reshape(*inside.shape, *(1,) * (x.dim() - 2)).to(x.dtype))


class Nested(Generated):
    def forward(self, x, extra):
        first, second = extra["pair"]
        return self.finish(x + first - second * extra["weight"])


class Optional(Generated):
    def forward(self, x, bias=None, mask=None):
        if bias is not None:
            x = x + bias
        return self.finish(x if mask is None else x * mask)


@dataclass(frozen=True)
class Inputs:
    """A module's class with example inputs and their dynamic axes."""

    module: type[Generated]
    layers: tuple[nn.Module, ...]
    example: dict[str, Any]
    dynamic: dict[str, dict[int, str]]


def build(seed: int) -> Model:
    """The model of that number."""
    random = Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _build(random)


def recipe_of(seed: int) -> str:
    """The steps of the model of that number, for whoever must find out what is wrong with it."""
    return str(build(seed).module.recipe)


def _build(random: Random) -> Model:
    layout = random.choices((SEQUENCE, IMAGE, VECTOR), (55, 33, 12))[0]
    ranges = _ranges(random, layout)
    sizes = {name: random.randint(max(low, 1), high) for name, (low, high) in ranges.items()}
    if random.random() < 0.25:
        sizes["batch"] = 1
    value = Value(
        layout, random.choice((4, 6)), min((low for name, (low, _) in ranges.items() if name != "batch"), default=1)
    )
    inputs = _inputs(random, value, sizes)
    names, body, value = _body(random, value)
    tail_name, tail = random.choice(_tails(value))
    module = inputs.module(nn.Sequential(*body), tail, *inputs.layers).eval()
    module.recipe = f"{inputs.module.__name__} {layout}: {' > '.join(names)} > {tail_name}"
    if random.random() < 0.05 and inputs.module in {Plain, Added}:
        module = module.double()
        inputs.example.update({name: tensor.double() for name, tensor in inputs.example.items()})
    return Model(module, inputs.example, inputs.dynamic, ranges)


def _ranges(random: Random, layout: str) -> dict[str, tuple[int, int]]:
    ranges = {"batch": (1, random.randint(7, 9))}
    if layout == SEQUENCE:
        ranges["length"] = (random.choice((2, 4, 4)), random.randint(14, 20))
    if layout == IMAGE:
        ranges |= {name: (random.choice((6, 8)), random.randint(15, 20)) for name in ("height", "width")}
    return ranges


def _inputs(random: Random, value: Value, sizes: dict[str, int]) -> Inputs:  # noqa: PLR0911 - one per form
    names = {
        SEQUENCE: ("batch", "length", ""),
        IMAGE: ("batch", "", "height", "width"),
        VECTOR: ("batch", ""),
    }[value.layout]
    shape = tuple(sizes.get(name, value.channels) for name in names)
    axes = {axis: name for axis, name in enumerate(names) if name}
    x = torch.randn(shape) * random.choice((0.7, 1.0, 2.0)) + random.choice((0.0, 0.0, 0.5))
    forms = [Plain, Plain, Plain, Rounded, Added, Shifted, Nested, Optional]
    if value.layout == SEQUENCE:
        forms += [Embedded, Embedded, EmbeddedTwice, Counted]
    form = random.choice(forms)
    batch = {0: "batch"}
    if form is Rounded:
        return Inputs(form, (), {"x": x.half()}, {"x": axes})
    if form in {Embedded, EmbeddedTwice}:
        rows = random.choice((7, 50))
        kind = random.choice((torch.int64, torch.int32))
        ids = torch.randint(0, rows, shape[:2]).to(kind)
        example, dynamic = {"ids": ids}, {"ids": {0: "batch", 1: "length"}}
        if form is EmbeddedTwice:
            example["mask"] = torch.rand(shape[:2]) > 0.3
            dynamic["mask"] = {0: "batch", 1: "length"}
        return Inputs(form, (nn.Embedding(rows, value.channels),), example, dynamic)
    if form is Added:
        return Inputs(form, (), {"x": x, "other": torch.randn(shape)}, {"x": axes, "other": axes})
    if form is Shifted:
        return Inputs(form, (), {"x": x, "scale": torch.rand(shape[:1]) + 0.5}, {"x": axes, "scale": batch})
    if form is Counted:
        lengths = torch.randint(1, shape[1] + 1, shape[:1])
        return Inputs(form, (), {"x": x, "lengths": lengths}, {"x": axes, "lengths": batch})
    if form is Nested:
        extra = {"weight": torch.randn(value.channels), "pair": (torch.randn(shape), torch.rand(shape))}
        extra["weight"] = (
            extra["weight"].reshape(-1, *(1,) * (len(shape) - 2)) if value.layout == IMAGE else extra["weight"]
        )
        dynamic = {"x": axes, "extra.pair.0": axes, "extra.pair.1": axes}
        return Inputs(form, (), {"x": x, "extra": extra}, dynamic)
    if form is Optional:
        mask = (torch.rand(shape) > 0.2).to(x.dtype)
        given = {"x": x, "bias": None, "mask": mask} if random.random() < 0.6 else {"x": x}
        return Inputs(form, (), given, {name: axes for name in given if name != "bias"})
    return Inputs(form, (), {"x": x}, {"x": axes})


def _body(random: Random, value: Value) -> tuple[list[str], list[nn.Module], Value]:
    count = random.randint(1, MOST_STEPS)
    trap = random.randrange(count) if random.random() < TRAP_SHARE else -1
    names, body = [], []
    for index in range(count):
        traps = TRAPS.fitting(value) if index == trap else []
        entry = random.choice(traps or HONEST.fitting(value))
        made = entry.maker(random, value)
        names.append(f"{'!' if traps else ''}{entry.name}")
        body.append(made.step)
        value = made.value
    return names, body, value


def _tails(value: Value) -> list[tuple[str, Tail]]:
    last = -1 if value.layout != IMAGE else 1
    return [
        ("tensor", lambda x: x),
        ("tensor", lambda x: x),
        ("pair", lambda x: (x, x.mean(last))),
        ("best", lambda x: (x, x.argmax(last))),
        ("named", lambda x: {"value": x * 2, "positive": x > 0}),
        ("sized", lambda x: (x, torch.tensor(x.shape[0]))),
        ("nested", lambda x: {"all": [x, x.abs().sum(last)], "size": torch.ones(x.shape[0], 2) * 3}),
    ]
