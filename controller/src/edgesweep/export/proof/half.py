"""Half precision as a board computes it, on a host whose CPU does not.

onnxruntime's CPU provider has few half-precision kernels: it computes in single precision and leaves out the casts between
one operator and the next. An artifact that overflows on every board then passes on the host. In the copy that is made here,
every value is stored in half precision before the next operator sees it.
"""

from __future__ import annotations

import itertools
from pathlib import Path

#: A lone half-precision operator is computed wider as well, one beside another is not; both copy their input.
_BARRIER = 2


def rounded_copy(path: Path) -> Path:
    """Write a copy of the model at `path` beside it in which every half-precision result is really stored as such.

    It only rounds while the runtime leaves the graph as it is written.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    inferred = onnx.shape_inference.infer_shapes(model)
    half = onnx.TensorProto.FLOAT16
    halves = {value.name for value in inferred.graph.value_info if value.type.tensor_type.elem_type == half}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in halves:
                steps = [f"{name}/stored{step}" for step in range(_BARRIER)] + [name]
                node.output[index] = steps[0]
                nodes += [
                    onnx.helper.make_node("Identity", [before], [after]) for before, after in itertools.pairwise(steps)
                ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    # The stored values have names that the file says nothing of.
    del model.graph.value_info[:]
    copy = path.with_name(f"{path.stem}-rounded.onnx")
    copy.write_bytes(model.SerializeToString())
    return copy
