"""One small model per kind of input and output that `forward` may have. Read as text and written into the test's folder."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from edgesweep import Model
from torch import nn

BATCH = {"batch": (1, 6)}


def rows(count=3, width=4, dtype=torch.float32):
    return torch.randn(count, width).to(dtype)


# Structure


class TwoByTwo(nn.Module):
    def forward(self, left, right):
        return left - right, left * right


def two_by_two():
    return Model(TwoByTwo(), (rows(), rows()), {"left": {0: "batch"}, "right": {0: "batch"}}, BATCH)


def two_by_two_by_name():
    """The dict is in another order than the signature."""
    return Model(TwoByTwo(), {"right": rows(), "left": rows()}, {"left": {0: "batch"}, "right": {0: "batch"}}, BATCH)


class Pair(NamedTuple):
    scale: torch.Tensor
    shift: torch.Tensor


class Nest(nn.Module):
    def forward(self, x, parts):
        first, (second, named) = parts["first"], parts["more"]
        return {"b": x * named.scale - first, "a": [second + named.shift, x]}


def nest():
    parts = {"more": [rows(), Pair(rows(), rows())], "first": rows()}
    dynamic = {
        path: {0: "batch"} for path in ("x", "parts.first", "parts.more.0", "parts.more.1.scale", "parts.more.1.shift")
    }
    return Model(Nest(), {"x": rows(), "parts": parts}, dynamic, BATCH)


class TupleOnly(nn.Module):
    def forward(self, pair):
        left, right = pair
        return left - right


def tuple_only():
    return Model(TupleOnly(), ((rows(), rows()),), {"pair.0": {0: "batch"}, "pair.1": {0: "batch"}}, BATCH)


class DictOnly(nn.Module):
    def forward(self, parts):
        return parts["zulu"] - parts["alpha"]


def dict_only():
    parts = {"zulu": rows(), "alpha": rows()}
    return Model(DictOnly(), (parts,), {"parts.zulu": {0: "batch"}, "parts.alpha": {0: "batch"}}, BATCH)


class Numbered(nn.Module):
    def forward(self, parts):
        return parts[10] - parts[2]


def numbered():
    """A dict whose keys are whole numbers."""
    parts = {10: rows(), 2: rows()}
    return Model(Numbered(), (parts,), {"parts.10": {0: "batch"}, "parts.2": {0: "batch"}}, BATCH)


class Varargs(nn.Module):
    def forward(self, first, *others, last=None, **named):
        out = first * 2
        for index, other in enumerate(others):
            out = out + other * (index + 3)
        if last is not None:
            out = out - last
        return out + named["extra"] * 7


def varargs():
    example = (rows(), rows(), rows())
    dynamic = {path: {0: "batch"} for path in ("first", "others.0", "others.1")}

    class Bound(Varargs):
        def forward(self, first, *others):
            return super().forward(first, *others, extra=first)

    return Model(Bound(), example, dynamic, BATCH)


class KeywordOnly(nn.Module):
    def forward(self, x, *, shift, scale=2.0):
        return x * scale - shift


def keyword_only():
    return Model(KeywordOnly(), {"shift": rows(), "x": rows()}, {"x": {0: "batch"}, "shift": {0: "batch"}}, BATCH)


class CatchAll(nn.Module):
    def forward(self, x, **named):
        return x * 2 - named["shift"] * 3 + named["scale"]


def catch_all():
    example = {"shift": rows(), "scale": rows(), "x": rows()}
    return Model(CatchAll(), example, {path: {0: "batch"} for path in ("x", "shift", "scale")}, BATCH)


# Registered classes


@dataclass
class Box:
    left: torch.Tensor
    right: torch.Tensor


class Boxed(nn.Module):
    def forward(self, box):
        return box.left - box.right


def dataclass_plain():
    """A dataclass that nobody told torch about."""
    return Model(Boxed(), (Box(rows(), rows()),))


@dataclass
class Registered:
    left: torch.Tensor
    right: torch.Tensor


def dataclass_registered():
    torch.export.register_dataclass(Registered)
    dynamic = {"box.left": {0: "batch"}, "box.right": {0: "batch"}}
    return Model(Boxed(), (Registered(rows(), rows()),), dynamic, BATCH)


@dataclass
class Answer:
    logits: torch.Tensor
    hidden: torch.Tensor


class Parcel:
    """A class that nobody can take apart."""

    def __init__(self, tensor):
        self.tensor = tensor


class Answering(nn.Module):
    def forward(self, x):
        return Answer(x * 2, x - 1)


def dataclass_returned():
    return Model(Answering(), (rows(),), {"x": {0: "batch"}}, BATCH)


def dataclass_returned_registered():
    torch.export.register_dataclass(Answer)
    return dataclass_returned()


def model_output():
    from transformers.modeling_outputs import BaseModelOutput

    class Outputs(nn.Module):
        def forward(self, x):
            return BaseModelOutput(last_hidden_state=x * 2, hidden_states=(x, x + 1))

    return Model(Outputs(), (rows(),), {"x": {0: "batch"}}, BATCH)


def cache_input():
    from transformers import DynamicCache

    class Cached(nn.Module):
        def forward(self, x, past):
            key, value = past.update(x, x * 2, 0)
            return key.sum(2) - value.mean(2)

    past = DynamicCache()
    past.update(torch.randn(2, 2, 3, 4), torch.randn(2, 2, 3, 4), 0)
    dynamic = {path: {0: "batch"} for path in ("x", "past.key_cache.0", "past.value_cache.0")}
    return Model(Cached(), {"x": torch.randn(2, 2, 1, 4), "past": past}, dynamic, BATCH)


def cache_returned():
    from transformers import DynamicCache

    class Caching(nn.Module):
        def forward(self, x):
            past = DynamicCache()
            past.update(x, x * 2, 0)
            return x + 1, past

    return Model(Caching(), (torch.randn(2, 2, 3, 4),), {"x": {0: "batch"}}, BATCH)


def parcel_input():
    class Opened(nn.Module):
        def forward(self, parcel):
            return parcel.tensor * 2

    return Model(Opened(), (Parcel(rows()),))


def parcel_beside():
    class Opened(nn.Module):
        def forward(self, x, parcel):
            return x * parcel.tensor

    return Model(Opened(), (rows(), Parcel(rows())))


def parcel_returned():
    class Packed(nn.Module):
        def forward(self, x):
            return x * 2, Parcel(x)

    return Model(Packed(), (rows(),), {"x": {0: "batch"}}, BATCH)


class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, layer, mul):
        return self.layer(layer["weight"]) * mul - layer["bias"]


def called_like_weights():
    """Nested inputs whose paths are the names of the model's own weights."""
    dynamic = {path: {0: "batch"} for path in ("layer.weight", "layer.bias", "mul")}
    return Model(Weighted(), {"layer": {"weight": rows(), "bias": rows()}, "mul": rows()}, dynamic, BATCH)


def own_weight():
    """The example is the model's own weight."""
    module = Own()
    return Model(module, (module.table,), {"x": {0: "batch"}}, BATCH)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(rows(5))

    def forward(self, x):
        return x * 2 - self.table.sum()


class ConstantFirst(nn.Module):
    def forward(self, factor, x, mode, y):
        return x * factor - y if mode == "minus" else x


def constants_between():
    return Model(ConstantFirst(), (2.5, rows(), "minus", rows()), {"x": {0: "batch"}, "y": {0: "batch"}}, BATCH)


# Optional inputs


class Masked(nn.Module):
    def forward(self, x, mask=None, bias=None):
        if mask is not None:
            x = x * mask
        return x + 1 if bias is None else x - bias


def optional_left_out():
    return Model(Masked(), {"x": rows()}, {"x": {0: "batch"}}, BATCH)


def optional_none():
    return Model(Masked(), (rows(), None), {"x": {0: "batch"}}, BATCH)


def optional_given():
    return Model(Masked(), (rows(), rows()), {"x": {0: "batch"}, "mask": {0: "batch"}}, BATCH)


def optional_gap():
    """None in the middle, a tensor behind it."""
    return Model(Masked(), (rows(), None, rows()), {"x": {0: "batch"}, "bias": {0: "batch"}}, BATCH)


def optional_gap_by_name():
    """The middle one is left out."""
    return Model(Masked(), {"x": rows(), "bias": rows()}, {"x": {0: "batch"}, "bias": {0: "batch"}}, BATCH)


def optional_number():
    """Defaults that are numbers, left out."""

    class Scaled(nn.Module):
        def forward(self, x, mask=None, scale=1.5, shift=2, squared=False):
            x = x * scale + shift
            x = x * x if squared else x
            return x if mask is None else x * mask

    return Model(Scaled(), (rows(), rows()), {"x": {0: "batch"}, "mask": {0: "batch"}}, BATCH)


def scripted():
    """TorchScript already, a branch on data included."""

    class Branching(nn.Module):
        def forward(self, x):
            y = x * 2 if bool(x.sum() > 0) else x - 1
            return y, x.sum()

    return Model(torch.jit.script(Branching()), (rows(),), {"x": {0: "batch"}}, BATCH)


class NestedOptional(nn.Module):
    def forward(self, parts):
        first, mask, last = parts
        return first - last if mask is None else first * mask - last


def optional_nested():
    dynamic = {"parts.0": {0: "batch"}, "parts.2": {0: "batch"}}
    return Model(NestedOptional(), ((rows(), None, rows()),), dynamic, BATCH)


# What a trace may drop or merge


class Ignoring(nn.Module):
    def forward(self, x, unused, y):
        return x - y


def ignored():
    dynamic = {"x": {0: "batch"}, "unused": {0: "batch"}, "y": {0: "batch"}}
    return Model(Ignoring(), (rows(), rows(), rows()), dynamic, BATCH)


def ignored_first():
    class First(nn.Module):
        def forward(self, unused, x, y):
            return x - 2 * y

    dynamic = {"x": {0: "batch"}, "unused": {0: "batch"}, "y": {0: "batch"}}
    return Model(First(), (rows(), rows(), rows()), dynamic, BATCH)


def ignored_all():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(2, 3)

    return Model(Constant(), (rows(),))


def same_twice():
    x = rows()
    return Model(TwoByTwo(), (x, x), {"left": {0: "batch"}, "right": {0: "batch"}}, BATCH)


def same_twice_nested():
    x = rows()
    return Model(TupleOnly(), ((x, x),), {"pair.0": {0: "batch"}, "pair.1": {0: "batch"}}, BATCH)


class Through(nn.Module):
    def forward(self, x, y):
        return x, x + y


def output_is_input():
    return Model(Through(), (rows(), rows()), {"x": {0: "batch"}, "y": {0: "batch"}}, BATCH)


class Twice(nn.Module):
    def forward(self, x):
        y = x * 2
        return y, y


def output_twice():
    return Model(Twice(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_none():
    class Nothing(nn.Module):
        def forward(self, x):
            return x * 2, None, x - 1

    return Model(Nothing(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_number():
    class Number(nn.Module):
        def forward(self, x):
            return x * 2, 3, x - 1, 0.5

    return Model(Number(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_string():
    class Words(nn.Module):
        def forward(self, x):
            return {"value": x * 2, "kind": "logits"}

    return Model(Words(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_size():
    """The number that is returned is the batch itself: another number at every size."""

    class Sized(nn.Module):
        def forward(self, x):
            return x * 2, x.shape[0]

    return Model(Sized(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_only_none():
    class Nothing(nn.Module):
        def forward(self, x):
            return None

    return Model(Nothing(), (rows(),))


def output_buffer():
    class Buffered(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.arange(6.0))

        def forward(self, x):
            return x + 1, self.table

    return Model(Buffered(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_order():
    """A dict whose keys are not in the order of the alphabet."""

    class Ordered(nn.Module):
        def forward(self, x):
            return {"zulu": x + 1, "alpha": x * 2, "mike": (x - 3, x / 4)}

    return Model(Ordered(), (rows(),), {"x": {0: "batch"}}, BATCH)


def output_names():
    return Model(
        TwoByTwo(),
        (rows(), rows()),
        {"left": {0: "batch"}, "right": {0: "batch"}},
        BATCH,
        output_names=("difference", "product"),
    )


def output_names_short():
    return Model(TwoByTwo(), (rows(), rows()), output_names=("difference",))


def output_names_like_inputs():
    return Model(TwoByTwo(), (rows(), rows()), output_names=("right", "left"))


def input_called_output():
    class Named(nn.Module):
        def forward(self, output, linear):
            return output - linear

    return Model(Named(), (rows(), rows()), {"output": {0: "batch"}, "linear": {0: "batch"}}, BATCH)


def written_to():
    class Writing(nn.Module):
        def forward(self, x, y):
            x.add_(1)
            return x * y

    return Model(Writing(), (rows(), rows()), {"x": {0: "batch"}, "y": {0: "batch"}}, BATCH)


def stateful():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x + self.calls

    return Model(Counting(), (rows(),), {"x": {0: "batch"}}, BATCH)


def random():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    return Model(Noisy(), (rows(),), {"x": {0: "batch"}}, BATCH)


# Types


class Double(nn.Module):
    def forward(self, x):
        return x * 2 + 1


class Mixer(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4).to(dtype)

    def forward(self, x):
        return self.layer(x).relu()


def float16():
    return Model(Mixer(torch.float16), (rows(dtype=torch.float16),), {"x": {0: "batch"}}, BATCH)


def bfloat16():
    return Model(Mixer(torch.bfloat16), (rows(dtype=torch.bfloat16),), {"x": {0: "batch"}}, BATCH)


def float64():
    return Model(Mixer(torch.float64), (rows(dtype=torch.float64),), {"x": {0: "batch"}}, BATCH)


def bfloat16_inside():
    class Inside(nn.Module):
        def forward(self, x):
            return (x.to(torch.bfloat16) * 2).to(torch.float32)

    return Model(Inside(), (rows(),), {"x": {0: "batch"}}, BATCH)


def bfloat16_output():
    class Out(nn.Module):
        def forward(self, x):
            return (x * 2).to(torch.bfloat16)

    return Model(Out(), (rows(),), {"x": {0: "batch"}}, BATCH)


def _whole(dtype):
    return Model(Double(), (torch.arange(12).reshape(3, 4).to(dtype),), {"x": {0: "batch"}}, BATCH)


def int64():
    return _whole(torch.int64)


def int32():
    return _whole(torch.int32)


def int16():
    return _whole(torch.int16)


def int8():
    return _whole(torch.int8)


def uint8():
    return _whole(torch.uint8)


def uint16():
    return Model(Plain(), (torch.arange(12).reshape(3, 4).to(torch.uint16),), {"x": {0: "batch"}}, BATCH)


class Plain(nn.Module):
    def forward(self, x):
        return x.to(torch.int64) * 2


def float8():
    class Out(nn.Module):
        def forward(self, x):
            return x.to(torch.float32) * 2

    return Model(Out(), (rows().to(torch.float8_e4m3fn),), {"x": {0: "batch"}}, BATCH)


class Where(nn.Module):
    def forward(self, x, keep):
        return torch.where(keep, x, -x), ~keep


def boolean():
    return Model(Where(), (rows(), rows() > 0), {"x": {0: "batch"}, "keep": {0: "batch"}}, BATCH)


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(32, 4)

    def forward(self, ids, mask):
        return self.table(ids) * mask.unsqueeze(-1)


def integers():
    ids = torch.arange(12).reshape(3, 4) * 2
    return Model(
        Embedding(), (ids, torch.ones(3, 4, dtype=torch.int64)), {"ids": {0: "batch"}, "mask": {0: "batch"}}, BATCH
    )


class Everything(nn.Module):
    def forward(self, half, double, whole, small, byte, flags, factor, past):
        return {
            "floats": (half * 2, double - 1),
            "wholes": [whole + 3, small * 2, byte + 1],
            "flags": ~flags,
            "scaled": torch.cat([past, double.float() * factor], dim=1),
            "sum": (whole.sum(), factor * 2),
        }


def all_types():
    """Every element type that both exporters know, a 0-d input, an empty one, and 0-d outputs."""
    whole = torch.arange(12).reshape(3, 4)
    example = (
        rows(dtype=torch.float16),
        rows(dtype=torch.float64),
        whole,
        whole.to(torch.int8),
        whole.to(torch.uint8),
        whole % 3 == 0,
        torch.tensor(2.5),
        torch.zeros(3, 0),
    )
    names = ("half", "double", "whole", "small", "byte", "flags", "past")
    return Model(Everything(), example, {name: {0: "batch"} for name in names}, BATCH)


def complex_input():
    class Magnitude(nn.Module):
        def forward(self, x):
            return x.abs()

    return Model(Magnitude(), (torch.randn(3, 4, dtype=torch.complex64),))


def complex_output():
    class Rotated(nn.Module):
        def forward(self, x):
            return torch.complex(x, -x)

    return Model(Rotated(), (rows(),))


# Shapes and layouts


def scalar():
    class Scaled(nn.Module):
        def forward(self, x, factor):
            return x * factor, (x * factor).sum()

    return Model(Scaled(), (rows(), torch.tensor(2.5)), {"x": {0: "batch"}}, BATCH)


def scalar_count():
    """Nothing reads it in Python."""

    class Scaled(nn.Module):
        def forward(self, x, count):
            return x * count, count + 1

    return Model(Scaled(), (rows(), torch.tensor(3)), {"x": {0: "batch"}}, BATCH)


def scalar_read():
    """A count that Python reads, of which a trace knows one value only."""

    class Headed(nn.Module):
        def forward(self, x, count):
            return x * int(count)

    return Model(Headed(), (rows(), torch.tensor(3)), {"x": {0: "batch"}}, BATCH)


def size_read():
    """A size that depends on values, of which a trace keeps the number."""

    class Counted(nn.Module):
        def forward(self, x, ids):
            return x * len(torch.unique(ids))

    return Model(Counted(), (rows(), torch.tensor([1, 2, 2, 5])), {"x": {0: "batch"}}, BATCH)


def mask_read():
    """A mask that is left out where it is open."""

    class Masked(nn.Module):
        def forward(self, x, mask):
            return x if mask.all() else x * mask

    example = (rows(), torch.ones(3, 4, dtype=torch.bool))
    return Model(Masked(), example, {"x": {0: "batch"}, "mask": {0: "batch"}}, BATCH)


def empty():
    class Joined(nn.Module):
        def forward(self, x, past):
            return torch.cat([past, x], dim=1)

    return Model(Joined(), (rows(), torch.zeros(3, 0)), {"x": {0: "batch"}, "past": {0: "batch"}}, BATCH)


def empty_dynamic():
    class Joined(nn.Module):
        def forward(self, x, past):
            return torch.cat([past, x], dim=1)

    return Model(Joined(), (rows(), torch.zeros(3, 0)), {"past": {1: "past"}}, {"past": (0, 6)})


def expanded():
    return Model(
        TwoByTwo(), (torch.randn(1, 4).expand(3, 4), rows()), {"left": {0: "batch"}, "right": {0: "batch"}}, BATCH
    )


def transposed():
    return Model(TwoByTwo(), (torch.randn(4, 3).t(), rows()), {"left": {0: "batch"}, "right": {0: "batch"}}, BATCH)


def channels_last():
    class Convolved(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.conv(x)

    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    return Model(Convolved(), (x,), {"x": {0: "batch"}}, BATCH)


def needs_grad():
    return Model(Double(), (rows().requires_grad_(),), {"x": {0: "batch"}}, BATCH)


def parameter_input():
    return Model(Double(), (nn.Parameter(rows()),), {"x": {0: "batch"}}, BATCH)


def sparse():
    class Dense(nn.Module):
        def forward(self, x):
            return x.to_dense() * 2

    return Model(Dense(), (torch.eye(3).to_sparse(),))


# Constants among the arguments


class Configured(nn.Module):
    def forward(self, x, factor, mode, steps=1, *, flag=True):
        for _ in range(steps):
            x = x * factor
        x = x.relu() if mode == "relu" else x.tanh()
        return x if flag else -x


def constants():
    example = {"x": rows(), "factor": 1.5, "mode": "tanh", "steps": 2, "flag": False}
    return Model(Configured(), example, {"x": {0: "batch"}}, BATCH)


def constants_by_position():
    return Model(Configured(), (rows(), 1.5, "tanh", 2), {"x": {0: "batch"}}, BATCH)


def constants_nested():
    class Settings(nn.Module):
        def forward(self, parts):
            return parts["x"] * parts["factor"] if parts["mode"] == "times" else parts["x"]

    example = ({"x": rows(), "factor": 3, "mode": "times"},)
    return Model(Settings(), example, {"parts.x": {0: "batch"}}, BATCH)


def constant_object():
    class Flags:
        negate = True

    class Flagged(nn.Module):
        def forward(self, x, flags):
            return -x if flags.negate else x

    return Model(Flagged(), (rows(), Flags()), {"x": {0: "batch"}}, BATCH)


def constant_dtype():
    class Cast(nn.Module):
        def forward(self, x, dtype, shape):
            return x.to(dtype).reshape(shape)

    return Model(Cast(), (rows(), torch.float64, torch.Size([2, 6])))


def constant_array():
    import numpy as np

    class Added(nn.Module):
        def forward(self, x, table):
            return x + torch.from_numpy(table)

    return Model(Added(), (rows(), np.ones(4, dtype="float32")), {"x": {0: "batch"}}, BATCH)


def dotted_keys():
    """Two paths that are spelt alike."""

    class Dotted(nn.Module):
        def forward(self, parts):
            return parts["a.b"] - parts["a"]["b"]

    return Model(Dotted(), ({"a.b": rows(), "a": {"b": rows()}},))


def odd_keys():
    class Odd(nn.Module):
        def forward(self, parts):
            return parts["a b/c"] - parts[""]

    return Model(Odd(), ({"a b/c": rows(), "": rows()},), {"parts.a b/c": {0: "batch"}, "parts.": {0: "batch"}}, BATCH)


def no_tensor():
    class Counted(nn.Module):
        def forward(self, count):
            return torch.ones(count)

    return Model(Counted(), (3,))
