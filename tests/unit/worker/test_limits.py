"""The probe's limits are those of the runtime: one beyond them is refused, and a crash costs one answer only."""

from __future__ import annotations

import os
import signal
import time

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from edgesweep_worker import forked, limits, null_model  # noqa: E402 - onnxruntime must be there first

helper = onnx.helper


@pytest.fixture(scope="module")
def runtime(workshop, tmp_path_factory):
    job = {"kind": "probe", "scratch_dir": str(tmp_path_factory.mktemp("scratch"))}
    return workshop.run(job).end["runtime"]


def load(opset=13, ir=7, element_type=onnx.TensorProto.FLOAT, domain="", operator="Identity"):
    infos = [helper.make_tensor_value_info(name, element_type, [2]) for name in "xy"]
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = ir
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_the_newest_opset_loads_and_the_next_does_not(runtime):
    assert load(opset=runtime["max_opset"])
    with pytest.raises(Exception, match="opset"):
        load(opset=runtime["max_opset"] + 1)


def test_the_newest_ir_version_loads_and_the_next_does_not(runtime):
    assert load(ir=runtime["max_ir_version"])
    with pytest.raises(Exception, match="IR version"):
        load(ir=runtime["max_ir_version"] + 1)


def test_the_types_are_those_that_load(runtime):
    assert {"float32", "float16", "bfloat16", "float64", "int8", "uint8", "int64", "bool", "object"} <= set(
        runtime["types"]
    )
    for number, (name, _) in limits.ELEMENT_TYPES.items():
        if name not in runtime["types"]:
            with pytest.raises(Exception, match=r"tensor|implementation"):
                load(opset=runtime["max_opset"], ir=runtime["max_ir_version"], element_type=number)
    assert "complex64" not in runtime["types"]


def test_the_type_names_are_numpy_s_as_onnx_tells_them():
    if str(helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)) != "bfloat16":
        pytest.skip("this onnx tells of the types that numpy lacks by stand-ins")
    for number, (name, _) in limits.ELEMENT_TYPES.items():
        try:
            assert str(helper.tensor_dtype_to_np_dtype(number)) == name
        except KeyError:  # an onnx that is older than the type
            assert number > max(onnx.TensorProto.DataType.values())


def test_the_domains_are_those_whose_operators_load(runtime):
    assert {"ai.onnx", "com.microsoft"} <= set(runtime["domains"])
    assert load(domain="com.microsoft", operator="Gelu")
    with pytest.raises(Exception, match="not a registered function/op"):
        load(domain="com.acme", operator="Gelu")
    assert "com.acme" not in runtime["domains"]


@pytest.mark.parametrize("name", ["ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"])
def test_the_models_of_domains_are_whole(name):
    for data in null_model.models_of_domains()[name]:
        model = onnx.load_from_string(data)
        assert {node.domain for node in model.graph.node} == {name}
        if name == "ai.onnx.ml":
            onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize(("number", "opset"), [(1, 13), (10, 13), (17, 19), (22, 21), (25, 25)])
def test_the_models_of_types_are_whole(number, opset):
    if number not in onnx.TensorProto.DataType.values():
        pytest.skip("this onnx is older than the type")
    for data in null_model.models_with_type(number, limits.ELEMENT_TYPES[number][1], 10, opset):
        model = onnx.load_from_string(data)
        assert str(number) in str(model)
        for tensor in model.graph.initializer:
            assert onnx.numpy_helper.to_array(tensor).size in (1, 8)


class Crashing:
    """Stands in front of onnxruntime and dies in the child that loads what it dislikes."""

    def __init__(self, dislikes):
        self.dislikes = dislikes

    def __getattr__(self, name):
        return getattr(onnxruntime, name)

    def InferenceSession(self, model, *rest, **more):  # noqa: N802 - onnxruntime's own name
        if self.dislikes(onnx.load_from_string(model)):
            os.kill(os.getpid(), signal.SIGKILL)
        return onnxruntime.InferenceSession(model, *rest, **more)


def test_a_model_that_crashes_the_runtime_costs_its_own_answer_only(runtime):
    casts_to_half = helper.make_attribute("to", onnx.TensorProto.FLOAT16)

    def dislikes(model):
        return any(attribute == casts_to_half for node in model.graph.node for attribute in node.attribute)

    found = limits.probe_limits(Crashing(dislikes))
    assert "float16" not in found["types"]
    assert set(runtime["types"]) - set(found["types"]) == {"float16"}
    assert found["max_opset"] == runtime["max_opset"]
    assert found["domains"] == runtime["domains"]


def test_a_search_that_crashes_leaves_the_limit_unknown():
    found = limits.probe_limits(Crashing(lambda model: model.opset_import[0].version > 15))
    assert (found["max_opset"], found["types"]) == (None, [])
    assert found["max_ir_version"] is not None


def test_a_build_that_takes_any_number_has_no_limit(monkeypatch):
    monkeypatch.setattr(limits, "HIGHEST_TRIED", null_model.OPSET + 1)
    found = limits.probe_limits(onnxruntime)
    assert (found["max_opset"], found["types"]) == (None, [])


def test_a_child_that_is_silent_is_given_up():
    with pytest.raises(forked.NoAnswer, match=r"no answer within 0\.05 s") as given_up:
        forked.ask_child(lambda: str(signal.pause()), 0.05)
    assert not given_up.value.died


def test_a_long_answer_comes_back_whole():
    assert forked.ask_child(lambda: "x" * 300_000, 30) == "x" * 300_000


def test_reading_stops_at_the_deadline():
    reader, writer = os.pipe()
    os.write(writer, b"half")
    assert forked.read_all(reader, time.monotonic()) is None
    os.close(writer)
    assert forked.read_all(reader, time.monotonic() + 60) == b""
    os.close(reader)
