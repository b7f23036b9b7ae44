"""Equal models become equal bytes, however their exporter wrote the weights, and compute what they computed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgesweep.export.artifacts.canonical import EXTERNAL_MIN_BYTES, Canonical, canonicalise, external_name
from edgesweep.export.artifacts.graph_hash import graph_hash_of
from onnx import TensorProto, helper, numpy_helper

OPSETS = [helper.make_opsetid("", 18)]
FLOAT = TensorProto.FLOAT
VALUES = (0.0, 1.0, 2.0, -3.0)
TYPES = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT64", "INT32", "INT8", "UINT8", "BOOL", "INT4", "FLOAT8E4M3FN")


def tensor(name: str, kind: int, values, *, raw: bool) -> TensorProto:
    """Four numbers, as bytes or written out one by one."""
    wanted = helper.tensor_dtype_to_np_dtype(kind)
    unsigned = kind in (TensorProto.UINT8, TensorProto.BOOL)
    array = np.array([abs(value) if unsigned else value for value in values]).astype(wanted)
    if raw:
        return numpy_helper.from_array(array, name)
    return helper.make_tensor(name, kind, [len(values)], array)


def model_of(graph: onnx.GraphProto, functions=(), opsets=OPSETS) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)


def value(name: str, kind: int = FLOAT, shape=(4,)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def settle(model: onnx.ModelProto, folder: Path, *, external: str = "") -> Canonical:
    """The canonical form, by way of a file with or without external data."""
    folder.mkdir()
    (folder / "out").mkdir()
    options = {"save_as_external_data": True, "location": external, "size_threshold": 0} if external else {}
    onnx.save(model, folder / "in.onnx", **options)
    return canonicalise(folder / "in.onnx", folder / "out")


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("kind", TYPES)
def test_numbers_written_out_become_the_bytes_of_the_same_numbers(kind, tmp_path):
    number = getattr(TensorProto, kind)
    found = []
    for raw in (True, False):
        weight = tensor("w", number, VALUES, raw=raw)
        node = helper.make_node("Identity", ["w"], ["y"])
        graph = helper.make_graph([node], "g", [], [value("y", number)], [weight])
        found.append(settle(model_of(graph), tmp_path / str(raw)))
    assert found[0].path.read_bytes() == found[1].path.read_bytes()
    assert found[0].graph_hash == found[1].graph_hash
    np.testing.assert_array_equal(
        numpy_helper.to_array(found[1].model.graph.initializer[0]), numpy_helper.to_array(weight)
    )


def test_text_stays_as_it_is(tmp_path):
    words = helper.make_tensor("w", TensorProto.STRING, [2], ["left", "right"])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [value("y", 8, (2,))], [words])
    found = settle(model_of(graph), tmp_path / "text")
    assert list(found.model.graph.initializer[0].string_data) == [b"left", b"right"]


def in_attribute(*, raw: bool) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor("c", FLOAT, VALUES, raw=raw)),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    return model_of(helper.make_graph(nodes, "g", [value("x")], [value("y")]))


def in_subgraph(*, raw: bool) -> onnx.ModelProto:
    def branch(values) -> onnx.GraphProto:
        nodes = [helper.make_node("Add", ["x", "w"], ["out"])]
        return helper.make_graph(nodes, "b", [], [value("out")], [tensor("w", FLOAT, values, raw=raw)])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["positive"], to=TensorProto.BOOL),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch(VALUES), else_branch=branch((7, 7, 7, 7))),
    ]
    return model_of(helper.make_graph(nodes, "g", [value("x")], [value("y")]))


def in_function(*, raw: bool) -> onnx.ModelProto:
    body = [
        helper.make_node("Constant", [], ["c"], value=tensor("c", FLOAT, VALUES, raw=raw)),
        helper.make_node("Add", ["a", "c"], ["b"]),
    ]
    function = helper.make_function("lab", "Shift", ["a"], ["b"], body, OPSETS)
    graph = helper.make_graph([helper.make_node("Shift", ["x"], ["y"], domain="lab")], "g", [value("x")], [value("y")])
    return model_of(graph, [function], [*OPSETS, helper.make_opsetid("lab", 1)])


def sparse(*, raw: bool, last: float = 5.0) -> onnx.ModelProto:
    values = tensor("w", FLOAT, (2.0, last), raw=raw)
    indices = helper.make_tensor("i", TensorProto.INT64, [2], np.array([1, 3]).tobytes() if raw else [1, 3], raw=raw)
    weight = helper.make_sparse_tensor(values, indices, [4])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [value("x")], [value("y")])
    graph.sparse_initializer.append(weight)
    return model_of(graph)


@pytest.mark.parametrize("make", [in_attribute, in_subgraph, in_function, sparse])
def test_weights_are_settled_wherever_they_stand_and_compute_the_same(make, tmp_path):
    x = np.array([1.0, -2.0, 3.0, 4.0], dtype=np.float32)
    first, second = (settle(make(raw=raw), tmp_path / str(raw)) for raw in (True, False))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.graph_hash == second.graph_hash
    onnx.save(make(raw=False), tmp_path / "as_written.onnx")
    np.testing.assert_array_equal(run(first.path, x), run(tmp_path / "as_written.onnx", x))


@pytest.mark.parametrize("make", [in_attribute, in_subgraph, in_function])
def test_small_external_data_comes_home_wherever_it_stands(make, tmp_path):
    inside, outside = settle(make(raw=True), tmp_path / "a"), settle(make(raw=True), tmp_path / "b", external="w.bin")
    assert inside.path.read_bytes() == outside.path.read_bytes()
    assert outside.external == ()


def test_sparse_weights_tell_models_apart():
    assert graph_hash_of(sparse(raw=True)) != graph_hash_of(sparse(raw=True, last=6.0))


def test_functions_tell_models_apart_by_their_opset():
    first, second = in_function(raw=True), in_function(raw=True)
    second.functions[0].opset_import[0].version = 17
    assert graph_hash_of(first) != graph_hash_of(second)


def wide(names=("a", "b", "c")) -> onnx.ModelProto:
    """Two equal weights and another, large enough to be files."""
    generator = np.random.default_rng(3)
    one, other = (generator.standard_normal((1024, 1024)).astype(np.float32) for _ in range(2))
    weights = [numpy_helper.from_array(array, name) for name, array in zip(names, (one, one, other), strict=True)]
    values = ["x", "p", "q", "y"]
    nodes = [helper.make_node("MatMul", [values[i], names[i]], [values[i + 1]]) for i in range(3)]
    graph = helper.make_graph(nodes, "g", [value("x", shape=(1, 1024))], [value("y", shape=(1, 1024))], weights)
    return model_of(graph)


def test_large_weights_are_files_called_by_their_digest_each_once(tmp_path):
    x = np.ones((1, 1024), dtype=np.float32)
    onnx.save(wide(), tmp_path / "as_written.onnx")
    for number, external in enumerate(("", "w.bin")):
        found = settle(wide(), tmp_path / str(number), external=external)
        assert [blob.size_bytes for blob in found.external] == [4 << 20] * 2
        files = {path.name for path in found.path.parent.iterdir()}
        assert files == {"model.onnx"} | {external_name(blob) for blob in found.external}
        np.testing.assert_array_equal(run(found.path, x), run(tmp_path / "as_written.onnx", x))
        assert found.path.stat().st_size < EXTERNAL_MIN_BYTES


def test_a_file_of_data_that_is_cut_short_is_an_error(tmp_path):
    onnx.save(wide(), tmp_path / "in.onnx", save_as_external_data=True, location="w.bin")
    data = (tmp_path / "w.bin").read_bytes()
    (tmp_path / "w.bin").write_bytes(data[: len(data) - 5])
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"w\.bin ends 5 bytes before"):
        canonicalise(tmp_path / "in.onnx", tmp_path / "out")


def test_weights_pass_through_no_memory(tmp_path):
    """A model of 96 MiB is settled by a process that may not take 48 MiB more than it has."""
    weight = np.zeros((3 << 10, 2 << 10), dtype=np.float32)
    nodes, weights = [], []
    for index in range(4):
        weight[0, 0] = index
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(helper.make_node("Identity", [f"w{index}"], [f"y{index}"]))
    graph = helper.make_graph(nodes, "g", [], [value(f"y{i}", shape=weight.shape) for i in range(4)], weights)
    onnx.save(model_of(graph), tmp_path / "in.onnx", save_as_external_data=True, location="w.bin")
    (tmp_path / "out").mkdir()
    code = f"""
import resource, sys, onnx
from pathlib import Path
from edgesweep.export.artifacts.canonical import canonicalise
size = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + (48 << 20),) * 2)
found = canonicalise(Path({str(tmp_path / "in.onnx")!r}), Path({str(tmp_path / "out")!r}))
print(len(found.external))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["4"], done.stderr
