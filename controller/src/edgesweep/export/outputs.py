"""What a module returns: its tensors in order, whatever they are packed in, and whether a board could be held to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgesweep.errors import EdgesweepError
from edgesweep.export.arguments import call_of
from edgesweep.models.inputs import tensors_in
from edgesweep.models.tree import hides_tensors, leaves_of, node_of

if TYPE_CHECKING:
    import torch

#: Element types that numpy has, so that the host and a board's worker can feed and compare them.
FEEDABLE = frozenset(
    {"float16", "float32", "float64", "bool"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)


def flat_outputs(outputs: Any) -> list[torch.Tensor]:
    """Every tensor in what a module returned, in the order in which the exporters name them.

    Raises:
        EdgesweepError: `export_error` when tensors hide in an object that torch cannot take apart.
    """
    import torch

    found = list(leaves_of(outputs))
    for path, leaf in found:
        if hides_tensors(leaf):
            kind = type(leaf).__name__
            raise EdgesweepError(
                "export_error",
                f"forward() returns a {kind}{_at(path)}, which torch cannot take apart: return tensors in tuples, dicts or "
                f"dataclasses, or call torch.utils._pytree.register_pytree_node for {kind} in the factory",
            )
    return [leaf for _, leaf in found if isinstance(leaf, torch.Tensor)]


def run_module(module: torch.nn.Module, inputs: Mapping[str, Any]) -> list[torch.Tensor]:
    """The module's outputs for `inputs`, without gradients. Inputs are copied first, in case it writes to them.

    Raises:
        EdgesweepError: `type_unsupported` for a tensor that numpy cannot hold, `export_error` when nothing comes back.
    """
    for path, tensor in tensors_in(inputs).items():
        _require_feedable(f"input '{path}'", tensor)
    outputs = flat_outputs(call(module, inputs))
    if not outputs:
        raise EdgesweepError("export_error", "forward() returns no tensor, so there is nothing to export")
    for index, tensor in enumerate(outputs):
        _require_feedable(f"output {index}", tensor)
    return outputs


def call(module: torch.nn.Module, inputs: Mapping[str, Any]) -> Any:
    """What the module returns for copies of `inputs`, without gradients."""
    import copy

    import torch

    args, kwargs = call_of(module, copy.deepcopy(dict(inputs)))
    with torch.no_grad():
        return module(*args, **kwargs)


def tensor_mask(outputs: Any) -> tuple[bool, ...]:
    """Which leaves of what a module returned are tensors: a trace turns some of the others into tensors too."""
    import torch

    return tuple(isinstance(leaf, torch.Tensor) for _, leaf in leaves_of(outputs))


@contextmanager
def tensors_alone(module: torch.nn.Module, mask: tuple[bool, ...] | None = None) -> Iterator[None]:
    """While this is open, `module` returns its tensors as a flat tuple where it would return what exporters cannot take.

    A module that returns tensors in plain containers is left alone, so its graph is what torch itself would write.

    Args:
        module: The module that is exported.
        mask: `tensor_mask` of an untraced call; without it what looks like a tensor is one.
    """
    import torch

    def flatten(_module: torch.nn.Module, _inputs: Any, outputs: Any) -> Any:
        leaves = [leaf for _, leaf in leaves_of(outputs)]
        kept = tensor_mask(outputs)
        if mask is not None and len(mask) == len(kept):
            kept = mask
        if _is_plain(outputs) and all(keep or leaf is None for keep, leaf in zip(kept, leaves, strict=True)):
            return None
        return tuple(leaf for keep, leaf in zip(kept, leaves, strict=True) if keep)

    if isinstance(module, torch.jit.ScriptModule):
        # It takes no hook, and returns nothing but plain containers.
        yield
        return
    handle = module.register_forward_hook(flatten)
    try:
        yield
    finally:
        handle.remove()


def _is_plain(outputs: Any) -> bool:
    """Whether every container in `outputs` is one that both exporters take as it is."""
    node = node_of(outputs)
    if node is None:
        return True
    return isinstance(outputs, (tuple, list, dict)) and all(_is_plain(child) for child in node.children)


def _require_feedable(what: str, tensor: torch.Tensor) -> None:
    import torch

    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided or tensor.is_nested:
        kind = f"{str(tensor.layout).removeprefix('torch.')} {kind}"
    if kind not in FEEDABLE:
        raise EdgesweepError(
            "type_unsupported",
            f"{what} of the model is {kind}, which numpy cannot hold, so no board could be fed with it or compared",
        )


def _at(path: str) -> str:
    return f" at '{path}'" if path else ""
