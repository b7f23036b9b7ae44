"""The arguments of a module's `forward`: from inputs by parameter name to a call that an exporter can follow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgesweep.models.inputs import tensors_in
from edgesweep.models.tree import map_leaves, map_tensors, node_of

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


def by_position(module: torch.nn.Module, inputs: Mapping[str, Any]) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """A module that takes the tensors of `inputs` by position, in order, and those tensors.

    Everything else among the arguments is part of it. Exporters that lose keywords, or cannot take a container or a
    constant, can always take this.
    """
    import torch

    class Positional(torch.nn.Module):  # type: ignore[misc] # torch comes without types here
        """Takes every tensor in order and calls the model as it wants to be called."""

        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, *tensors: torch.Tensor) -> Any:
            left = iter(tensors)
            args, kwargs = call_of(self.model, map_tensors(inputs, lambda _path, _tensor: next(left)))
            return self.model(*args, **kwargs)

    return Positional().eval(), tuple(tensors_in(inputs).values())


def is_plain(module: torch.nn.Module, inputs: Mapping[str, Any]) -> bool:
    """Whether `torch.export` takes these arguments as they are: built-in containers of tensors, numbers and strings.

    It mixes up the sizes of what `forward` takes as `**kwargs`, so these are not plain.
    """
    parameters = inspect.signature(module.forward).parameters
    return all(name in parameters for name in inputs) and all(_is_plain(value) for value in inputs.values())


def specification_of(inputs: Mapping[str, Any], leaf: Callable[[str, torch.Tensor], Any]) -> dict[str, Any]:
    """The dynamic shapes of `forward` in the form that `torch.export` takes: by parameter name, None for a constant.

    Args:
        inputs: Arguments by parameter name; plain ones.
        leaf: The specification of one tensor, by its path.
    """
    import torch

    def at(path: str, value: Any) -> Any:
        return leaf(path, value) if isinstance(value, torch.Tensor) else None

    return {name: map_leaves(value, at, name) for name, value in inputs.items()}


def _is_plain(value: Any) -> bool:
    import torch

    node = node_of(value)
    if node is None:
        return isinstance(value, torch.Tensor) or type(value) in (type(None), bool, int, float, str)
    builtin = type(value) in (tuple, list, dict) or (isinstance(value, tuple) and hasattr(value, "_fields"))
    return builtin and all(_is_plain(child) for child in node.children)
