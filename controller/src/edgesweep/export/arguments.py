"""The arguments of a module's `forward`: from inputs by parameter name to a call, and its outputs back as a flat list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def call_of(module: torch.nn.Module, inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """`inputs` as the positional and keyword arguments of `forward`, positional as far as there is no gap.

    Args:
        module: The module to call.
        inputs: Arguments by parameter name; `*args` stand in a tuple under that parameter's name.
    """
    args: list[Any] = []
    rest = dict(inputs)
    for name, parameter in inspect.signature(module.forward).parameters.items():
        if name not in rest or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            break
        value = rest.pop(name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(value)
        else:
            args.append(value)
    return tuple(args), rest


def replace_tensors(
    inputs: Mapping[str, Any],
    leaf: Callable[[str, torch.Tensor], Any],
    other: Callable[[Any], Any] = lambda value: value,
) -> dict[str, Any]:
    """A tree like `inputs` with `leaf(path, tensor)` for every tensor and `other(value)` for anything else."""
    return {name: _replace(name, value, leaf, other) for name, value in inputs.items()}


def specification_of(
    module: torch.nn.Module, inputs: Mapping[str, Any], leaf: Callable[[str, torch.Tensor], Any]
) -> dict[str, Any]:
    """The dynamic shapes of `forward` in the form that `torch.export` takes: by parameter name, `**kwargs` under theirs.

    Args:
        module: The module to export.
        inputs: Arguments by parameter name.
        leaf: The specification of one tensor, by its path.
    """
    parameters = inspect.signature(module.forward).parameters
    catch_all = next((name for name, found in parameters.items() if found.kind is found.VAR_KEYWORD), "")
    tree = replace_tensors(inputs, leaf, lambda _: None)
    extras = {name: tree.pop(name) for name in inputs if name not in parameters}
    return tree | ({catch_all: extras} if extras else {})


def flat_outputs(outputs: Any) -> list[torch.Tensor]:
    """Every tensor in what a module returned, in the order in which the exporters name them."""
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]


def run_module(module: torch.nn.Module, inputs: Mapping[str, Any]) -> list[torch.Tensor]:
    """The module's outputs for `inputs`, without gradients. Inputs are copied first, in case it writes to them."""
    import copy

    import torch

    args, kwargs = call_of(module, copy.deepcopy(dict(inputs)))
    with torch.no_grad():
        return flat_outputs(module(*args, **kwargs))


def _replace(path: str, value: Any, leaf: Callable[[str, torch.Tensor], Any], other: Callable[[Any], Any]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return leaf(path, value)
    if isinstance(value, Mapping):
        return {key: _replace(f"{path}.{key}", child, leaf, other) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        children = [_replace(f"{path}.{index}", child, leaf, other) for index, child in enumerate(value)]
        return type(value)(*children) if hasattr(value, "_fields") else type(value)(children)
    return other(value)
