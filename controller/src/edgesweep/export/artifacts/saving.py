"""Writing a model that a tool holds in memory, whatever its size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

#: Weights beyond this go into a file of their own: one protobuf message cannot hold 2 GiB.
EXTERNAL_ABOVE_BYTES = 1 << 30


def is_large(path: Path) -> bool:
    """Whether the model at `path`, with everything that lies beside it, may be too large for one message."""
    return sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file()) > EXTERNAL_ABOVE_BYTES


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write `model`, its weights loaded, to `path`; large weights go to a file beside it."""
    import onnx

    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size > EXTERNAL_ABOVE_BYTES:
        onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data")
    else:
        onnx.save(model, path)
