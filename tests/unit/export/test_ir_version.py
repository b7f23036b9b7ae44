from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgesweep.export.artifacts.facts import facts_of
from edgesweep.export.artifacts.ir_version import check_ir, least_ir, lower_ir, needs_of
from edgesweep.export.service import ExportJob
from edgesweep.plan.cell import Shape, Variant
from edgesweep_proto.trial import Stage
from onnx import TensorProto, helper, numpy_helper

F32 = TensorProto.FLOAT


def _value(name: str, kind: int = F32) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [2])


def _model(nodes, *, ir: int = 10, opset: int = 17, **parts) -> onnx.ModelProto:
    """x [2] to y [2]; `parts` are more of the graph's or the model's."""
    graph_parts = {
        name: parts.pop(name) for name in ("initializer", "sparse_initializer", "value_info") if name in parts
    }
    inputs = parts.pop("inputs", [_value("x")])
    graph = helper.make_graph(nodes, "g", inputs, [_value("y")], **graph_parts)
    imports = [helper.make_opsetid("", opset), *parts.pop("imports", [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir, **parts)


def _weighted(**parts) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.array([1, 2], np.float32), "w")
    return _model([helper.make_node("Add", ["x", "w"], ["y"])], initializer=[weight], **parts)


def _function(**fields) -> onnx.FunctionProto:
    doubled = helper.make_node("Add", ["a", "a"], ["b"])
    return helper.make_function("own", "Double", ["a"], ["b"], [doubled], [helper.make_opsetid("", 17)], **fields)


def _calling(**fields) -> onnx.ModelProto:
    call = helper.make_node("Double", ["x"], ["y"], domain="own")
    return _model([call], functions=[_function(**fields)], imports=[helper.make_opsetid("own", 1)])


def _cast(kind: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=kind), helper.make_node("Cast", ["h"], ["y"], to=F32)]
    return _model(nodes, opset=23)


def _in_a_branch(kind: int) -> onnx.ModelProto:
    def branch(name: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Cast", ["x"], [f"{name}h"], to=kind),
            helper.make_node("Cast", [f"{name}h"], [name], to=F32),
        ]
        return helper.make_graph(nodes, name, [], [_value(name)])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("t"), else_branch=branch("e"))
    return _model([node], inputs=[_value("x"), helper.make_tensor_value_info("c", TensorProto.BOOL, [])], opset=23)


def _sparse() -> onnx.ModelProto:
    values = helper.make_tensor("w", F32, [1], [3.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("wi", TensorProto.INT64, [1], [0]), [2])
    return _model([helper.make_node("Add", ["x", "w"], ["y"])], sparse_initializer=[sparse])


def _overloaded() -> onnx.ModelProto:
    model = _calling()
    model.functions[0].overload = "first"
    model.graph.node[0].overload = "first"
    return model


@pytest.mark.parametrize(
    ("model", "least", "words"),
    [
        (_model([helper.make_node("Relu", ["x"], ["y"])]), 3, "opset imports"),
        (_weighted(inputs=[_value("x"), _value("w")]), 3, "opset imports"),
        (_weighted(), 4, "weights that are no inputs"),
        (_cast(TensorProto.BFLOAT16), 4, "the type bfloat16"),
        (_sparse(), 6, "sparse weights"),
        (_calling(), 8, "functions of its own"),
        (_calling(attribute_protos=[helper.make_attribute("k", 1)]), 9, "functions whose attributes have defaults"),
        (_cast(TensorProto.FLOAT8E4M3FN), 9, "the type float8e4m3fn"),
        (_in_a_branch(TensorProto.FLOAT8E5M2), 9, "the type float8e5m2"),
        (_overloaded(), 10, "overloaded functions"),
        (_cast(TensorProto.INT4), 10, "the type int4"),
        (_cast(TensorProto.FLOAT4E2M1), 11, "the type float4e2m1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_least_ir_version_comes_from_what_the_file_holds(model, least, words):
    assert least_ir(model) == least
    assert needs_of(model)[words] == least


def test_every_element_type_of_onnx_that_came_late_is_known():
    """A type that a newer onnx adds must not count as old: this fails until the table has it."""
    first = {"UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16"}
    first |= {"DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128"}
    for name in set(TensorProto.DataType.keys()) - first:
        assert any(words.startswith("the type") for words in needs_of(_cast(TensorProto.DataType.Value(name)))), name


@pytest.mark.parametrize("cap", [9, 8, 4])
def test_a_file_that_holds_nothing_newer_is_lowered_and_computes_the_same(tmp_path, cap):
    path = tmp_path / "model.onnx"
    onnx.save(_weighted(), path)
    lowered = lower_ir(path, cap)
    model = onnx.load(lowered)
    assert model.ir_version == cap
    assert check_ir(model, cap) is None
    onnx.checker.check_model(str(lowered), full_check=True)
    session = onnxruntime.InferenceSession(str(lowered), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": np.ones(2, np.float32)})
    assert got.tolist() == [2, 3]


def test_external_data_stays_with_the_lowered_file(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(_weighted(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    lowered = onnx.load(lower_ir(path, 8))
    assert numpy_helper.to_array(lowered.graph.initializer[0]).tolist() == [1, 2]


def test_a_file_that_needs_more_than_the_cap_stays_as_it_is_and_says_why(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(_calling(), path)
    assert lower_ir(path, 7) == path
    failure = check_ir(onnx.load(path), 7)
    assert (failure.stage, failure.cause) == (Stage.CHECK, "ir_not_lowerable")
    assert "functions of its own (IR 8)" in failure.message
    assert "IR version 10" in failure.message


def test_a_file_under_the_cap_is_left_alone(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(_weighted(ir=7), path)
    before = path.read_bytes()
    assert lower_ir(path, 9) == path
    assert lower_ir(path, None) == path
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_produced_ir_version_is_above_its_cap(export_all, tmp_path_factory, lab):
    def job(cap: int | None, exporter: str = "dynamo", opset: int = 18) -> ExportJob:
        return ExportJob(lab("linear"), Variant("linear", exporter, opset, "static", ir_version=cap), (Shape(),))

    jobs = [job(None), job(9), job(8), job(3), job(6, "torchscript", 17)]
    results = export_all(tmp_path_factory.mktemp("exports"), jobs, slots=1)
    plain, nine, eight, three, script = (results[each.variant.name] for each in jobs)
    assert [plain.produced.ir_version, nine.produced.ir_version, eight.produced.ir_version] == [10, 9, 8]
    assert script.produced.ir_version == 6
    assert all(result.passed for result in (plain, nine, eight, script))
    assert len({result.produced.digest for result in (plain, nine, eight)}) == 3
    assert plain.numerics == nine.numerics == eight.numerics
    assert (three.stage, three.cause) == (Stage.CHECK, "ir_not_lowerable")
    assert three.produced.ir_version == 10
    assert not three.payloads


def test_operators_and_types_are_read_from_subgraphs_and_functions():
    facts = facts_of(_in_a_branch(TensorProto.FLOAT16))
    assert facts.operators == ("Cast", "If")
    assert facts.types == ("bool", "float16", "float32")
    assert facts.inputs[0].sizes == ("2",)
    assert facts_of(_calling()).operators == ("Add",)
    assert facts_of(_weighted()).types == ("float32",)


def test_types_that_the_file_does_not_state_are_inferred(tmp_path: Path):
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.INT32),
        helper.make_node("Cast", ["h"], ["y"], to=F32),
    ]
    assert facts_of(_model(nodes)).types == ("float32", "int32")
