"""What every converter of onnxruntime's needs: its tools kept in a folder of ours, and the graph made ready for them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgesweep.export.artifacts.facts import operators_of, opset_of
from edgesweep.export.precisions import UnconvertibleError

if TYPE_CHECKING:
    import onnx

#: The first opset that holds every operator that the quantizers write; below it they change the opset without a word.
LEAST_OPSET = 11
#: The first opset at which a weight may have a scale per channel.
PER_CHANNEL_OPSET = 13


@contextmanager
def tools_of_onnxruntime(folder: Path) -> Iterator[Path]:
    """Have onnxruntime's tools write their temporary files below `folder`, and leave no trace on `sys.path`.

    They use the system's temporary folder, which may be too small for weights, and import each other as top-level modules
    (`models`, `benchmark`), which the next model's factory must not find. Gives a folder for the caller's own files.
    """
    before, kept = list(sys.path), tempfile.tempdir
    sys.path += _folders_of("onnxruntime.transformers")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tempfile.tempdir = scratch
        try:
            yield Path(scratch)
        finally:
            tempfile.tempdir = kept
            sys.path[:] = before


def _folders_of(package: str) -> list[str]:
    spec = find_spec(package)
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def prepare(source: Path, target: Path) -> onnx.ModelProto:
    """Write `source` with shapes inferred and constants folded to `target`, as the quantizers want it.

    Without it they stumble over what exporters leave behind, e.g. a weight that two layers share through an Identity.

    Returns:
        What was written, large weights left out.

    Raises:
        UnconvertibleError: The opset is too old for int8.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    opset = opset_of(onnx.load(source, load_external_data=False))
    if opset < LEAST_OPSET:
        raise UnconvertibleError(f"int8 needs opset {LEAST_OPSET} or newer, and the model is at {opset}")
    # Symbolic inference gives up on shapes that are computed; what onnx infers by itself is enough for scales.
    quant_pre_process(
        source,
        target,
        skip_symbolic_shape=True,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        external_data_location=f"{target.name}.data",
    )
    return onnx.load(target, load_external_data=False)


def tidy(path: Path) -> None:
    """Drop the operator sets that nothing in the file uses: a runtime that does not know one refuses the file.

    Args:
        path: What a quantizer wrote.

    Raises:
        UnconvertibleError: It quantized nothing, so the file is of the precision that it was before.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    operators = operators_of(model)
    if not any("quantizelinear" in name.lower() for name in operators):
        raise UnconvertibleError("the model holds no operator that can be quantized, so nothing changed")
    used = {name.rpartition(".")[0] for name in operators} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used or entry.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    path.write_bytes(model.SerializeToString(deterministic=True))
