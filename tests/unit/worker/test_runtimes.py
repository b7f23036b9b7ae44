"""The same worker under other interpreters and onnxruntimes.

EDGESWEEP_TEST_RUNTIMES lists interpreters, separated like PATH, e.g. /opt/ort-1.19/bin/python:/opt/openvino/bin/python.
Models are made here; the interpreters need numpy and an onnxruntime, nothing else.
"""

from __future__ import annotations

import os

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
helper = onnx.helper

#: Newest opset and IR version by release, as measured with released builds.
LIMITS = {"1.16": (19, 9), "1.17": (20, 9), "1.19": (21, 10), "1.23": (23, 11), "1.24": (25, 13)}
OPENVINO = "OpenVINOExecutionProvider"
LISTED = [path for path in os.environ.get("EDGESWEEP_TEST_RUNTIMES", "").split(os.pathsep) if path]
NO_RUNTIME = pytest.param("", marks=pytest.mark.skip(reason="EDGESWEEP_TEST_RUNTIMES lists no interpreter"))


@pytest.fixture(params=LISTED or [NO_RUNTIME])
def interpreter(request):
    return request.param


@pytest.fixture
def runtime(workshop, interpreter, tmp_path):
    return workshop.run({"kind": "probe", "scratch_dir": str(tmp_path)}, interpreter).end["runtime"]


@pytest.fixture
def openvino(interpreter, runtime):
    if OPENVINO not in runtime["listed_providers"]:
        pytest.skip("this runtime has no OpenVINO")
    return interpreter


def test_a_trial_passes_with_every_fact(workshop, bench, interpreter, runtime):
    assert runtime["fault"] == ""
    ended = workshop.run(bench.good_job(), interpreter)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.facts["session"]["runtime_version"] == runtime["version"]
    assert {"cold_start", "memory", "numerics", "accounting", "samples", "placement"} <= set(ended.facts)
    assert ended.facts["placement"]["shares"][0]["nodes"] >= 1


def test_the_limits_are_those_of_the_release(runtime):
    release = ".".join(runtime["version"].split(".")[:2])
    if release not in LIMITS:
        pytest.skip("the limits of onnxruntime " + release + " were not measured")
    assert (runtime["max_opset"], runtime["max_ir_version"]) == LIMITS[release]
    assert {"float32", "float16", "int64"} <= set(runtime["types"])


@pytest.mark.parametrize("over", ["max_opset", "max_ir_version"])
def test_one_beyond_the_limits_is_refused_with_the_cause(workshop, bench, interpreter, runtime, over):
    known = {"max_opset": ("opset", "opset_unsupported"), "max_ir_version": ("ir", "ir_unsupported")}
    word, cause = known[over]
    model = bench.affine(**{word: runtime[over]})
    assert workshop.run(bench.job(model.path, {"x": model.x}), interpreter).verdict == ("pass", "placement", "")
    model = bench.affine(**{word: runtime[over] + 1})
    assert workshop.run(bench.job(model.path, {"x": model.x}), interpreter).verdict == ("failed", "load", cause)


def test_what_the_probe_says_of_types_is_what_a_load_says(workshop, bench, interpreter, runtime):
    """A type that the probe calls missing is refused as `element_type_unsupported`, wherever the model has it."""
    number = onnx.TensorProto.COMPLEX64
    assert "complex64" not in runtime["types"]
    path = bench.save("z", [helper.make_node("Identity", ["z"], ["y"])], {"z": (number, [2])}, {"y": (number, [2])})
    ended = workshop.run(bench.job(path, {"z": np.ones(2, dtype=np.complex64)}), interpreter)
    assert ended.verdict == ("failed", "load", "element_type_unsupported")


@pytest.mark.parametrize(
    ("opset", "ir", "cause", "tags"),
    [
        (999, 7, "opset_unsupported", []),
        (13, 99, "ir_unsupported", []),
        (999, 99, "opset_unsupported", ["also:ir_unsupported"]),
    ],
)
def test_too_new_is_told_by_opset_and_ir(workshop, bench, interpreter, opset, ir, cause, tags):
    model = bench.affine(opset, ir)
    ended = workshop.run(bench.job(model.path, {"x": model.x}), interpreter)
    assert (ended.end["cause"], ended.tags) == (cause, tags)


def test_files_that_are_not_whole(workshop, bench, interpreter):
    model = bench.affine()
    model.path.write_bytes(model.path.read_bytes()[:-20])
    ended = workshop.run(bench.job(model.path, {"x": model.x}), interpreter)
    assert ended.verdict == ("failed", "load", "invalid_model_file")


def test_external_data_that_is_missing(workshop, bench, interpreter):
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    path = bench.save("external", [helper.make_node("Add", ["x", "w"], ["y"])], {"x": [4]}, {"y": [4]}, [tensor])
    ended = workshop.run(bench.job(path, {"x": np.ones(4, dtype=np.float32)}), interpreter)
    assert ended.verdict == ("failed", "load", "external_data_missing")


def test_openvino_runs_and_is_probed_as_running(workshop, bench, openvino, runtime):
    assert next(item for item in runtime["providers"] if item["name"] == OPENVINO)["nodes"] >= 1
    model = bench.affine()
    ended = workshop.run(bench.job(model.path, {"x": model.x}, {"y": model.y}, providers=[OPENVINO]), openvino)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    nodes = {share["provider"]: share["nodes"] for share in ended.facts["placement"]["shares"]}
    assert nodes[OPENVINO] >= 1
    assert nodes["CPUExecutionProvider"] == 0
    assert "partial" not in ended.tags


def test_some_nodes_elsewhere_are_told_as_partial(workshop, bench, openvino):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Hardmax", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    weights = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    path = bench.save("split", nodes, {"x": [1, 4]}, {"y": [1, 4]}, [weights])
    x = np.array([[1, 5, 2, 3]], dtype=np.float32)
    reference = {"y": np.array([[0, 1, 0, 0]], dtype=np.float32)}
    ended = workshop.run(bench.job(path, {"x": x}, reference, providers=[OPENVINO]), openvino)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert "partial" in ended.tags
    found = {share["provider"]: share for share in ended.facts["placement"]["shares"]}
    assert found[OPENVINO]["nodes"] >= 1
    assert found["CPUExecutionProvider"]["nodes"] >= 1
    assert sum(share["time_share"] for share in found.values()) == pytest.approx(1.0)
    assert found[OPENVINO]["subgraphs"] >= 1
    assert found["CPUExecutionProvider"]["subgraphs"] is None
    assert found["CPUExecutionProvider"]["operators"]["Hardmax"] == 1
    assert ended.facts["placement"]["model_nodes"] == 3


def test_a_compiled_part_is_timed_as_one_node_and_told_with_what_it_holds(workshop, bench, openvino):
    model = bench.affine()
    job = bench.job(model.path, {"x": model.x}, {"y": model.y}, providers=[OPENVINO], protocol={"node_profile": True})
    ended = workshop.run(job, openvino)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    (node,) = ended.facts["node_profile"]["nodes"]
    assert node["provider"] == OPENVINO
    if ended.facts["placement"]["method"] == "assignment":
        # onnxruntime adds to the name of a node that it has fused before it shares the graph out.
        assert {name.partition("/")[0] for name in node["holds"]} <= {"multiply", "add", "clip"}
        assert len(node["holds"]) == ended.facts["placement"]["shares"][0]["nodes"]
    else:
        assert node["holds"] == []


def test_no_node_at_all_is_a_fallback(workshop, bench, openvino):
    path = bench.save("hardmax", [helper.make_node("Hardmax", ["x"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]})
    job = bench.job(path, {"x": np.ones((1, 4), dtype=np.float32)}, providers=[OPENVINO, "CPUExecutionProvider"])
    ended = workshop.run(job, openvino)
    assert ended.verdict == ("fallback", "placement", "no_nodes")
    assert ended.facts["session"]["providers"][0] == OPENVINO


@pytest.mark.parametrize("asked", ["asis", "empty", "primed"])
def test_openvino_starts_with_the_cache_asked_for_and_tells_its_libraries_apart(workshop, bench, openvino, asked):
    model = bench.affine()
    job = bench.job(
        model.path, {"x": model.x}, {"y": model.y}, providers=[OPENVINO], protocol={"provider_cache": asked}
    )
    ended = workshop.run(job, openvino)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    cold = ended.facts["cold_start"]
    assert cold["provider_cache"] == asked
    assert 0 < cold["provider_load_s"] < cold["session_s"] + 60
    # OpenVINO's own doing: on a processor it finds its blob and compiles anew all the same.
    assert ("provider_cache_not_honoured" in ended.tags) == (asked == "primed")
    told = ended.facts["compile"]
    assert told["part_of"] == "session"
    assert told["seconds"] == cold["session_s"]
    assert (told["files_before"], told["files_after"]) == {"asis": (0, 0), "empty": (0, 1), "primed": (1, 1)}[asked]
    assert len(told["engine_hash"]) == (0 if asked == "asis" else 64)
    assert ended.stages.count("compile") == (2 if asked == "primed" else 1)
    assert not list(bench.folder.glob("provider-*"))


def test_a_cold_start_is_cold_where_nobody_else_has_the_runtime_mapped(workshop, bench, interpreter, runtime):
    ended = workshop.run(bench.good_job(protocol={"page_cache": "cold"}), interpreter)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    cold = ended.facts["cold_start"]
    if "page_cache_not_honoured" in ended.tags:
        pytest.skip("this file system, or another process, keeps the runtime's files in memory")
    assert (cold["page_cache"], cold["resident_share"] <= 0.05) == ("cold", True)
