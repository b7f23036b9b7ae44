"""Edgesweep: which model, exported which way, runs on which board, how fast, and if not, why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesweep.models.model import Model

__version__ = "0.1.0"
__all__ = ["Model", "__version__"]


def __getattr__(name: str) -> Any:
    # Late, so that `edgesweep --help` and readers of results import nothing heavy.
    if name == "Model":
        from edgesweep.models.model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
