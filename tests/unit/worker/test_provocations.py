"""Every kind of trouble provoked in the onnxruntime that is installed: its words of today are known, whatever they are.

`test_failure_messages.py` keeps what other releases said. This one tells when a new release finds new words.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from edgesweep_worker import failure, session  # noqa: E402

helper, kinds = onnx.helper, onnx.TensorProto
node = helper.make_node
F32, F64, I64 = np.float32, np.float64, np.int64
TWO = {"x": np.ones(2, F32)}


def zeros(*sizes, kind=F32):
    return np.zeros(sizes, kind)


def external(location, length=16):
    tensor = kinds(name="w", data_type=kinds.FLOAT, dims=[4])
    tensor.data_location = kinds.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def cut_short():
    tensor = onnx.numpy_helper.from_array(zeros(4), "w")
    tensor.raw_data = b"123"
    return tensor


HUGE = onnx.numpy_helper.from_array(np.array([1 << 17, 1 << 17, 64]), "s")
ONE, FOUR = {"x": [1]}, {"x": [4]}


def case(name, cause, nodes, inputs=None, outputs=None, **more):
    """A model by its nodes, the arrays that it is fed with, and the cause of what becomes of it."""
    return pytest.param(
        SimpleNamespace(cause=cause, nodes=nodes, inputs=inputs or ONE, outputs=outputs or {"y": [1]}, **more), id=name
    )


CASES = [
    case("opset", "opset_unsupported", [node("Relu", ["x"], ["y"])], opset=999),
    case("ir", "ir_unsupported", [node("Relu", ["x"], ["y"])], ir=99),
    case("operator", "unsupported_op", [node("Bogus", ["x"], ["y"])]),
    case("domain", "unsupported_op", [node("Bogus", ["x"], ["y"], domain="com.acme")], domains=["com.acme"]),
    case("domain not imported", "unsupported_op", [node("Bogus", ["x"], ["y"], domain="com.acme")]),
    case("operator of a later opset", "unsupported_op", [node("Gelu", ["x"], ["y"])]),
    case("operator of an earlier opset", "unsupported_op", [node("Upsample", ["x", "s"], ["y"])], {"x": [1, 1, 1, 1], "s": [4]}),
    case(
        "type without a kernel", "unsupported_op", [node("Conv", ["x", "w"], ["y"], name="c")],
        {"x": (kinds.DOUBLE, [1, 1, 3, 3]), "w": (kinds.DOUBLE, [1, 1, 2, 2])}, {"y": (kinds.DOUBLE, [1, 1, 2, 2])},
        operator=("Conv", 11, ["float64"], "c"),
    ),
    case("complex", "element_type_unsupported", [node("Identity", ["x"], ["y"])], {"x": (kinds.COMPLEX64, [2])}, {"y": (kinds.COMPLEX64, [2])}),
    case("type of no name", "element_type_unsupported", [node("Cast", ["x"], ["y"], to=99)]),
    case("type of the operator", "invalid_graph", [node("Relu", ["x"], ["y"])], {"x": (kinds.INT64, [2])}, {"y": (kinds.INT64, [2])}),
    case("two types", "invalid_graph", [node("Add", ["x", "z"], ["y"])], {"x": [2], "z": (kinds.INT64, [2])}),
    case("type of an output", "invalid_graph", [node("Relu", ["x"], ["y"])], {"x": [2]}, {"y": (kinds.INT64, [2])}),
    case("loose input", "invalid_graph", [node("Relu", ["nowhere"], ["y"])]),
    case("loose output", "invalid_graph", [node("Relu", ["x"], ["z"])]),
    case("cycle", "invalid_graph", [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]),
    case("made twice", "invalid_graph", [node("Relu", ["x"], ["y"]), node("Sin", ["x"], ["y"])]),
    case("too few inputs", "invalid_graph", [node("Add", ["x"], ["y"])]),
    case("no such attribute", "invalid_graph", [node("Relu", ["x"], ["y"], wrong=3)]),
    case("attribute missing", "invalid_graph", [node("Cast", ["x"], ["y"])]),
    case("attribute of another type", "invalid_graph", [node("Softmax", ["x"], ["y"], axis=1.5)]),
    case("shapes at load", "invalid_graph", [node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3], "w": [4, 5]}, {"y": [2, 5]}),
    case("external data missing", "external_data_missing", [node("Add", ["x", "w"], ["y"])], FOUR, {"y": [4]}, tensors=[external("gone.bin")]),
    case("external data elsewhere", "external_data_missing", [node("Add", ["x", "w"], ["y"])], FOUR, {"y": [4]}, tensors=[external("../gone.bin")]),
    case("tensor cut short", "invalid_model_file", [node("Add", ["x", "w"], ["y"])], FOUR, {"y": [4]}, tensors=[cut_short()]),
    case("memory", "oom", [node("Expand", ["x", "s"], ["y"])], ONE, {"y": ["a", "b", "c"]}, tensors=[HUGE], feeds={"x": zeros(1)}),
    case("rank", "shape_mismatch", [node("Relu", ["x"], ["y"])], {"x": [2, 2]}, {"y": [2, 2]}, feeds={"x": zeros(4)}),
    case("size", "shape_mismatch", [node("Relu", ["x"], ["y"])], {"x": [2]}, {"y": [2]}, feeds={"x": zeros(3)}),
    case("type fed", "shape_mismatch", [node("Relu", ["x"], ["y"])], {"x": [2]}, {"y": [2]}, feeds={"x": zeros(2, kind=F64)}),
    case("input missing", "shape_mismatch", [node("Add", ["x", "z"], ["y"])], {"x": [2], "z": [2]}, {"y": [2]}, feeds=TWO),
    case("input too many", "shape_mismatch", [node("Relu", ["x"], ["y"])], {"x": [2]}, {"y": [2]}, feeds={"x": zeros(2), "q": zeros(2)}),
    case("product", "shape_mismatch", [node("MatMul", ["x", "w"], ["y"])], {"x": ["a", "b"], "w": ["c", "d"]}, {"y": ["a", "d"]}, feeds={"x": zeros(2, 3), "w": zeros(4, 5)}),
    case("broadcast", "shape_mismatch", [node("Add", ["x", "w"], ["y"])], {"x": ["a"], "w": ["b"]}, {"y": ["c"]}, feeds={"x": zeros(2), "w": zeros(3)}),
    case("reshape", "shape_mismatch", [node("Reshape", ["x", "s"], ["y"])], {"x": ["a"], "s": (kinds.INT64, [2])}, {"y": ["b", "c"]}, feeds={"x": zeros(3), "s": np.full(2, 2, I64)}),
    case("concat", "shape_mismatch", [node("Concat", ["x", "w"], ["y"], axis=0)], {"x": ["a", "b"], "w": ["c", "d"]}, {"y": ["e", "f"]}, feeds={"x": zeros(2, 3), "w": zeros(2, 4)}),
    case("negative size", "shape_mismatch", [node("ConstantOfShape", ["x"], ["y"])], {"x": (kinds.INT64, [1])}, {"y": ["a"]}, feeds={"x": np.array([-5], I64)}),
    case("split", "shape_mismatch", [node("Split", ["x", "s"], ["y", "z"])], {"x": ["a"], "s": (kinds.INT64, [2])}, {"y": ["b"], "z": ["c"]}, feeds={"x": zeros(3), "s": np.ones(2, I64)}),
    case("index", "run_error", [node("Gather", ["x", "i"], ["y"], name="g")], {"x": [3], "i": (kinds.INT64, [1])}, feeds={"x": zeros(3), "i": np.array([7], I64)}, operator=("Gather", None, ["float32", "int64"], "g")),
    case("scatter", "run_error", [node("ScatterND", ["x", "i", "u"], ["y"])], {"x": [3], "i": (kinds.INT64, [1, 1]), "u": [1]}, {"y": [3]}, feeds={"x": zeros(3), "i": np.array([[9]], I64), "u": zeros(1)}),
]  # fmt: skip


@pytest.mark.parametrize("asked", CASES)
def test_its_words_are_known(asked, bench):
    parts = vars(asked)
    graph = helper.make_graph(
        asked.nodes, "g", infos(asked.inputs), infos(asked.outputs), list(parts.get("tensors", ()))
    )
    opsets = [
        helper.make_opsetid("", parts.get("opset", 13)),
        *(helper.make_opsetid(name, 1) for name in parts.get("domains", ())),
    ]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = parts.get("ir", 7)
    path = bench.folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    failed = outcome(str(path), parts.get("feeds"))
    assert failed.cause == asked.cause, failed.evidence
    assert failed.diagnosis["pattern"], failed.evidence
    assert len(failed.diagnosis["message_hash"]) == 64
    if "operator" in parts:
        told = failed.diagnosis["operator"]
        assert (told["name"], told["version"], told["types"], told["node"]) == asked.operator


def outcome(path, feeds):
    """The failure that loading and running the model comes to, as the worker tells it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        loaded = ort.InferenceSession(path, options, providers=[session.CPU])
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
        return session.load_failure(ort, error, path, session.CPU)
    assert feeds is not None, "it should not have loaded"
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the same
        loaded.run(None, feeds)
    return failure.run_failure(caught.value, "first_run", path)


def infos(shapes):
    """Inputs or outputs by name: a shape of float32, or an element type with its shape."""
    typed = {name: shape if isinstance(shape, tuple) else (kinds.FLOAT, shape) for name, shape in shapes.items()}
    return [helper.make_tensor_value_info(name, *shape) for name, shape in typed.items()]
