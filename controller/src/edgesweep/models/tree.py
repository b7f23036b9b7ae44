"""Nested values: the leaves of arguments and outputs by path, through every container that torch knows how to take apart.

A path is what a user would write: `x`, `past.0.key`. Inside a dict it goes on with the key, inside a tuple or list with the
index, inside a named tuple, a dataclass or a class registered with torch with the field's name.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Objects inside objects, while hidden tensors are looked for.
_DEPTH = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A container taken apart: its children by name, and how to make it again from others in the same order."""

    names: tuple[str, ...]
    children: tuple[Any, ...]
    rebuild: Callable[[Sequence[Any]], Any]


def node_of(value: Any) -> Node | None:
    """`value` as a container; None where it is a leaf.

    torch's own registry of containers is asked first, so that a path means the same here and in `torch.export`.
    """
    registered = _registered(value)
    if registered is not None:
        return registered
    if isinstance(value, Mapping):
        return Node(tuple(str(key) for key in value), tuple(value.values()), lambda new: _mapping(value, new))
    if isinstance(value, (list, tuple)) and not _is_size(value):
        names = tuple(str(index) for index in range(len(value)))
        return Node(names, tuple(value), type(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = tuple(field.name for field in dataclasses.fields(value))
        children = tuple(getattr(value, name) for name in fields)
        return Node(fields, children, lambda new: _dataclass(value, dict(zip(fields, new, strict=True))))
    return None


def leaves_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of `value` with its path, in the order in which torch takes the containers apart."""
    node = node_of(value)
    if node is None:
        yield path, value
        return
    for name, child in zip(node.names, node.children, strict=True):
        yield from leaves_of(child, f"{path}.{name}" if path else name)


def map_leaves(value: Any, change: Callable[[str, Any], Any], path: str = "") -> Any:
    """A tree like `value` with `change(path, leaf)` for every leaf."""
    node = node_of(value)
    if node is None:
        return change(path, value)
    pairs = zip(node.names, node.children, strict=True)
    return node.rebuild([map_leaves(child, change, f"{path}.{name}" if path else name) for name, child in pairs])


def map_tensors(inputs: Mapping[str, Any], change: Callable[[str, torch.Tensor], Any]) -> dict[str, Any]:
    """Arguments like `inputs` with `change(path, tensor)` for every tensor; anything else stays as it is."""
    import torch

    def at(path: str, leaf: Any) -> Any:
        return change(path, leaf) if isinstance(leaf, torch.Tensor) else leaf

    return {name: map_leaves(value, at, name) for name, value in inputs.items()}


def hides_tensors(leaf: Any) -> bool:
    """Whether a leaf that is no tensor holds some: they would be baked into an export without anybody's knowledge."""
    return not _is_tensor(leaf) and _holds(leaf, _DEPTH, set())


def _registered(value: Any) -> Node | None:
    """A container that torch's registry knows, with the names that torch gives to its children."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    from torch.utils import _pytree

    known = _pytree.SUPPORTED_NODES
    kind = _pytree._get_node_type(value)  # noqa: SLF001 - tells named tuples from tuples; torch has no public form of it
    if kind not in known and type(value).__name__ == "DynamicCache":
        _register_caches()
    definition = known.get(kind)
    if definition is None:
        return None
    children, context = definition.flatten_fn(value)
    names = [str(index) for index, _ in enumerate(children)]
    if definition.flatten_with_keys_fn is not None:
        # Only the names: the context that comes with them need not be one that can be undone.
        keyed, _ = definition.flatten_with_keys_fn(value)
        names = [_name(key) for key, _ in keyed]
    return Node(tuple(names), tuple(children), lambda new: definition.unflatten_fn(list(new), context))


def _register_caches() -> None:
    """Have transformers tell torch how to take its caches apart; it can, but leaves it to whoever exports."""
    if "transformers" not in sys.modules:
        return
    try:
        from transformers.integrations.executorch import register_dynamic_cache_export_support
    except ImportError:
        return
    register_dynamic_cache_export_support()


def _name(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _mapping(value: Mapping[Any, Any], children: Sequence[Any]) -> Any:
    pairs = dict(zip(value, children, strict=True))
    if not hasattr(value, "update"):
        return pairs
    made: Any = copy.copy(value)
    made.update(pairs)
    return made


def _dataclass(value: Any, fields: Mapping[str, Any]) -> Any:
    """A copy with other fields; `__init__` may do more than store them, so it is not called."""
    made = copy.copy(value)
    for name, child in fields.items():
        object.__setattr__(made, name, child)
    return made


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_size(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Size)


def _holds(value: Any, depth: int, seen: set[int]) -> bool:
    if _is_tensor(value):
        return True
    if depth == 0 or id(value) in seen or isinstance(value, (str, bytes, int, float, complex, type)):
        return False
    seen.add(id(value))
    inside: list[Any] = []
    if isinstance(value, Mapping):
        inside = list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = list(value)
    elif hasattr(value, "__dict__"):
        inside = list(vars(value).values())
    return any(_holds(child, depth - 1, seen) for child in inside)
