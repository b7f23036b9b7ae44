"""What each runtime really says, and what that means: messages were provoked, or come from a public report.

`failure_messages.json` keeps them by pattern, with the runtimes that said it word for word. Texts of CUDA, TensorRT and
QNN that need their hardware are from the reports that `source` names; two are made up, and it says so.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from edgesweep_worker.failures import read
from edgesweep_worker.failures.model_operator import find_operator
from edgesweep_worker.failures.status import status_of

MESSAGES = json.loads((Path(__file__).parent / "failure_messages.json").read_text())
KNOWN = {known.id: known for known in read.PATTERNS}


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row["pattern"] + " " + ",".join(row["runtimes"])[:24])
def test_each_message_is_known_by_its_pattern(row):
    found = read.read(row["text"], row["stage"])
    assert found is not None
    assert (found.known.id, found.known.cause) == (row["pattern"], row["cause"])
    sentence = found.sentence("onnxruntime 1.2.3", opsets="opset 99 of ai.onnx")
    assert "{" not in sentence
    assert "None" not in sentence
    if "{subject}" in found.known.sentence:
        assert found.words["subject"]
    if "{what}" in found.known.sentence:
        assert found.operator is not None


def test_every_pattern_has_a_message_and_a_name_of_its_own():
    assert len(KNOWN) == len(read.PATTERNS)
    assert {row["pattern"] for row in MESSAGES} == set(KNOWN)


def test_the_versions_that_a_pattern_was_seen_at_are_those_of_its_messages():
    for known in read.PATTERNS:
        seen = [
            tuple(int(part) for part in runtime.split(" ")[0].split("-")[-1].split("."))
            for row in MESSAGES
            if row["pattern"] == known.id
            for runtime in row["runtimes"]
            if runtime[-1].isdigit() or runtime.endswith("on OpenVINO")
        ]
        limits = [tuple(int(part) for part in limit.split(".")) for limit in known.seen if limit]
        assert all(limits[0] <= version <= limits[1] for version in seen), known.id


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        (
            "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Det(11) node with name '/h/Det'",
            {"domain": "ai.onnx", "name": "Det", "version": 11, "types": [], "node": "/h/Det"},
        ),
        (
            "Fatal error: com.acme:Magic(-1) is not a registered function/op",
            {"domain": "com.acme", "name": "Magic", "version": None, "types": [], "node": ""},
        ),
        (
            (
                'In Node, ("g", Gelu, "", -1) : ("x": tensor(float16),) -> ("y": tensor(float16),) , '
                "Error No Op registered for Gelu with domain_version of 13"
            ),
            {"domain": "ai.onnx", "name": "Gelu", "version": None, "types": ["float16"], "node": "g"},
        ),
    ],
)
def test_the_operator_is_named_with_domain_version_types_and_node(text, operator):
    found = read.read(text, "load")
    assert (found.known.cause, found.operator) == ("unsupported_op", operator)


def test_what_words_leave_out_of_an_operator_is_read_from_the_model(bench):
    onnx = pytest.importorskip("onnx")
    number = onnx.TensorProto.FLOAT16
    nodes = [
        onnx.helper.make_node("Cast", ["x"], ["c"], to=number),
        onnx.helper.make_node("Det", ["c"], ["y"], name="/h/Det", domain="com.acme"),
    ]
    path = bench.save("det", nodes, {"x": [2, 2]}, {"y": (number, [])})
    text = "Could not find an implementation for Det(11) node with name '/h/Det'"
    found = read.read(text, "load", str(path))
    assert found.operator == {
        "domain": "com.acme",
        "name": "Det",
        "version": 11,
        "types": ["float16"],
        "node": "/h/Det",
    }
    assert read.operator_words(found.operator) == "com.acme.Det(11) for float16 (node /h/Det)"


def test_an_operator_inside_a_branch_is_found_and_none_in_what_is_no_model(bench, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["k"], value=onnx.numpy_helper.from_array(__import__("numpy").ones(1, "f"))),
         helper.make_node("Hardmax", ["k"], ["b"], name="deep")],
        "branch", [], [helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    path = bench.save("if", [node], {"x": (onnx.TensorProto.BOOL, [])}, {"y": [1]})
    assert find_operator(str(path), "Hardmax").name == "deep"
    assert find_operator(str(path), "Softmax") is None
    other = tmp_path / "other"
    for content in (b"", b"no model", path.read_bytes()[:-30]):
        other.write_bytes(content)
        assert find_operator(str(other), "Hardmax") is None
    assert find_operator(str(tmp_path / "absent"), "Hardmax") is None


def test_of_several_nodes_without_a_name_only_what_they_share_is_told(bench):
    onnx = pytest.importorskip("onnx")
    half = (onnx.TensorProto.FLOAT16, [2])
    nodes = [onnx.helper.make_node("Acos", [name], [name + "y"], name=name + "n") for name in ("a", "b")]
    path = str(bench.save("two", nodes, {"a": [2], "b": half}, {"ay": [2], "by": half}))
    assert find_operator(path, "Acos").input_types == ()
    assert find_operator(path, "Acos", "bn").input_types == ("float16",)
    assert find_operator(path, "Acos", "made by an optimiser") is None
    words = "Could not find an implementation for Acos(7) node with name ''"
    assert read.read(words, "load", path).operator == {
        "domain": "ai.onnx",
        "name": "Acos",
        "version": 7,
        "types": [],
        "node": "",
    }


def test_a_part_that_a_provider_compiled_is_no_operator():
    text = "Non-zero status code returned while running TRTKernel_1 node. Name:'T_1' Status Message: TensorRT EP failed"
    assert read.running_node(text) is None
    assert read.running_node(text.replace("TRTKernel_1", "Conv"))["name"] == "Conv"


def test_the_status_is_told_by_the_message_or_by_the_class():
    ort = pytest.importorskip("onnxruntime")
    with pytest.raises(Exception, match="INVALID_PROTOBUF") as caught:
        ort.InferenceSession(b"\xff")
    assert status_of(caught.value) == "INVALID_PROTOBUF"
    state = __import__("onnxruntime.capi.onnxruntime_pybind11_state", fromlist=["NotImplemented"])
    assert status_of(state.NotImplemented("bare")) == "NOT_IMPLEMENTED"
    assert status_of(ValueError("[x]")) == ""
