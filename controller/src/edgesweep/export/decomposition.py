# ruff: noqa: SLF001 - what is shared lies behind names that torch keeps to itself
"""What torch's dynamo exporter works out anew at every opset although it comes out the same: found once, handed back.

Decomposing a program costs more than its capture, and listing torch's translations about as much as translating. Both
sit behind names that torch keeps to itself: where a torch has them no longer, everything is as torch itself does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_Prepare = Callable[..., "torch.export.ExportedProgram"]


@dataclass(frozen=True, slots=True)
class _Decomposed:
    """A program before and after decomposition, and the operators left whole because a translation is registered."""

    captured: torch.export.ExportedProgram
    program: torch.export.ExportedProgram
    whole: frozenset[Any]


@dataclass(slots=True)
class Decompositions:
    """The decomposed forms of one captured program.

    They differ by the operators that are left whole, which newer opsets have more of.
    """

    _found: list[_Decomposed] = field(default_factory=list)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Have `torch.onnx.export`, called inside with the one program, decompose it only where it must."""
        internals = _internals()
        if internals is None:
            yield
            return
        # Before torch's way of listing them is replaced.
        list_translations()
        core, registration, decomp = internals
        registry_class = registration.ONNXRegistry
        prepare, from_torchlib = core._prepare_exported_program_for_export, registry_class.__dict__["from_torchlib"]

        def prepared(program: torch.export.ExportedProgram, *, registry: Any) -> torch.export.ExportedProgram:
            return self._prepared(
                program, registry, prepare, frozenset(decomp.get_onnx_implemented_overloads(registry))
            )

        core._prepare_exported_program_for_export = prepared
        registry_class.from_torchlib = staticmethod(_registry)
        try:
            yield
        finally:
            core._prepare_exported_program_for_export = prepare
            registry_class.from_torchlib = from_torchlib

    def _prepared(
        self, program: torch.export.ExportedProgram, registry: Any, prepare: _Prepare, whole: frozenset[Any]
    ) -> torch.export.ExportedProgram:
        for known in self._found:
            # An operator that was left whole would still be in the graph: where none of the surplus is, none was met.
            if (
                known.captured is program
                and known.whole >= whole
                and not (known.whole - whole) & _operators(known.program)
            ):
                return known.program
        decomposed = prepare(program, registry=registry)
        self._found.append(_Decomposed(program, decomposed, whole))
        return decomposed


def list_translations() -> None:
    """List torch's translations now, which is slow, rather than in the first export."""
    if _internals() is not None:
        _all_translations()


def _operators(program: torch.export.ExportedProgram) -> frozenset[Any]:
    return frozenset(
        node.target
        for module in program.graph_module.modules()
        if hasattr(module, "graph")
        for node in module.graph.nodes
        if node.op == "call_function"
    )


def _registry(opset_version: int | None = None) -> Any:
    """The translations of one opset, as `ONNXRegistry.from_torchlib` chooses them."""
    internals = _internals()
    if internals is None:
        raise RuntimeError("torch's exporter changed while it was in use")
    registry = internals[1].ONNXRegistry()
    if opset_version is not None:
        registry._opset_version = opset_version
    registry.functions = dict(_all_translations().functions)
    registry._cleanup_registry_based_on_opset_version()
    return registry


@cache
def _all_translations() -> Any:
    """The translations of all opsets: listing them means parsing the source of some five hundred functions."""
    from torch.onnx._internal.exporter import _registration

    class Uncut(_registration.ONNXRegistry):  # type: ignore[misc] # torch comes without types here
        """A registry that has not chosen an opset yet."""

        def _cleanup_registry_based_on_opset_version(self) -> None:
            pass

    return Uncut.from_torchlib()


@cache
def _internals() -> tuple[Any, Any, Any] | None:
    """Torch's modules that hold what is shared, if they hold it under the names that are known here."""
    try:
        from torch.onnx._internal.exporter import _core, _decomp, _registration
    except ImportError:
        return None
    needed = (
        (_core, "_prepare_exported_program_for_export"),
        (_decomp, "get_onnx_implemented_overloads"),
        (_registration.ONNXRegistry, "from_torchlib"),
        (_registration.ONNXRegistry, "_cleanup_registry_based_on_opset_version"),
    )
    return (_core, _registration, _decomp) if all(hasattr(owner, name) for owner, name in needed) else None
