"""onnxslim: folds constants, removes what nothing uses and fuses what can be fused, whoever exported the graph."""

from __future__ import annotations

from pathlib import Path

from edgesweep.export.artifacts.saving import save_model


class _OnnxSlim:
    package = "onnxslim"
    extra = "edgesweep[onnxslim]"

    def optimise(self, source: Path, target: Path) -> None:
        """Write the slimmed model; its shapes and the names of inputs and outputs stay.

        Raises:
            Exception: Whatever onnxslim raises.
        """
        import onnx
        import onnxslim

        save_model(onnxslim.slim(onnx.load(source)), target)


OPTIMISER = _OnnxSlim()
"""What plans call `onnxslim`."""
