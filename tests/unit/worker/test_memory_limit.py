"""A model that allocates without end costs its own trial: it is refused memory, and it is the first that the kernel kills."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from onnx import TensorProto, helper

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

SCORE = Path("/proc/self/oom_score_adj")
MIB = 1024 * 1024
#: What each round of the loop adds.
STEP = 16 * MIB // 4
ENDLESS = {"min_inferences": 10**9, "max_inferences": 10**9, "min_duration_s": 1000.0, "max_duration_s": 1000.0}


def endless_growth(bench):
    """A Loop without an end that appends the input to what it carries."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Concat", ["grown", "x"], ["more"], axis=0),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("grown", TensorProto.FLOAT, [None]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [None]),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["", "always", "x"], ["all"], body=body),
        helper.make_node("Size", ["all"], ["y"]),
    ]
    always = helper.make_tensor("always", TensorProto.BOOL, [], [1])
    return bench.save("endless", nodes, {"x": [STEP]}, {"y": (TensorProto.INT64, [])}, [always])


def test_a_model_that_allocates_without_end_is_out_of_memory_at_its_limit(workshop, bench):
    path = endless_growth(bench)
    job = bench.job(path, {"x": np.ones(STEP, dtype=np.float32)}, memory_limit_bytes=600 * MIB)
    ended = workshop.run(job)
    assert ended.verdict == ("failed", "first_run", "oom")
    assert any(words in ended.end["evidence"].lower() for words in ("bad_alloc", "memory"))
    assert ended.status == 0


def test_a_limit_that_a_model_keeps_within_changes_nothing(workshop, bench):
    ended = workshop.run(bench.good_job(memory_limit_bytes=1024 * MIB))
    assert ended.verdict == ("pass", "placement", "")


@pytest.mark.skipif(not SCORE.exists(), reason="this kernel has no oom_score_adj")
def test_the_worker_is_the_first_that_the_kernel_kills(workshop, bench):
    started = workshop.start(bench.good_job(protocol=ENDLESS))
    try:
        started.read_until_stage("measure")
        assert (SCORE.parent.parent / str(started.process.pid) / SCORE.name).read_text().strip() == "1000"
    finally:
        os.kill(started.process.pid, signal.SIGKILL)
        started.finish()
