from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager

import numpy as np
import onnx
import psutil
import pytest
from edgesweep.export.proof.nursery import Nursery
from onnx import TensorProto, helper


@pytest.fixture
def nursery():
    nursery = Nursery()
    nursery.open()
    yield nursery
    nursery.close()


@pytest.fixture
def job(tmp_path) -> dict:
    """A proof that passes: y = x + x."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.ones(2, np.float32))
    np.save(tmp_path / "y.npy", np.full(2, 2, np.float32))
    case = {"label": "example", "inputs": {"x": str(tmp_path / "x.npy")}, "references": [str(tmp_path / "y.npy")]}
    tolerance = {"absolute": 0.0, "relative": 0.0, "sqnr_db": None}
    return {"model": str(tmp_path / "m.onnx"), "as_written": False, "tolerance": tolerance, "cases": [case]}


@pytest.fixture
def endless(job, tmp_path) -> dict:
    """A proof that waits for its input for ever."""
    os.mkfifo(tmp_path / "never.npy")
    case = job["cases"][0] | {"inputs": {"x": str(tmp_path / "never.npy")}}
    return job | {"cases": [case]}


def passed(ended) -> bool:
    return ended.answer is not None and ended.answer["loaded"] and not ended.answer["cases"][0]["wrong"]


@asynccontextmanager
async def child_at_work(process: psutil.Process, job: dict):
    """The process's one child, which waits for the input of `endless` as long as this is open."""
    # Opening a FIFO to write waits until somebody reads it.
    writer = await asyncio.to_thread(os.open, job["cases"][0]["inputs"]["x"], os.O_WRONLY)
    try:
        (child,) = process.children()
        yield child
    finally:
        os.close(writer)


def test_one_process_serves_many_proofs_and_each_runs_apart(nursery, job):
    process = nursery._process
    assert passed(nursery.ask(job, 60))
    other = job["cases"][0] | {"references": [job["cases"][0]["inputs"]["x"]]}
    assert not passed(nursery.ask(job | {"cases": [other]}, 60))
    assert passed(nursery.ask(job, 60))
    assert nursery._process is process


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM])
async def test_a_proof_that_dies_leaves_its_signal_and_the_next_one_passes(nursery, job, endless, number):
    process = psutil.Process(nursery._process.pid)
    asked = asyncio.create_task(asyncio.to_thread(nursery.ask, endless, 60))
    async with child_at_work(process, endless) as child:
        child.send_signal(number)
        ended = await asked
    assert (ended.status, ended.answer) == (-number, None)
    assert passed(nursery.ask(job, 60))
    assert nursery._process.pid == process.pid


def test_a_proof_that_does_not_end_is_killed_with_its_process_and_both_are_replaced(nursery, job, endless):
    process = psutil.Process(nursery._process.pid)
    with pytest.raises(TimeoutError):
        nursery.ask(endless, 0.3)
    assert not process.is_running()
    assert passed(nursery.ask(job, 60))


async def test_a_process_that_is_killed_takes_its_proof_along_and_is_an_answer(nursery, job, endless):
    process = psutil.Process(nursery._process.pid)
    asked = asyncio.create_task(asyncio.to_thread(nursery.ask, endless, 60))
    async with child_at_work(process, endless) as child:
        process.kill()
        ended = await asked
        _, alive = psutil.wait_procs([child], timeout=10)
    assert (ended.status, ended.answer) == (-signal.SIGKILL, None)
    assert alive == []
    assert passed(nursery.ask(job, 60))


def test_an_idle_process_that_is_gone_is_replaced_before_the_next_proof(nursery, job):
    nursery._process.kill()
    nursery._process.wait()
    assert passed(nursery.ask(job, 60))


def test_words_on_stderr_come_with_the_answer_to_a_job_that_makes_no_sense(nursery, job):
    ended = nursery.ask({"model": job["model"], "as_written": False}, 60)
    assert ended.status == 1
    assert ended.answer is None
    assert "KeyError" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the count of threads comes from /proc")
def test_a_process_with_threads_is_told_from_one_without():
    code = "import threading, edgesweep.export.proof.process as p; e = threading.Event(); assert not p._has_threads(); "
    code += "t = threading.Thread(target=e.wait); t.start(); assert p._has_threads(); e.set()"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
