"""Where nodes went and what they took: what real onnxruntimes said, recorded, and real sessions on the CPU."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
helper = onnx.helper

from edgesweep_worker import model_file, node_profile, placement, placing, profile_events  # noqa: E402 - after the check
from edgesweep_worker.events import EventPipe  # noqa: E402
from edgesweep_worker.failure import TrialFailed  # noqa: E402
from edgesweep_worker.job import trial_job  # noqa: E402
from edgesweep_worker.placement import Part  # noqa: E402

OPENVINO, CPU = "OpenVINOExecutionProvider", "CPUExecutionProvider"
FIRST = OPENVINO + "_OpenVINO-EP-subgraph_1_0"
SECOND = OPENVINO + "_OpenVINO-EP-subgraph_2_1"
RECORDED = Path(__file__).parent / "recorded"


class Recorded:
    """A session of a real onnxruntime, six runs long."""

    def __init__(self, name):
        data = json.loads((RECORDED / name).read_text())
        self.providers = tuple(data["providers"])
        self.events = data["events"]
        self.parts = tuple(
            Part(
                part["provider"],
                tuple((name, placement._operator(domain, kind)) for name, domain, kind in part["nodes"]),
            )
            for part in data["parts"]
        )
        self.calls = profile_events.node_calls(self.events)

    def placed(self, by_assignment=True, nodes=False):
        return placement.placement_of(self.providers, self.parts if by_assignment else (), self.calls, nodes=nodes)


@pytest.fixture(scope="module")
def split():
    """MatMul, Add | Hardmax | MatMul, Relu: OpenVINO compiled the first two and the last two, the CPU took the third."""
    return Recorded("openvino-split.json")


@pytest.fixture(scope="module")
def loop():
    """A Loop of three turns over MatMul, Relu and Identity, then a Relu, all on the CPU."""
    return Recorded("cpu-loop.json")


def shares_of(found):
    return {share["provider"]: share for share in found.as_json()["shares"]}


def test_the_assignment_names_the_models_nodes_inside_each_compiled_part(split):
    found = split.placed()
    assert found.method == "assignment"
    shares = shares_of(found)
    assert (shares[OPENVINO]["nodes"], shares[OPENVINO]["subgraphs"]) == (4, 2)
    assert shares[OPENVINO]["operators"] == {"Add": 1, "MatMul": 2, "Relu": 1}
    # The CPU takes nodes one by one: as many parts as nodes are no subgraphs.
    assert (shares[CPU]["nodes"], shares[CPU]["subgraphs"], shares[CPU]["operators"]) == (1, None, {"Hardmax": 1})


def test_the_profile_counts_a_compiled_part_as_one_node_and_says_so(split):
    found = split.placed(by_assignment=False)
    assert found.method == "profile"
    shares = shares_of(found)
    assert (shares[OPENVINO]["nodes"], shares[OPENVINO]["subgraphs"]) == (2, 2)
    assert shares[OPENVINO]["operators"] == {"OpenVINO-EP-subgraph_1": 1, "OpenVINO-EP-subgraph_2": 1}
    assert (shares[CPU]["nodes"], shares[CPU]["subgraphs"]) == (1, None)
    assert found.hash != split.placed().hash


def test_shares_of_time_are_the_same_by_either_method(split):
    one, other = split.placed().time_shares, split.placed(by_assignment=False).time_shares
    assert one == other
    assert sum(one.values()) == pytest.approx(1.0)
    assert one[OPENVINO] > 0.5 > one[CPU] > 0


def test_without_runs_an_assignment_has_no_times(split):
    found = placement.placement_of(split.providers, split.parts, ())
    shares = shares_of(found)
    assert (shares[OPENVINO]["nodes"], shares[OPENVINO]["subgraphs"], shares[OPENVINO]["time_share"]) == (4, 2, None)
    assert placement.placement_of(split.providers, (), ()).method == "provider_list"


def test_a_compiled_part_is_told_with_the_nodes_that_it_stands_for(split):
    profile = split.placed(nodes=True).profile
    nodes = {node["name"]: node for node in profile["nodes"]}
    assert profile["runs"] == 5
    assert nodes[FIRST]["holds"] == ["first", "twice"]
    assert nodes[SECOND]["holds"] == ["second", "relu"]
    assert nodes["hard"]["holds"] == []
    assert (nodes["hard"]["operator"], nodes["hard"]["provider"]) == ("Hardmax", CPU)
    assert (nodes[FIRST]["parameter_bytes"], nodes[FIRST]["output_bytes"]) == (512 * 512 * 4, 64 * 512 * 4)


def test_nothing_is_said_of_what_a_part_holds_where_the_lists_differ(split):
    fewer = placement.placement_of(split.providers, split.parts[1:], split.calls, nodes=True)
    assert all(node["holds"] == [] for node in fewer.profile["nodes"])
    unasked = placement.placement_of(split.providers, (), split.calls, nodes=True)
    assert all(node["holds"] == [] for node in unasked.profile["nodes"])


def test_nothing_is_said_of_what_a_part_holds_where_a_node_has_no_name(split):
    parts = [replace(part, nodes=(("", part.nodes[0][1]), *part.nodes[1:])) for part in split.parts]
    found = placement.placement_of(split.providers, parts, split.calls, nodes=True)
    assert all(node["holds"] == [] for node in found.profile["nodes"])


def test_a_loops_own_time_is_without_that_of_its_body(loop):
    nodes = {node["name"]: node for node in loop.placed(nodes=True).profile["nodes"]}
    assert nodes["inner_mm"]["calls"] == 3
    assert nodes["loop"]["calls"] == 1
    whole = [event["dur"] for event in loop.events if event["name"] == "loop_kernel_time"]
    assert nodes["loop"]["seconds"] * 1e6 < min(whole) / 2
    runs = [event["dur"] for event in loop.events if event["name"] == "model_run"]
    assert sum(node["seconds"] for node in nodes.values()) * 1e6 <= max(runs)
    assert loop.placed().counts == {CPU: 5}
    assert loop.placed(by_assignment=False).counts == {CPU: 5}


def test_of_many_nodes_the_slowest_are_told_and_the_rest_counted(loop):
    everything = node_profile.profile_nodes(loop.calls, {}, {})
    some = node_profile.profile_nodes(loop.calls, {}, {}, kept=2)
    assert some["nodes"] == everything["nodes"][:2]
    assert some["left_out"] == 3
    assert some["left_out_s"] == pytest.approx(sum(node["seconds"] for node in everything["nodes"][2:]))
    assert node_profile.profile_nodes((), {}, {}) is None


def test_a_run_that_the_profile_has_in_part_does_not_count(loop):
    last = max(at for at, event in enumerate(loop.events) if event["name"] == "model_run")
    assert {call.run for call in loop.calls} == set(range(6))
    assert {call.run for call in profile_events.node_calls(loop.events[:last])} == set(range(5))


def test_one_slow_run_does_not_make_a_node_slow(split):
    slowest = max(call.own_us for call in split.calls if call.name == FIRST and call.run > 0)
    profile = split.placed(nodes=True).profile
    assert next(node for node in profile["nodes"] if node["name"] == FIRST)["seconds"] * 1e6 < slowest


def test_an_operator_keeps_the_domain_that_the_assignment_knows():
    events = [
        {"cat": "Session", "name": "model_run", "tid": 1, "ts": 0, "dur": 10},
        {
            "cat": "Node",
            "name": "g_kernel_time",
            "tid": 1,
            "ts": 1,
            "dur": 2,
            "args": {"op_name": "Gelu", "provider": CPU},
        },
        {
            "cat": "Node",
            "name": "h_kernel_time",
            "tid": 1,
            "ts": 4,
            "dur": 1,
            "args": {"op_name": "Fused", "provider": CPU},
        },
    ]
    parts = [Part(CPU, (("g", "com.microsoft.Gelu"),)), Part(CPU, (("h", "com.microsoft.Gelu"),))]
    found = placement.placement_of((CPU,), parts, profile_events.node_calls(events), nodes=True)
    assert [node["operator"] for node in found.profile["nodes"]] == ["com.microsoft.Gelu", "Fused"]


# Real sessions


def looping(bench):
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["s", "w"], ["m"], name="inner"),
            helper.make_node("Identity", ["go"], ["on"], name="again"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", onnx.TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("m", onnx.TensorProto.FLOAT, [64, 64]),
        ],
    )
    tensors = [
        onnx.numpy_helper.from_array(np.eye(64, dtype=np.float32), "w"),
        onnx.numpy_helper.from_array(np.array(4, dtype=np.int64), "turns"),
        onnx.numpy_helper.from_array(np.array(1, dtype=bool), "start"),
    ]
    nodes = [
        helper.make_node("Loop", ["turns", "start", "x"], ["l"], name="loop", body=body),
        helper.make_node("Softmax", ["l"], ["y"], name="last"),
    ]
    return bench.save("looping", nodes, {"x": [64, 64]}, {"y": [64, 64]}, tensors)


def test_a_trial_tells_its_nodes_when_it_is_asked_to(workshop, bench):
    path = looping(bench)
    x = np.ones((64, 64), dtype=np.float32)
    ended = workshop.run(bench.job(path, {"x": x}, protocol={"node_profile": True}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    profile = ended.facts["node_profile"]
    nodes = {node["name"]: node for node in profile["nodes"]}
    assert profile["runs"] == 5
    assert profile["left_out"] == 0
    assert (nodes["inner"]["operator"], nodes["inner"]["calls"]) == ("MatMul", 4)
    assert (nodes["loop"]["operator"], nodes["loop"]["calls"]) == ("Loop", 1)
    assert all(node["provider"] == CPU and node["seconds"] >= 0 for node in nodes.values())
    assert [node["seconds"] for node in profile["nodes"]] == sorted(
        (n["seconds"] for n in nodes.values()), reverse=True
    )
    (share,) = ended.facts["placement"]["shares"]
    assert share["operators"] == {"Identity": 1, "Loop": 1, "MatMul": 1, "Softmax": 1}
    assert share["subgraphs"] is None
    assert ended.facts["placement"]["model_nodes"] == 4


def test_every_run_of_the_watched_session_is_a_sign_of_life(workshop, bench):
    ended = workshop.run(bench.good_job(protocol={"node_profile": True}))
    at = next(at for at, event in enumerate(ended.events) if event.get("stage") == "placement")
    assert ended.events[at + 1 : at + 7] == [{"event": "alive"}] * 6


def test_an_untimed_trial_tells_its_nodes_too(workshop, bench):
    ended = workshop.run(bench.good_job(protocol={"untimed": True, "node_profile": True}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.facts["node_profile"]["nodes"]
    assert "samples" not in ended.facts


def test_nodes_that_nobody_asked_for_are_not_told(workshop, bench):
    ended = workshop.run(bench.good_job())
    assert "node_profile" not in ended.facts
    assert ended.facts["placement"]["model_nodes"] == 3


def test_a_trial_ends_when_it_is_timed_and_another_process_tells_its_placement(workshop, bench):
    job = bench.good_job(place_apart=True)
    timed = workshop.run(job)
    assert timed.verdict == ("pass", "measure", ""), timed.end
    assert "placement" not in timed.facts
    before = bench.samples.read_bytes()
    placed = workshop.run(dict(job, kind="placement"))
    assert placed.verdict == ("pass", "placement", ""), placed.end
    assert placed.stages == []
    assert set(placed.facts) - {"arena", "tags"} == {"placement"}
    assert bench.samples.read_bytes() == before
    together = workshop.run(bench.good_job()).facts["placement"]
    assert placed.facts["placement"]["hash"] == together["hash"]
    assert placed.facts["placement"]["shares"][0]["operators"] == together["shares"][0]["operators"]


def test_a_second_session_that_is_refused_says_that_the_first_one_ran(workshop, bench):
    job = bench.good_job()
    Path(job["model_path"]).write_bytes(b"no model any more")
    placed = workshop.run(dict(job, kind="placement"))
    assert placed.verdict == ("failed", "placement", "invalid_model_file")
    assert placed.end["message"].startswith("it ran, but a second session")


def test_nodes_are_counted_as_the_checker_counts_them(bench):
    assert model_file.count_nodes(str(looping(bench))) == 4
    assert model_file.count_nodes(str(bench.affine().path)) == 3
    broken = bench.folder / "broken.onnx"
    broken.write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match="cut off"):
        model_file.count_nodes(str(broken))


@pytest.mark.parametrize(("first", "end"), [(OPENVINO, "placement_untold"), (CPU, "pass")])
def test_a_number_goes_by_no_providers_name_where_nothing_tells_of_its_nodes(tmp_path, first, end):
    job = trial_job({"model_path": str(tmp_path / "gone.onnx"), "samples_path": str(tmp_path / "samples")})
    untold = placement.Placement("provider_list", (), {}, (OPENVINO, CPU))
    reader, writer = os.pipe()
    try:
        cause, _, _ = placing.judge(job, EventPipe(writer), untold, first)
    except TrialFailed as failed:
        cause = failed.cause
    finally:
        os.close(writer)
    assert cause == end
    with os.fdopen(reader) as events:
        assert "placement_unknown" in events.read()
