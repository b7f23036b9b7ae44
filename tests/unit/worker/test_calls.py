"""The cheapest call is used where it works, found out where it does not, and told either way."""

from __future__ import annotations

import os
import signal

import pytest

np = pytest.importorskip("numpy")
onnxruntime = pytest.importorskip("onnxruntime")

from edgesweep_worker import call_probe, null_model  # noqa: E402 - onnxruntime must be there first
from edgesweep_worker.calls import WAYS, make_call  # noqa: E402

CHAIN = [("CPUExecutionProvider", {})]
ONES = np.ones((1, 8), dtype=np.float32)


def open_session(model=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model or null_model.add_model(), options, providers=["CPUExecutionProvider"])


class Wrapped:
    """A session, or its inner one, of which some names are others or are not there."""

    def __init__(self, real, **other):
        self._real = real
        self._other = other

    def __getattr__(self, name):
        if name in self._other:
            if self._other[name] is None:
                raise AttributeError(name)
            return self._other[name]
        return getattr(self._real, name)


def refuse(*arguments):
    raise TypeError("run_with_iobinding(): incompatible function arguments")


def with_idle_inner():
    """The inner call runs the model twice, and from then on leaves the outputs as they are."""
    session = open_session()
    left = [session._sess.run_with_iobinding] * 2
    return Wrapped(
        session, _sess=Wrapped(session._sess, run_with_iobinding=lambda *given: left.pop()(*given) if left else None)
    )


def crash(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def without_inner():
    return Wrapped(open_session(), _sess=None)


def with_inner(run_with_iobinding):
    session = open_session()
    return Wrapped(session, _sess=Wrapped(session._sess, run_with_iobinding=run_with_iobinding))


class Runtime:
    """onnxruntime with sessions whose inner call is broken in one way."""

    def __init__(self, make):
        self.InferenceSession = lambda model, options, providers: make()

    def __getattr__(self, name):
        return getattr(onnxruntime, name)


def test_the_cheapest_call_is_the_inner_one_with_kept_options():
    session = open_session()
    call = make_call(onnxruntime, session, {"x": ONES}, "bound", CHAIN)
    call.run()
    assert call.way == "raw_binding"
    assert call.function == session._sess.run_with_iobinding
    assert isinstance(call.second, onnxruntime.RunOptions)
    assert (call.outputs()["y"] == 2).all()


def test_the_public_call_has_the_entry_that_it_looks_for():
    call = make_call(onnxruntime, open_session(), {"x": ONES}, "bound", CHAIN, "binding")
    call.run()
    assert call.way == "binding"
    assert call.second.get_run_config_entry("gpu_graph_id") == "-1"
    assert (call.outputs()["y"] == 2).all()


@pytest.mark.parametrize("make", [without_inner, lambda: with_inner(None), lambda: with_inner(refuse)])
@pytest.mark.parametrize("way", ["", "raw_binding"])
def test_a_closed_inner_call_is_given_up_for_the_public_one(make, way):
    call = make_call(onnxruntime, make(), {"x": ONES}, "bound", CHAIN, way)
    call.run()
    assert call.way == "binding"
    assert (call.outputs()["y"] == 2).all()
    assert call.settle()
    assert (call.run_afresh()["y"] == 2).all()


def test_a_public_call_that_refuses_is_an_error():
    session = Wrapped(open_session(), _sess=None, run_with_iobinding=refuse)
    with pytest.raises(TypeError):
        make_call(onnxruntime, session, {"x": ONES}, "bound", CHAIN).run()


def test_a_failure_of_the_model_closes_no_way():
    helper = pytest.importorskip("onnx").helper
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"])]
    kinds = [("x", 1, [3]), ("i", 7, [1])]
    infos = [helper.make_tensor_value_info(*kind) for kind in kinds]
    graph = helper.make_graph(nodes, "g", infos, [helper.make_tensor_value_info("y", 1, [1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    inputs = {"x": np.ones(3, dtype=np.float32), "i": np.array([7])}
    call = make_call(onnxruntime, open_session(model.SerializeToString()), inputs, "bound", CHAIN)
    with pytest.raises(Exception, match="Gather"):
        call.run()
    assert call.way == "raw_binding"


def test_every_way_works_on_this_runtime_and_the_probe_tells_the_cheapest():
    found = call_probe.probe_calls(onnxruntime)
    assert set(found["call_costs_s"]) == set(WAYS)
    assert all(0 < cost < 1 for cost in found["call_costs_s"].values())
    assert found["call"] == call_probe.cheapest(found["call_costs_s"], WAYS)
    assert found["harness_floor_s"] == found["call_costs_s"][found["call"]]


@pytest.mark.parametrize(
    "make",
    [
        without_inner,
        with_idle_inner,
        lambda: with_inner(refuse),
        lambda: with_inner(crash),
    ],
)
def test_the_probe_finds_out_an_inner_call_that_is_not_what_it_was(make):
    found = call_probe.probe_calls(Runtime(make))
    assert set(found["call_costs_s"]) == {"binding", "run"}
    assert found["call"] in {"binding", "run"}


def test_an_answer_of_the_call_before_is_no_answer():
    assert set(call_probe.working_calls(Runtime(with_idle_inner), WAYS)) == {"binding", "run"}


def test_a_runtime_without_any_working_call_has_none():
    def nothing():
        raise RuntimeError("no session")

    found = call_probe.probe_calls(Runtime(nothing))
    assert found == {"call": "", "call_costs_s": {}, "harness_floor_s": None}


@pytest.mark.parametrize(
    ("costs", "call"),
    [
        ({}, ""),
        ({"raw_binding": 1.0, "binding": 2.0, "run": 4.0}, "raw_binding"),
        ({"raw_binding": 1.04, "binding": 1.0}, "raw_binding"),
        ({"raw_binding": 1.06, "binding": 1.0}, "binding"),
        ({"binding": 2.0, "run": 4.0}, "binding"),
        ({"run": 4.0}, "run"),
    ],
)
def test_the_earlier_way_is_taken_unless_it_really_costs_more(costs, call):
    assert call_probe.cheapest(costs, WAYS) == call


@pytest.mark.parametrize(
    ("call", "told", "cost", "io_mode", "tags"),
    [
        ("", "raw_binding", None, "bound", []),
        ("raw_binding", "raw_binding", 0.25, "bound", []),
        ("binding", "binding", 0.25, "bound", ["call_fallback"]),
        ("run", "run", 0.25, "host", ["io_mode_not_honoured", "call_fallback"]),
        ("of a newer agent", "raw_binding", None, "bound", []),
    ],
)
def test_a_trial_uses_and_tells_the_call_that_the_probe_found(workshop, bench, call, told, cost, io_mode, tags):
    ended = workshop.run(dict(bench.good_job(), call=call, call_cost_s=0.25))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert {key: ended.facts["session"][key] for key in ("call", "call_cost_s", "io_mode")} == {
        "call": told,
        "call_cost_s": cost,
        "io_mode": io_mode,
    }
    assert ended.tags == tags


def test_mode_host_has_one_call_only_and_no_fallback(workshop, bench):
    ended = workshop.run(dict(bench.good_job(protocol={"io_mode": "host"}), call="binding", call_cost_s=0.25))
    assert ended.facts["session"]["call"] == "run"
    assert ended.facts["session"]["call_cost_s"] is None
    assert ended.tags == []


def test_a_trial_whose_inner_call_is_closed_goes_on_with_the_public_one(own_workshop, bench):
    # What a newer onnxruntime may do: the inner binding has another name.
    folder = own_workshop.folder / "onnxruntime"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import sys, importlib\n"
        "own = sys.path.pop(0)\n"
        "del sys.modules['onnxruntime']\n"
        "real = importlib.import_module('onnxruntime')\n"
        "sys.path.insert(0, own)\n"
        "class Inner:\n"
        "    def __init__(self, real): self.real = real\n"
        "    def __getattr__(self, name): return getattr(self.real, name)\n"
        "    def run_with_iobinding(self, binding, options, more): return self.real.run_with_iobinding(binding, options)\n"
        "bind = real.InferenceSession.io_binding\n"
        "def make(self):\n"
        "    binding = bind(self)\n"
        "    self._sess = Inner(self._sess)\n"
        "    return binding\n"
        "real.InferenceSession.io_binding = make\n"
        "real.InferenceSession.run_with_iobinding = lambda self, binding, options=None: (\n"
        "    self._sess.run_with_iobinding(binding._iobinding, options, 1))\n"
    )
    ended = own_workshop.run(dict(bench.good_job(), call="raw_binding", call_cost_s=0.0))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert (ended.facts["session"]["call"], ended.facts["session"]["call_cost_s"]) == ("binding", None)
    assert ended.tags == ["call_fallback"]
