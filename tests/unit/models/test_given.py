from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from edgesweep.errors import EdgesweepError
from edgesweep.models.describe import describe_source
from edgesweep.models.given import Wanted, given_inputs
from edgesweep.models.inputs import example_of, inputs_at, tensors_in
from edgesweep.models.load import load_model
from edgesweep.models.source import ModelSource, SourceKind
from onnx import TensorProto, helper, save

IMAGE = Wanted("image", "float32", ("batch", 3, "height", None))
MASK = Wanted("mask", "bool", ("batch",))


def source(path: Path, **fields) -> ModelSource:
    return ModelSource(SourceKind.ONNX, "m.onnx", "m", inputs=str(path), **fields)


@pytest.fixture
def written(tmp_path):
    def write(**arrays: np.ndarray) -> Path:
        np.savez(tmp_path / "in.npz", **arrays)
        return tmp_path / "in.npz"

    return write


def test_arrays_that_fit_are_taken(written):
    path = written(image=np.zeros((2, 3, 8, 5), np.float32), mask=np.ones(2, bool))
    assert list(given_inputs(source(path), (IMAGE, MASK))) == ["image", "mask"]
    assert given_inputs(ModelSource(SourceKind.ONNX, "m.onnx", "m"), (IMAGE,)) == {}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"imag": np.zeros(1)}, "in.npz holds 'imag', and the model has no input of that name, did you mean 'image'?"),
        ({"image": np.zeros((2, 3, 8, 5))}, "'image' in in.npz is of float64, and the model takes float32"),
        ({"mask": np.ones(2, np.uint8)}, "'mask' in in.npz is of uint8, and the model takes bool"),
        (
            {"image": np.zeros((2, 8, 5), np.float32)},
            "'image' in in.npz has the shape [2, 8, 5], and the model takes [batch, 3, height, ?]",
        ),
        (
            {"image": np.zeros((2, 4, 8, 5), np.float32)},
            "'image' in in.npz has the shape [2, 4, 8, 5], and the model takes [batch, 3, height, ?]",
        ),
        (
            {"image": np.zeros((2, 3, 8, 5), np.float32), "mask": np.ones(3, bool)},
            "dimension 'batch' is 2 in 'image' and 3 in 'mask'",
        ),
        (
            {"image": np.zeros((2, 3, 99, 5), np.float32)},
            "dimension 'height' is 99 in 'image', outside its range 8 to 64",
        ),
    ],
)
def test_what_differs_is_one_sentence(written, arrays, words):
    with pytest.raises(EdgesweepError) as caught:
        given_inputs(source(written(**arrays), ranges={"height": (8, 64)}), (IMAGE, MASK))
    assert caught.value.code == "inputs_unusable"
    assert caught.value.message == f"model 'm': {words}"
    assert caught.value.remedy


def test_a_type_that_numpy_lacks_cannot_be_given(written):
    with pytest.raises(EdgesweepError, match="is of float32, and the model takes bfloat16"):
        given_inputs(source(written(x=np.zeros(1, np.float32))), (Wanted("x", "bfloat16", (1,)),))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "in.npz").write_text("no zip")
    with pytest.raises(EdgesweepError, match=r"^model 'm': in\.npz is no \.npz file") as caught:
        given_inputs(source(tmp_path / "in.npz"), (IMAGE,))
    assert caught.value.code == "inputs_unusable"


def test_the_example_of_a_ready_file_is_what_was_given(written, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, None])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    path = written(x=np.ones((5, 3, 7), np.float32))
    ready = ModelSource(SourceKind.ONNX, str(tmp_path / "m.onnx"), "m", dynamic={"x": {2: "time"}}, inputs=str(path))
    assert describe_source(ready).example == {"batch": 5, "time": 7}


FACTORY = """
class Net(nn.Module):
    def forward(self, x, extra=None, *rest, **named):
        return x

def build():
    x, half = torch.zeros(1, 4), torch.zeros(2, dtype=torch.bfloat16)
    return Net(), (x, {"ids": torch.zeros(1, 3, dtype=torch.int64), "half": half}, torch.zeros(1))
"""


def test_a_factory_s_example_gives_way_to_the_given_arrays(factory, written):
    path = written(**{"x": np.full((6, 4), 2.5, np.float32), "extra.ids": np.arange(18).reshape(6, 3)})
    dynamic = {"x": {0: "batch"}, "extra.ids": {0: "batch"}}
    model = load_model(factory(FACTORY, dynamic=dynamic, inputs=str(path)))
    tensors = tensors_in(example_of(model))
    assert list(tensors) == ["x", "extra.ids", "extra.half", "rest.0"]
    assert torch.equal(tensors["x"], torch.full((6, 4), 2.5))
    assert tensors["extra.ids"].tolist() == np.arange(18).reshape(6, 3).tolist()
    assert tensors["rest.0"].shape == (1,), "what was not given is the factory's own"
    drawn = inputs_at(model, {"batch": 40})
    assert 0 <= int(drawn["extra"]["ids"].min()) <= int(drawn["extra"]["ids"].max()) <= 17


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(1)}, "the model has no input of that name"),
        ({"x": np.zeros((1, 4))}, "is of float64, and the model takes float32"),
        ({"x": np.zeros((1, 5), np.float32)}, r"has the shape \[1, 5\], and the model takes \[batch, 4\]"),
        ({"extra.half": np.zeros(2, np.float32)}, "is of float32, and the model takes bfloat16"),
    ],
)
def test_what_a_factory_s_model_does_not_take_is_refused(factory, written, arrays, words):
    with pytest.raises(EdgesweepError, match=words) as caught:
        load_model(factory(FACTORY, dynamic={"x": {0: "batch"}}, inputs=str(written(**arrays))))
    assert caught.value.code == "inputs_unusable"
