"""Values that are more than arrays of numbers: text, sequences, optional ones, and element types that numpy lacks."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = onnx.helper
Types = onnx.TensorProto

UNTIMED = {"protocol": {"untimed": True}}

#: Patterns of bits and what they stand for, from the tables of the formats.
MEANINGS = [
    ("bfloat16", [0x3F80, 0xC049, 0x7F80, 0x0001], [1.0, -3.140625, np.inf, 2.0**-133]),
    ("float8e4m3fn", [0x38, 0x7E, 0x7F, 0x01, 0xB8], [1.0, 448.0, np.nan, 2.0**-9, -1.0]),
    ("float8e4m3fnuz", [0x40, 0x7F, 0x80, 0x01], [1.0, 240.0, np.nan, 2.0**-10]),
    ("float8e5m2", [0x3C, 0x7B, 0x7C, 0xFC, 0x7D, 0x01], [1.0, 57344.0, np.inf, -np.inf, np.nan, 2.0**-16]),
    ("float8e5m2fnuz", [0x40, 0x7F, 0x80], [1.0, 57344.0, np.nan]),
    ("float8e8m0", [127, 0, 255], [1.0, 2.0**-127, np.nan]),
    ("float4e2m1", [0, 1, 7, 15], [0.0, 0.5, 6.0, -6.0]),
    ("int4", [7, 8, 15, 0xF8], [7, -8, -1, -8]),
    ("uint4", [7, 8, 15], [7, 8, 15]),
    ("int2", [1, 2, 3], [1, -2, -1]),
    ("uint2", [1, 2, 3], [1, 2, 3]),
]


def save(bench, graph, opset=17, ir=8):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    path = bench.folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize(("name", "bits", "meaning"), MEANINGS)
def test_bits_stand_for_what_their_format_says(name, bits, meaning):
    from edgesweep_worker import foreign

    kind = foreign.TYPES[name]
    raw = np.array(bits, dtype=kind.carrier)
    np.testing.assert_array_equal(foreign.decode(raw, kind), np.array(meaning, dtype=np.float32))
    if kind.bits < 8:
        packed = foreign._pack(raw, kind.bits)
        assert packed.size == -(-raw.size * kind.bits // 8)
        assert int(packed[0]) & (2**kind.bits - 1) == int(raw[0]) & (2**kind.bits - 1)


def test_text_goes_in_and_comes_out(workshop, bench):
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [info("x", Types.STRING, [2])],
        [info("y", Types.STRING, [2])],
    )
    path = save(bench, graph)
    words = np.array(["ein", "zwölf"])
    assert workshop.run(bench.job(path, {"x": words}, {"y": words}, **UNTIMED)).verdict == ("pass", "placement", "")
    ended = workshop.run(bench.job(path, {"x": words}, {"y": np.array(["ein", "elf"])}, **UNTIMED))
    assert ended.verdict == ("failed", "verify", "wrong_output")
    assert "y[1]" in ended.end["message"]


def test_a_sequence_is_given_and_checked_item_by_item(workshop, bench):
    sequence = helper.make_tensor_sequence_value_info("s", Types.FLOAT, None)
    out = helper.make_tensor_sequence_value_info("t", Types.FLOAT, None)
    nodes = [helper.make_node("SequenceInsert", ["s", "x"], ["t"])]
    path = save(bench, helper.make_graph(nodes, "g", [sequence, info("x", Types.FLOAT, [2])], [out]))
    one, two = np.ones(2, dtype=np.float32), np.full(2, 2, dtype=np.float32)
    given = {"s[0]": one, "x": two}
    for references, verdict in (
        ({"t[0]": one, "t[1]": two}, ("pass", "placement", "")),
        ({"t[0]": one}, ("failed", "verify", "wrong_output")),
        ({"t[0]": one, "t[1]": one}, ("failed", "verify", "wrong_output")),
        ({"t[0]": one, "t[1]": two, "t[2]": two}, ("failed", "verify", "wrong_output")),
    ):
        assert workshop.run(bench.job(path, given, references, **UNTIMED)).verdict == verdict
    empty = {"s[]": np.empty(0, dtype=np.float32), "x": two}
    assert workshop.run(bench.job(path, empty, {"t[0]": two}, **UNTIMED)).verdict == ("pass", "placement", "")
    missing = workshop.run(bench.job(path, {"x": two}, **UNTIMED))
    assert missing.verdict[2] == "shape_mismatch"
    assert "input s is missing" in missing.end["message"]


@pytest.mark.skipif(
    not hasattr(onnxruntime.OrtValue, "ortvalue_from_numpy_with_onnx_type"),
    reason="this onnxruntime takes no such values",
)
def test_a_type_that_numpy_lacks_is_fed_by_its_bits_and_held_against_them(workshop, bench):
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=Types.FLOAT),
        helper.make_node("Cast", ["f"], ["y"], to=Types.BFLOAT16),
    ]
    graph = helper.make_graph(nodes, "g", [info("x", Types.BFLOAT16, [3])], [info("y", Types.BFLOAT16, [3])])
    path = save(bench, graph)
    bits = np.array([0x3F80, 0xC049, 0x7F80], dtype=np.uint16)
    ended = workshop.run(bench.job(path, {"x": bits}, {"y": bits}, **UNTIMED))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    wrong = workshop.run(bench.job(path, {"x": bits}, {"y": bits[::-1].copy()}, **UNTIMED))
    assert wrong.verdict == ("failed", "verify", "wrong_output")
    scalar = info("x", Types.BFLOAT16, []), info("y", Types.BFLOAT16, [])
    single = save(bench, helper.make_graph(nodes, "g", scalar[:1], scalar[1:]))
    one = np.array(0x3F80, dtype=np.uint16)
    ended = workshop.run(bench.job(single, {"x": one}, {"y": one}, **UNTIMED))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    path = save(bench, graph)
    timed = workshop.run(bench.job(path, {"x": bits}, {"y": bits}))
    assert timed.verdict == ("pass", "placement", ""), timed.end
