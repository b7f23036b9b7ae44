from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.models.describe import describe_source
from edgesweep.models.onnx_file import dynamic_of, header_of
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind

onnx = pytest.importorskip("onnx")


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    """Relu over x of (batch, 3, open), at opset 17."""
    shape = ["batch", 3, None]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    path = tmp_path / "relu.onnx"
    onnx.save(model, path)
    return path


def source(path: Path, **fields: object) -> ModelSource:
    return ModelSource(SourceKind.ONNX, str(path), "relu", **fields)


def test_a_file_says_its_opset_and_its_named_dimensions(relu: Path) -> None:
    assert describe_source(source(relu)) == ModelFacts("relu", ("batch",), {}, {"batch": 1}, 17)
    assert dynamic_of(source(relu), header_of(source(relu))) == {"x": {0: "batch"}}


def test_the_plan_names_what_the_file_leaves_open(relu: Path) -> None:
    named = source(relu, dynamic={"x": {0: "rows", 2: "time"}}, ranges={"time": (4, 9)})
    assert describe_source(named) == ModelFacts("relu", ("rows", "time"), {"time": (4, 9)}, {"rows": 1, "time": 4}, 17)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dynamic": {"z": {0: "a"}}}, "`dynamic` names 'z', but the inputs of the file are: x"),
        ({"dynamic": {"x": {3: "a"}}}, "`dynamic` names axis 3 of 'x', which has 3 in the file"),
        ({"dynamic": {"x": {1: "a"}}}, "`dynamic` names axis 1 of 'x', which the file fixes at 3"),
        ({"ranges": {"time": (1, 2)}}, "`ranges` names 'time', but the dynamic dimensions of the file are: batch"),
    ],
)
def test_a_false_declaration_is_named(relu: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises(EdgesweepError) as caught:
        describe_source(source(relu, **fields))
    assert caught.value.code == "model_unusable"
    assert words in caught.value.message


def test_every_truncation_of_a_file_is_refused_in_one_sentence(relu: Path, tmp_path: Path) -> None:
    whole = relu.read_bytes()
    cut = tmp_path / "cut.onnx"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(EdgesweepError, match=r"^model 'relu': cut\.onnx [^\n]+$") as caught:
            describe_source(source(cut))
        assert caught.value.code == "model_unusable"


def test_a_file_that_is_not_there_or_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgesweepError, match="model 'relu': there is no file"):
        describe_source(source(tmp_path / "no.onnx"))
    text = tmp_path / "text.onnx"
    text.write_text("this is no model at all, but a page of text", encoding="utf-8")
    with pytest.raises(EdgesweepError, match=r"text\.onnx is not a whole ONNX model"):
        describe_source(source(text))


def test_a_model_without_inputs_is_one(tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], [1.0])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["c"], ["y"])],
        "constant",
        [],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
        [tensor],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "constant.onnx")
    assert describe_source(source(tmp_path / "constant.onnx")).dimensions == ()
