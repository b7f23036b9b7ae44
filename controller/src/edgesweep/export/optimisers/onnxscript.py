"""onnxscript's optimiser: the one that the dynamo exporter runs on its own graphs, here for any exporter's."""

from __future__ import annotations

from pathlib import Path


class _OnnxScript:
    package = "onnxscript"
    extra = "edgesweep[export]"

    def optimise(self, source: Path, target: Path) -> None:
        """Write the model with constants folded, functions inlined and what nothing uses removed.

        Raises:
            Exception: Whatever onnxscript raises.
        """
        from onnxscript import ir, optimizer

        model = ir.load(source)
        optimizer.optimize_ir(model)
        ir.save(model, target, external_data=f"{target.name}.data")


OPTIMISER = _OnnxScript()
"""What plans call `onnxscript`."""
