"""onnxscript's optimiser: the one that the dynamo exporter runs on its own graphs, here for any exporter's."""

from __future__ import annotations

from pathlib import Path


class _OnnxScript:
    package = "onnxscript"
    extra = "edgesweep[export]"

    def optimise(self, source: Path, target: Path) -> None:
        """Write the model with constants folded, functions inlined and known patterns rewritten.

        Raises:
            Exception: Whatever onnxscript raises.
        """
        import onnx
        from onnxscript import optimizer

        onnx.save(optimizer.optimize(onnx.load(source)), target)


OPTIMISER = _OnnxScript()
