"""The header reader against files made by hand, and against the onnx package where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep_agent.onnx_header import ValueInfo, read_header
from hypothesis import given, settings
from hypothesis import strategies as st

Build = Callable[..., bytes]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def test_a_model_made_by_hand(tmp_path: Path, build_model: Build) -> None:
    header = read_header(written(tmp_path, build_model(locations=("a.bin", "b.bin", "a.bin"))))
    assert (header.ir_version, header.opset, header.domains) == (10, 17, {"": 17})
    assert header.inputs == (ValueInfo("x", "float32", ("batch", 3, None)),)
    assert header.outputs == (ValueInfo("y", "float32", ("batch", 3, None)),)
    assert header.external_locations == ("a.bin", "b.bin")
    assert header.node_count == 1


def test_every_cut_is_told_in_one_sentence(tmp_path: Path, build_model: Build) -> None:
    whole = build_model(locations=("a.bin",))
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r"^model.onnx is not a whole ONNX model: [^\n]+$"):
            read_header(written(tmp_path, whole[:size]))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4 a zip archive", b"<html>not found</html>", b"\x89PNG\r\n", b"\xff" * 40, b"version https://git-lfs"],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match="is not a whole ONNX model"):
        read_header(written(tmp_path, content))


@given(content=st.binary(max_size=200))
@settings(max_examples=200)
def test_no_bytes_do_more_than_raise_a_value_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp(), content)
    try:
        read_header(path)
    except ValueError as error:
        assert "is not a whole ONNX model" in str(error)  # noqa: PT017 - most examples raise, a few may not


def test_a_hidden_location_is_found_wherever_it_is(
    tmp_path: Path, protobuf_field: Callable[[int, int | bytes], bytes], build_model: Build
) -> None:
    field = protobuf_field

    def tensor(*locations: bytes) -> bytes:
        return b"".join(field(13, field(1, b"location") + field(2, text)) for text in locations) + field(14, 1)

    attribute = field(1, field(5, field(5, tensor(b"in-attribute"))))
    subgraph = field(1, field(5, field(6, field(5, tensor(b"in-subgraph")))))
    sparse = field(15, field(1, tensor(b"in-sparse-values")) + field(2, tensor(b"in-sparse-indices")))
    twice = field(5, tensor(b"first", b"last"))
    model = build_model() + field(7, attribute + subgraph + sparse + twice)
    model += field(25, field(7, field(5, field(5, tensor(b"in-function")))))
    model += field(20, field(2, field(5, tensor(b"in-training"))))
    assert set(read_header(written(tmp_path, model)).external_locations) == {
        "in-attribute", "in-subgraph", "in-sparse-values", "in-sparse-indices",
        "first", "last", "in-function", "in-training",
    }  # fmt: skip


def test_the_file_that_holds_compiled_code_is_an_external_one_too(tmp_path: Path) -> None:
    """A provider opens what such a node names, as onnxruntime opens external data."""
    onnx = pytest.importorskip("onnx")
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    found = []
    for embedded in (0, 1):
        node = onnx.helper.make_node(
            "EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=embedded, ep_cache_context="/lib/x.bin"
        )
        domains = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
        graph = onnx.helper.make_graph([node], "g", infos[:1], infos[1:])
        model = onnx.helper.make_model(graph, opset_imports=domains).SerializeToString()
        found.append(read_header(written(tmp_path, model)).external_locations)
    assert found == [("/lib/x.bin",), ()]


def test_endless_nesting_is_refused(
    tmp_path: Path, protobuf_field: Callable[[int, int | bytes], bytes], build_model: Build
) -> None:
    field, graph = protobuf_field, b""
    for _ in range(60):
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(ValueError, match="nested deeper"):
        read_header(written(tmp_path, build_model() + field(7, graph)))


def test_it_agrees_with_the_onnx_package(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    names = [
        ("x", TensorProto.FLOAT16, ["batch", 3, None]),
        ("k", TensorProto.INT64, []),
        ("s", TensorProto.STRING, [2]),
    ]
    inputs = [helper.make_tensor_value_info(*name) for name in names]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1000, 100], bytes(400_000), raw=True)
    filled = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1000, 100])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Thing", ["w"], ["z"], domain="com.lab", value=weight)],
        "g", [*inputs, filled], [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["batch", 3, None])],
        initializer=[weight],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.lab", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    header = read_header(path)
    assert (header.ir_version, header.opset, header.domains) == (9, 21, {"": 21, "com.lab": 3})
    assert header.inputs == (
        ValueInfo("x", "float16", ("batch", 3, None)), ValueInfo("k", "int64", ()), ValueInfo("s", "object", (2,)),
    )  # fmt: skip
    assert header.node_count == 2
    assert header.external_locations == ()
    onnx.save(model, tmp_path / "apart.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert read_header(tmp_path / "apart.onnx").external_locations == ("weights.bin",)


def test_dtype_names_are_those_of_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx")
    from edgesweep_agent.onnx_header import DTYPES

    for number, name in DTYPES.items():
        if number in onnx.TensorProto.DataType.values():
            assert str(onnx.helper.tensor_dtype_to_np_dtype(number)) == name
