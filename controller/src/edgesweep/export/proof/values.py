"""Inputs with other values than the example's: a branch that was traced away agrees at the example and differs at some.

Every model is tried with its example turned round. One that reads a value in Python (`if x.max() > 1`, `float(x.mean())`,
`lengths.tolist()`) is tried with more, as long as they make it read something else: those are the inputs that a trace may
not hold for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesweep.export.outputs import run_module
from edgesweep.models.inputs import bounds_of, example_of, is_mask
from edgesweep.models.model import Model
from edgesweep.models.tree import leaves_of, map_tensors

if TYPE_CHECKING:
    import torch

#: Values outside a model's usual domain may be worse conditioned; a branch taken wrongly is off by far more.
SLACK = 10.0

_LARGER = 8.0
_SMALLER = 0.05

_READ = itertools.count()

_Change = Callable[[str, "torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, slots=True)
class Tried:
    """Inputs with other values, and torch's outputs for them; `label` says how the values differ from the example's."""

    label: str
    inputs: dict[str, Any]
    outputs: list[torch.Tensor]


def other_values(model: Model) -> Iterator[Tried]:
    """The model at its example's sizes and other values; those that torch refuses, or has no finite answer for, are left out.

    Args:
        model: A loaded model that runs at its example.
    """
    turned = _run(model, "example with other values", _turned)
    if turned is not None:
        yield turned[0]
    example = _run(model, "example", lambda _path, tensor: tensor)
    if example is None or not (example[1] or (turned is not None and turned[1])):
        return
    seen = {example[1]} | ({turned[1]} if turned is not None else set())
    for label, change in _CHANGES.items():
        found = _run(model, f"example with {label} values", change)
        if found is not None and found[1] not in seen:
            seen.add(found[1])
            yield found[0]


def _run(model: Model, label: str, change: _Change) -> tuple[Tried, tuple[str, ...]] | None:
    """The outcome, and the values that Python read on the way; None where torch has no answer to compare with."""
    inputs = map_tensors(example_of(model), change)
    read: list[str] = []
    try:
        with _reading(read):
            outputs = run_module(model.module, inputs)
    except Exception:  # noqa: BLE001 - values outside the model's domain
        return None
    if not all(bool(output.isfinite().all()) for output in outputs if output.is_floating_point()):
        return None
    return Tried(label, inputs, outputs), tuple(read)


@contextmanager
def _reading(read: list[str]) -> Iterator[None]:
    """Notes in `read` what Python can learn of values: by `bool`, `int`, `item`, an `if`, `tolist`, numpy, or a size.

    The size of what `nonzero`, `unique` or `x[mask]` give is a number that depends on values too.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    # These copy a whole tensor past the dispatcher.
    whole = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__)

    watched: list[Any] = []

    class Single(TorchDispatchMode):  # type: ignore[misc] # torch comes without types here
        supports_higher_order_operators = True

        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = operator(*args, **(kwargs or {}))
            if not isinstance(operator, torch._ops.OpOverload):  # noqa: SLF001 - no public name
                # `torch.cond` and its like: either branch must be proven, as if Python had read something else each time.
                read.append(f"{operator} {next(_READ)}")
                watched.append(operator)
            elif torch.Tag.data_dependent_output in operator.tags:
                read.append(repr(found))
            elif torch.Tag.dynamic_output_shape in operator.tags:
                read.append(repr(_shapes_of(found)))
            return found

    class Whole(TorchFunctionMode):  # type: ignore[misc] # as above
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            if function in whole:
                read.append(repr(np.asarray(found).tolist()))
            return found

    try:
        with Whole(), Single():
            yield
    finally:
        if watched:
            # What torch compiled of it knows of the watch, and fails when there is none.
            torch._dynamo.reset()  # noqa: SLF001 - as public as it gets


def _shapes_of(found: Any) -> list[tuple[int, ...]]:
    import torch

    return [tuple(leaf.shape) for _, leaf in leaves_of(found) if isinstance(leaf, torch.Tensor)]


def _turned(_path: str, tensor: torch.Tensor) -> torch.Tensor:
    """Floats negated, indices reversed."""
    import torch

    if tensor.is_floating_point():
        # Infinities are masks: turned round, they would mask everything else.
        return torch.where(torch.isfinite(tensor), -tensor, tensor)
    if not _is_range(tensor):
        return tensor
    # By numpy, because torch turns round no unsigned numbers beyond 8 bits.
    return torch.from_numpy(np.array(np.flip(tensor.numpy())))


def _scaled(factor: float) -> _Change:
    def change(_path: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor * factor if tensor.is_floating_point() else tensor

    return change


def _signed(sign: int, bound: int) -> _Change:
    """Floats with one sign, indices all at the example's lowest (0) or highest (1)."""

    def change(_path: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point():
            return tensor.abs() * sign
        return tensor.clone().fill_(bounds_of(tensor)[bound]) if _is_range(tensor) else tensor

    return change


def _counted(step: int) -> _Change:
    """Whole numbers that are no mask, one up or down: lengths and counts, or indices next to the example's."""

    def change(_path: str, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype is torch.bool or tensor.numel() == 0:
            return tensor
        if tensor.dim() and is_mask(tensor):
            return tensor
        array = tensor.numpy()
        return torch.from_numpy(np.array(array + np.array(step).astype(array.dtype), dtype=array.dtype))

    return change


def _masked(_path: str, tensor: torch.Tensor) -> torch.Tensor:
    """Flags turned round, and masks in their second half, so that something is left open."""
    if tensor.is_floating_point() or tensor.is_complex() or tensor.numel() == 0 or not is_mask(tensor):
        return tensor
    if tensor.dim() == 0:
        return (tensor == 0).to(tensor.dtype)
    changed = tensor.clone()
    half = changed[..., (tensor.shape[-1] + 1) // 2 :]
    half.copy_(half == 0)
    return changed


def _is_range(tensor: torch.Tensor) -> bool:
    """Whether it holds indices or counts: whole numbers that are no mask."""
    import torch

    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype is torch.bool or tensor.numel() == 0:
        return False
    return bounds_of(tensor)[1] > 1


_CHANGES: dict[str, _Change] = {
    "larger": _scaled(_LARGER),
    "smaller": _scaled(_SMALLER),
    "positive": _signed(1, 1),
    "negative": _signed(-1, 0),
    "higher": _counted(1),
    "lower": _counted(-1),
    "masked": _masked,
}
