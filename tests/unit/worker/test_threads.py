"""Threads are held to cores of their own, and told as the kernel says they are."""

from __future__ import annotations

import os
import threading

import pytest

np = pytest.importorskip("numpy")
onnxruntime = pytest.importorskip("onnxruntime")

from edgesweep_worker import null_model, threads  # noqa: E402 - onnxruntime must be there first
from edgesweep_worker.threads import Pinning, cpus_of  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="this machine lets the tests use one CPU only")


@pytest.fixture(autouse=True)
def as_before():
    yield
    os.sched_setaffinity(0, CPUS)


def session(count):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count
    return onnxruntime.InferenceSession(null_model.dense_model(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("listed", "cpus"), [("", ()), ("3", (3,)), ("0-2", (0, 1, 2)), ("0-1,4,6-7", (0, 1, 4, 6, 7))]
)
def test_the_kernels_lists_are_read(listed, cpus):
    assert cpus_of(listed) == cpus


@two_cpus
@pytest.mark.parametrize("cluster", [CPUS[:2], CPUS[1::-1]])
def test_each_thread_of_a_session_gets_a_core_of_its_own(cluster):
    pinning = Pinning(cluster)
    kept = session(2)
    pinning.hold()
    assert os.sched_getaffinity(0) == {cluster[0]}
    (worker,) = pinning.pool
    assert os.sched_getaffinity(worker) == {cluster[1]}
    assert pinning.facts() == {
        "cluster": list(cluster),
        "main_cpus": [cluster[0]],
        "pool_cpus": [str(cluster[1])],
        "pinned": True,
        "note": "",
    }
    kept.run(None, {"x": np.ones((1, 8), dtype=np.float32)})


@two_cpus
def test_more_threads_than_cores_share_the_cluster_and_are_told():
    pinning = Pinning(CPUS[:2])
    kept = session(4)
    pinning.hold()
    facts = pinning.facts()
    assert len(facts["pool_cpus"]) == 3
    assert {cpus_of(listed) for listed in facts["pool_cpus"]} == {tuple(CPUS[:2])}
    assert facts["pinned"] is False
    assert facts["note"] == "4 threads share the 2 cores of the cluster"
    del kept


def test_without_cpus_nothing_is_moved_and_all_is_told():
    pinning = Pinning(())
    kept = session(2)
    pinning.hold()
    assert os.sched_getaffinity(0) == set(CPUS)
    facts = pinning.facts()
    assert facts["main_cpus"] == CPUS
    assert len(facts["pool_cpus"]) == 1
    assert (facts["cluster"], facts["pinned"], facts["note"]) == ([], False, "")
    del kept


def test_a_cpu_that_is_not_there_is_told():
    pinning = Pinning([CPUS[-1] + 500])
    pinning.hold()
    facts = pinning.facts()
    assert facts["pinned"] is False
    assert facts["note"].startswith("CPUs " + str(CPUS[-1] + 500) + " were refused: ")
    assert facts["main_cpus"] == CPUS


@two_cpus
def test_a_thread_that_moved_away_is_found_out():
    pinning = Pinning(CPUS[:2])
    kept = session(2)
    pinning.hold()
    os.sched_setaffinity(pinning.pool[0], CPUS[:2])
    assert pinning.facts()["pinned"] is False
    os.sched_setaffinity(pinning.pool[0], CPUS[:1])
    facts = pinning.facts()
    assert facts["note"] == f"thread 1 of the session shares CPU {CPUS[0]} with the calling thread"
    del kept


@two_cpus
def test_a_thread_started_later_is_held_by_the_next_call():
    pinning = Pinning(CPUS[:2])
    pinning.hold()
    leave = threading.Event()
    late = threading.Thread(target=leave.wait)
    late.start()
    try:
        # It inherited the one core of the thread that started it.
        assert pinning.facts()["pinned"] is False
        pinning.hold()
        assert pinning.facts()["pinned"] is True
    finally:
        leave.set()
        late.join()


def test_a_thread_that_has_gone_is_no_error(monkeypatch):
    pinning = Pinning(CPUS[:1])
    gone = 2**22 + 1  # above the highest id that the kernel gives
    monkeypatch.setattr(threads, "task_ids", lambda: pinning._before | {gone})
    pinning.hold()
    facts = pinning.facts()
    assert facts["pool_cpus"] == []
    assert facts["main_cpus"] == CPUS[:1]


@two_cpus
def test_callers_at_once_get_the_cores_that_the_session_leaves():
    pinning = Pinning(CPUS[:2])
    assert pinning.places_for_callers(2) == [(CPUS[0],), (CPUS[1],)]
    assert pinning.places_for_callers(3) == [tuple(CPUS[:2])] * 3
    kept = session(2)
    assert pinning.places_for_callers(1) == [(CPUS[0],)]
    assert pinning.places_for_callers(2) == [tuple(CPUS[:2])] * 2
    assert Pinning(()).places_for_callers(2) == [(), ()]
    del kept


@two_cpus
@pytest.mark.parametrize(("callers", "pinned"), [(2, True), (3, False)])
def test_callers_are_told_as_well(callers, pinned):
    pinning = Pinning(CPUS[:2])
    pinning.hold()
    places = pinning.places_for_callers(callers)
    for index in range(callers):
        caller = threading.Thread(target=pinning.hold_caller, args=(index, places[index]))
        caller.start()
        caller.join()
    assert pinning.facts()["pinned"] is pinned
    assert os.sched_getaffinity(0) == {CPUS[0]}


def test_a_cluster_of_more_cores_than_this_machine_has(monkeypatch):
    """Only what is asked of the kernel can be seen here: its answers are a double's."""
    pinning = Pinning([4, 5, 6, 7, 8])
    asked, pool = {}, [101, 102, 103]
    monkeypatch.setattr(threads, "task_ids", lambda: pinning._before | set(pool))
    monkeypatch.setattr(threads.os, "sched_setaffinity", lambda task, cpus: asked.update({task: tuple(cpus)}))
    monkeypatch.setattr(threads, "allowed_list", lambda task: str(asked.get(task, asked[0])[0]))
    pinning.hold()
    assert asked == {0: (4,), 101: (5,), 102: (6,), 103: (7,)}
    assert pinning.facts()["pinned"] is True
    # One core is left beside the calling thread's own.
    assert pinning.places_for_callers(2) == [(4,), (8,)]
    assert pinning.places_for_callers(3) == [(4, 5, 6, 7, 8)] * 3
    pool += [104, 105]
    pinning.hold()
    assert asked == {0: (4,), **dict.fromkeys(pool, (4, 5, 6, 7, 8))}
    assert pinning.facts()["note"] == "6 threads share the 5 cores of the cluster"


@two_cpus
def test_a_caller_that_is_still_there_is_no_thread_of_the_session():
    pinning = Pinning(CPUS[:2])
    held, leave = threading.Event(), threading.Event()

    def call():
        pinning.hold_caller(0, (CPUS[0],))
        held.set()
        leave.wait()

    caller = threading.Thread(target=call)
    caller.start()
    assert held.wait(30)
    try:
        assert pinning.pool == []
        assert pinning.facts()["pool_cpus"] == []
    finally:
        leave.set()
        caller.join()


@two_cpus
@pytest.mark.parametrize("count", [0, 2])
def test_a_trial_tells_where_its_threads_were(workshop, bench, count):
    ended = workshop.run(dict(bench.good_job(session={"intra_op_threads": count}), cpus=CPUS[:2]))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.facts["session"]["intra_op_threads"] == 2  # the cluster's size, not the core of the calling thread
    assert ended.facts["threads"]["main_cpus"] == CPUS[:1]
    assert ended.facts["threads"]["pool_cpus"] == [str(CPUS[1])]
    assert ended.facts["threads"]["pinned"] is True
    assert ended.tags == []


@two_cpus
def test_a_trial_with_more_threads_than_cores_is_tagged(workshop, bench):
    ended = workshop.run(dict(bench.good_job(session={"intra_op_threads": 2}), cpus=CPUS[:1]))
    assert ended.verdict == ("pass", "placement", "")
    assert ended.facts["threads"]["pinned"] is False
    assert ended.tags == ["not_pinned"]


def test_a_trial_that_is_not_to_be_pinned_moves_nothing(workshop, bench):
    ended = workshop.run(dict(bench.good_job(protocol={"pin_threads": False}), cpus=CPUS[:1]))
    assert ended.facts["threads"]["main_cpus"] == CPUS
    assert ended.facts["threads"]["pinned"] is False
    assert ended.tags == []
