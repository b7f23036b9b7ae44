"""The loops that the benchmark of latency compares: a C loop on the wheel's own library, and the worker's."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import onnxruntime
import pytest
from native import loops, models

pytestmark = pytest.mark.skipif(loops.c_compiler() is None, reason="there is no C compiler here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("loops")


@pytest.fixture(scope="module")
def program(folder):
    return loops.compile_c_loop(folder)


@pytest.mark.parametrize("name", list(models.MODELS))
def test_both_loops_compute_what_the_runtime_computes(name, folder, program):
    model = models.MODELS[name](folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    results = session.run(None, model.inputs)
    assert {arg.name: result.shape for arg, result in zip(session.get_outputs(), results, strict=True)} == model.outputs
    expected = np.concatenate([result.reshape(-1) for result in results])
    assert expected.std() > 0.01
    with loops.c_loop(program, model, 1) as in_c, loops.our_loop(model, 1) as ours:
        np.testing.assert_allclose(in_c.outputs(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.outputs(), expected, rtol=1e-4, atol=1e-5)


def test_a_block_lasts_as_long_as_asked_and_holds_every_sample(folder, program):
    model = models.add(folder)
    cpus = (max(os.sched_getaffinity(0)),)
    with loops.c_loop(program, model, 1, cpus) as in_c, loops.our_loop(model, 1, cpus) as ours:
        assert in_c.ready == [onnxruntime.__version__]
        assert int(ours.ready[0]) > 1
        for loop in (in_c, ours):
            block = loop.block(0.01, 100)
            assert block.samples_ns.min() > 0
            assert block.switches >= 0
            assert len(loop.block(0.04, 100).samples_ns) > 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are held to two CPUs")
def test_both_loops_hold_their_threads_to_the_same_cpus(folder, program):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    model = models.mlp(folder)
    for loop in (loops.c_loop(program, model, 2, cpus), loops.our_loop(model, 2, cpus)):
        with loop:
            assert [os.sched_getaffinity(task) for task in loop.tasks()] == [{cpus[0]}, {cpus[1]}]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nowhere.so", "model.onnx"), "dlopen: nowhere.so"),
        ((None, "nowhere.onnx"), "CreateSession"),
    ],
)
def test_the_c_loop_says_what_is_wrong(words, sentence, program):
    library, model = words
    library = library or str(loops.runtime_library())
    command = [str(program), library, model, "1", "in:x:1:/dev/zero", "out:y:1:"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_a_loop_that_is_left_has_ended(folder, program):
    with loops.c_loop(program, models.add(folder), 1) as loop:
        pid = loop._process.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
