"""onnxruntime's own figures of its arena, against values of known size."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = onnx.helper

MIB = 1 << 20
VERSION = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
TOLD_FROM = (1, 32)


def three_alive(bench, mib):
    """A model that holds three values of `mib` MiB at once: `a` is needed again when `c` is made of `b`."""
    count = mib * MIB // 4
    constants = {"column": [count, 1], "row": [1, count], "axis": 1}
    nodes = [
        helper.make_node("Expand", ["x", "column"], ["a"]),
        helper.make_node("CumSum", ["a", "axis"], ["b"]),
        helper.make_node("CumSum", ["b", "axis"], ["c"]),
        helper.make_node("Reshape", ["a", "row"], ["r"]),
        helper.make_node("MatMul", ["r", "c"], ["y"]),
    ]
    tensors = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    return bench.save("alive", nodes, {"x": [1, 1]}, {"y": [1, 1]}, tensors)


def arena_of(workshop, bench, mib=1, **session):
    ended = workshop.run(bench.job(three_alive(bench, mib), {"x": np.ones((1, 1), dtype=np.float32)}, session=session))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    return ended.facts.get("arena")


@pytest.mark.skipif(VERSION < TOLD_FROM, reason="this onnxruntime tells nothing of its arena")
def test_the_values_that_live_at_once_are_told_to_the_byte_and_the_same_again(workshop, bench):
    found = arena_of(workshop, bench)
    assert 3 * MIB <= found["requested_peak_bytes"] < 3 * MIB + 4096
    assert found["requested_peak_bytes"] <= found["in_use_peak_bytes"] <= found["held_bytes"]
    # The second run takes all values in one block while the first one's are still held.
    assert found["held_bytes"] >= found["held_first_run_bytes"] + 3 * MIB
    assert "onnxruntime" in found["method"]
    assert arena_of(workshop, bench) == found


def test_a_session_without_an_arena_tells_of_none(workshop, bench):
    assert arena_of(workshop, bench, no_cpu_arena=True) is None


@pytest.mark.skipif(VERSION >= TOLD_FROM, reason="this onnxruntime tells of its arena")
def test_an_older_runtime_tells_nothing(workshop, bench):
    assert arena_of(workshop, bench) is None


def test_nodes_of_other_providers_tell_of_other_arenas():
    from edgesweep_worker import arena

    run = {"cat": "Session", "name": "model_run", "ts": 10, "dur": 5}
    told = {"mem_arena_held": "512", "mem_in_use_peak": "256", "mem_bytes_requested_in_use": "100"}

    def node(at, provider, **more):
        return {"cat": "Node", "ts": at, "args": dict(told, provider=provider, **more)}

    assert arena.read_arena([run, node(11, "CUDAExecutionProvider")]) is None
    assert arena.read_arena([run, {"cat": "Node", "ts": 11, "args": {"provider": "CPUExecutionProvider"}}]) is None
    second = dict(run, ts=20)
    found = arena.read_arena(
        [run, node(11, "CPUExecutionProvider"), second, node(21, "CPUExecutionProvider", mem_arena_held="1024")]
    )
    assert (found["held_first_run_bytes"], found["held_bytes"]) == (512, 1024)
    assert (found["in_use_peak_bytes"], found["requested_peak_bytes"]) == (256, 100)
