"""The worker's own small reader and writer of ONNX files, held against the onnx package."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
helper = onnx.helper

from edgesweep_worker import model_file, null_model  # noqa: E402 - onnx must be there first


@pytest.mark.parametrize(
    ("content", "shape", "expected"),
    [
        (null_model.add_model(), (1, 8), 2.0),
        (null_model.dense_model(), (1, 8), 1.0),
        (null_model.convolution_model(), (1, 3, 8, 8), None),
    ],
)
def test_null_models_are_valid_and_compute(content, shape, expected):
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (7, 13)
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.ones(shape, dtype=np.float32)})
    if expected is None:
        assert result[0, 0, 4, 4] == pytest.approx(27 * 0.0625)
        assert result[0, 0, 0, 0] == pytest.approx(12 * 0.0625)
    else:
        assert (result == expected).all()


def test_the_identity_model_claims_what_it_is_told():
    model = onnx.load_from_string(null_model.identity_model(4, [("", 300), ("com.example", 2)]))
    assert model.ir_version == 4
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 300), ("com.example", 2)]


def external(name, location, offset=0, length=16):
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_the_header_is_what_onnx_reads(tmp_path):
    info = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    flag = helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, [])
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["y"])], "b", [], [out], [external("inner", "b.bin")]
    )
    nodes = [
        helper.make_node("Constant", [], ["c"], value=external("value", "c.bin", 64, 16)),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(nodes, "g", [info, flag], [out], [external("w", "a.bin")], doc_string="x" * 300)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 3)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    header = model_file.read_header(str(path))
    assert header.ir_version == 8
    assert header.opsets == (("", 17), ("com.example", 3))
    assert sorted({item.location for item in header.external}) == ["a.bin", "b.bin", "c.bin"]

    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(bytes(16))
    assert "c.bin is not there" in model_file.missing_external_data(str(path), header)
    (tmp_path / "c.bin").write_bytes(bytes(79))
    assert "79 bytes where 80 are needed" in model_file.missing_external_data(str(path), header)
    (tmp_path / "c.bin").write_bytes(bytes(80))
    assert model_file.missing_external_data(str(path), header) is None


def test_every_cut_of_a_model_is_read_or_refused_in_words(tmp_path):
    content = null_model.dense_model()
    path = tmp_path / "cut.onnx"
    refused = 0
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            model_file.read_header(str(path))
        except ValueError:
            refused += 1
    assert refused > len(content) * 0.9


def test_noise_is_refused(tmp_path):
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"\xff" * 50)
    with pytest.raises(ValueError, match=r"cut off|wire type"):
        model_file.read_header(str(path))
