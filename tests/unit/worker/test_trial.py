"""Whole trials in a real worker process: what passes, and every way to fail with its cause."""

from __future__ import annotations

import array
import os
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = onnx.helper

ALL_STAGES = ["load", "first_run", "verify", "warmup", "measure", "placement"]


def test_a_right_model_passes_with_every_fact(workshop, bench):
    ended = workshop.run(bench.good_job())
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.status == 0
    assert ended.stages == ALL_STAGES
    facts = ended.facts
    assert facts["session"] == {
        "runtime_version": onnxruntime.__version__,
        "providers": ["CPUExecutionProvider"],
        "intra_op_threads": 1,
        "graph_optimization": "all",
        "io_mode": "bound",
        "call": "raw_binding",
        "call_cost_s": None,
        "no_cpu_arena": False,
        "provider_options": [{"name": "CPUExecutionProvider", "options": {}}],
    }
    cold = dict(facts["cold_start"])
    assert all(cold.pop(step) > 0 for step in ("import_s", "session_s", "first_run_s", "second_run_s"))
    assert cold.pop("page_cache") in {"warm", "mixed", "cold"}
    assert 0 <= cold.pop("resident_share") <= 1
    assert cold == {"provider_load_s": None, "provider_cache": "none"}
    assert [phase["phase"] for phase in facts["memory"]] == [
        "session_peak",
        "first_run_peak",
        "steady_peak",
        "retained",
    ]
    assert all(phase["size_bytes"] > 0 for phase in facts["memory"])
    assert "runs 2 to 10" in facts["memory"][2]["method"]
    assert facts["numerics"]["outputs_compared"] == 1
    assert facts["numerics"]["max_absolute_error"] < 1e-6
    assert facts["numerics"]["first_offender"] == ""
    assert facts["accounting"]["wall_s"] > 0
    assert facts["placement"]["method"] in {"assignment", "profile"}
    (share,) = facts["placement"]["shares"]
    assert share["provider"] == "CPUExecutionProvider"
    assert share["nodes"] >= 1
    assert len(facts["placement"]["hash"]) == 64
    assert ended.tags == []


def test_an_untimed_trial_ends_when_the_answer_is_checked_and_the_nodes_are_found(workshop, bench):
    ended = workshop.run(bench.good_job(protocol={"untimed": True}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.stages == ["load", "first_run", "verify", "placement"]
    assert set(ended.facts) >= {"session", "memory", "numerics", "placement"}
    assert not {"cold_start", "samples", "accounting"} & set(ended.facts)
    (share,) = ended.facts["placement"]["shares"]
    assert share["provider"] == "CPUExecutionProvider"
    assert share["nodes"] >= 1
    asks = hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")
    assert ended.facts["placement"]["method"] == ("assignment" if asks else "profile")
    assert not bench.samples.exists()


def test_an_untimed_trial_still_finds_a_wrong_answer(workshop, bench):
    model = bench.affine()
    job = bench.job(model.path, {"x": model.x}, {"y": model.y + 1}, protocol={"untimed": True})
    assert workshop.run(job).verdict == ("failed", "verify", "wrong_output")


def test_facts_that_cost_memory_come_before_the_timing(workshop, bench):
    ended = workshop.run(bench.good_job())
    order = [
        next(iter(set(event) - {"event"})) if event["event"] == "facts" else event.get("stage")
        for event in ended.events
    ]
    assert order.index("memory") < order.index("measure")
    assert order.index("cold_start") < order.index("measure")
    assert order.index("samples") > order.index("measure")


def test_the_samples_file_holds_warmup_then_measured_and_both_floors_hold(workshop, bench):
    protocol = {
        "warmup_min_runs": 7,
        "warmup_min_s": 0.01,
        "min_inferences": 50,
        "min_duration_s": 0.05,
        "max_inferences": 10**9,
        "max_duration_s": 100.0,
    }
    ended = workshop.run(bench.good_job(protocol=protocol))
    told = ended.facts["samples"]
    samples = array.array("q")
    samples.frombytes(bench.samples.read_bytes())
    assert len(samples) == told["warmup_count"] + told["measured_count"]
    assert min(samples) > 0
    assert told["warmup_count"] * told["batch"] >= 7
    assert told["measured_count"] * told["batch"] >= 50
    assert told["stop_reason"] == "floors_met"
    assert ended.facts["accounting"]["wall_s"] >= 0.05
    assert not list(bench.folder.glob("*.part"))


@pytest.mark.parametrize(
    ("protocol", "reason", "most"),
    [
        ({"min_inferences": 1000, "max_inferences": 40}, "max_inferences", 40),
        ({"min_duration_s": 60.0, "max_inferences": 40}, "max_inferences", 40),
        ({"min_inferences": 10**9, "max_inferences": 10**9, "max_duration_s": 0.02}, "max_duration", 10**8),
    ],
)
def test_a_cap_ends_the_loop_before_the_floors(workshop, bench, protocol, reason, most):
    told = workshop.run(bench.good_job(protocol=protocol)).facts["samples"]
    assert told["stop_reason"] == reason
    assert 1 <= told["measured_count"] * told["batch"] <= most


def test_host_mode_and_session_options_are_read_back(workshop, bench):
    session = {"intra_op_threads": 2, "graph_optimization": "basic", "no_cpu_arena": True}
    ended = workshop.run(bench.good_job(protocol={"io_mode": "host"}, session=session))
    assert ended.verdict == ("pass", "placement", "")
    assert ended.facts["session"]["io_mode"] == "host"
    assert ended.facts["session"]["intra_op_threads"] == 2
    assert ended.facts["session"]["graph_optimization"] == "basic"
    assert ended.facts["session"]["no_cpu_arena"] is True
    assert ended.tags == []  # so a second thread was really started


def test_zero_threads_means_one_per_cpu_of_the_mask(workshop, bench):
    ended = workshop.run(bench.good_job(session={"intra_op_threads": 0}))
    assert ended.facts["session"]["intra_op_threads"] == len(os.sched_getaffinity(0))
    assert ended.tags == []


def test_string_inputs_cannot_be_bound_and_the_session_facts_say_so(workshop, bench):
    text = onnx.TensorProto.STRING
    path = bench.save("strings", [helper.make_node("Identity", ["x"], ["y"])], {"x": (text, [2])}, {"y": (text, [2])})
    ended = workshop.run(bench.job(path, {"x": np.array(["a", "b"])}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.facts["session"]["io_mode"] == "host"
    assert "io_mode_not_honoured" in ended.tags


def test_dynamic_dimensions_take_any_size(workshop, bench):
    path = bench.save("twice", [helper.make_node("Add", ["x", "x"], ["y"])], {"x": ["n", 3]}, {"y": ["n", 3]})
    x = np.ones((5, 3), dtype=np.float32)
    assert workshop.run(bench.job(path, {"x": x}, {"y": 2 * x})).verdict == ("pass", "placement", "")


def test_outputs_whose_shape_depends_on_the_data(workshop, bench):
    path = bench.save(
        "nonzero",
        [helper.make_node("NonZero", ["x"], ["y"])],
        {"x": [4]},
        {"y": (onnx.TensorProto.INT64, [1, "found"])},
    )
    x = np.array([0, 1, 0, 2], dtype=np.float32)
    ended = workshop.run(bench.job(path, {"x": x}, {"y": np.array([[1, 3]])}))
    assert ended.verdict == ("pass", "placement", ""), ended.end


def test_a_wrong_answer_is_never_timed(workshop, bench):
    model = bench.affine()
    wrong = model.y.copy()
    wrong[1, 2] += 0.01
    ended = workshop.run(bench.job(model.path, {"x": model.x}, {"y": wrong}))
    assert ended.verdict == ("failed", "verify", "wrong_output")
    assert ended.end["message"].startswith("y[1,2]: ")
    assert ended.facts["numerics"]["first_offender"] == ended.end["message"]
    assert ended.facts["numerics"]["max_absolute_error"] == pytest.approx(0.01, rel=1e-3)
    assert ended.stages == ["load", "first_run", "verify"]
    assert not bench.samples.exists()
    assert "samples" not in ended.facts
    assert "cold_start" not in ended.facts


def test_an_output_that_goes_wrong_later_leaves_no_samples(own_workshop, bench, shadow_onnxruntime):
    # A runtime that is right at first and wrong after some runs, as accelerators under heat have been seen to be.
    shadow_onnxruntime(
        own_workshop,
        "import itertools\n"
        "count = itertools.count(1)\n"
        "run = real.InferenceSession.run\n"
        "real.InferenceSession.run = lambda self, names, feed, options=None: [\n"
        "    part + (next(count) > 15) for part in run(self, names, feed, options)]\n",
    )
    ended = own_workshop.run(bench.good_job(protocol={"io_mode": "host"}))
    assert ended.verdict == ("failed", "measure", "wrong_output")
    assert "wrong after the timed runs" in ended.end["message"]
    assert not bench.samples.exists()


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("wrong", range(1, 5))
def test_every_caller_has_to_be_right_in_the_timed_runs_and_after_them(
    own_workshop, bench, shadow_onnxruntime, concurrency, wrong
):
    # Outputs are looked at once before the timing, then twice for each thread: as it left them, and of one more run.
    shadow_onnxruntime(
        own_workshop,
        "import itertools\n"
        "count = itertools.count()\n"
        "copy = real.IOBinding.copy_outputs_to_cpu\n"
        "real.IOBinding.copy_outputs_to_cpu = lambda self: [\n"
        f"    part + (next(count) == {wrong}) for part in copy(self)]\n",
    )
    ended = own_workshop.run(bench.good_job(protocol={"concurrency": concurrency}))
    if wrong <= 2 * concurrency:
        assert ended.verdict == ("failed", "measure", "wrong_output")
        assert not bench.samples.exists()
    else:
        assert ended.verdict == ("pass", "placement", "")


def test_nan_where_the_reference_has_a_number(workshop, bench):
    path = bench.save("log", [helper.make_node("Log", ["x"], ["y"])], {"x": [3]}, {"y": [3]})
    x = np.array([1, -1, 1], dtype=np.float32)
    ended = workshop.run(bench.job(path, {"x": x}, {"y": np.zeros(3, dtype=np.float32)}))
    assert ended.verdict == ("failed", "verify", "nan_output")
    assert ended.end["message"].startswith("y[1]: NaN")
    assert not bench.samples.exists()


def test_without_references_nothing_is_verified_but_all_nan_is_told(workshop, bench):
    path = bench.save("log", [helper.make_node("Log", ["x"], ["y"])], {"x": [3]}, {"y": [3]})
    ended = workshop.run(bench.job(path, {"x": -np.ones(3, dtype=np.float32)}))
    assert ended.verdict == ("pass", "placement", "")
    assert "verify" not in ended.stages
    assert "numerics" not in ended.facts
    assert ended.tags == ["all_nan:y"]


@pytest.mark.parametrize("references", [{}, {"y": np.array([0, np.nan, 0], dtype=np.float32)}])
def test_nan_among_the_numbers_is_told_even_where_it_belongs(workshop, bench, references):
    path = bench.save("log", [helper.make_node("Log", ["x"], ["y"])], {"x": [3]}, {"y": [3]})
    ended = workshop.run(bench.job(path, {"x": np.array([1, -1, 1], dtype=np.float32)}, references))
    assert ended.verdict == ("pass", "placement", "")
    assert ended.tags == ["some_nan:y"]


def test_numbers_that_become_nan_while_they_are_timed_leave_no_samples(own_workshop, bench, shadow_onnxruntime):
    # There is no reference to hold the outputs against: the first run is one.
    shadow_onnxruntime(
        own_workshop,
        "import itertools\n"
        "count = itertools.count(1)\n"
        "run = real.InferenceSession.run\n"
        "real.InferenceSession.run = lambda self, names, feed, options=None: [\n"
        "    part * (float('nan') if next(count) > 15 else 1) for part in run(self, names, feed, options)]\n",
    )
    model = bench.affine()
    ended = own_workshop.run(bench.job(model.path, {"x": model.x}, protocol={"io_mode": "host"}))
    assert ended.verdict == ("failed", "measure", "nan_output")
    assert ended.end["message"] == "y: numbers at first, NaN after the timed runs"
    assert not bench.samples.exists()


def test_a_truncated_model(workshop, bench):
    model = bench.affine()
    model.path.write_bytes(model.path.read_bytes()[:-20])
    ended = workshop.run(bench.job(model.path, {"x": model.x}))
    assert ended.verdict == ("failed", "load", "invalid_model_file")


@pytest.mark.parametrize("content", [b"", b"this is no model at all"])
def test_a_file_that_is_no_model(workshop, bench, content):
    model = bench.affine()
    model.path.write_bytes(content)
    ended = workshop.run(bench.job(model.path, {"x": model.x}))
    assert ended.verdict == ("failed", "load", "invalid_model_file")


def test_opset_too_new(workshop, bench):
    model = bench.affine(opset=999)
    ended = workshop.run(bench.job(model.path, {"x": model.x}))
    assert ended.verdict == ("failed", "load", "opset_unsupported")
    assert "opset 999 of ai.onnx" in ended.end["message"]
    assert ended.tags == []


def test_ir_version_too_new(workshop, bench):
    model = bench.affine(ir=99)
    ended = workshop.run(bench.job(model.path, {"x": model.x}))
    assert ended.verdict == ("failed", "load", "ir_unsupported")
    assert "IR version 99" in ended.end["message"]
    assert ended.tags == []


def test_opset_and_ir_version_too_new_are_both_told(workshop, bench):
    model = bench.affine(opset=999, ir=99)
    ended = workshop.run(bench.job(model.path, {"x": model.x}))
    assert ended.verdict == ("failed", "load", "opset_unsupported")
    assert ended.tags == ["also:ir_unsupported"]


def test_an_operator_that_nobody_knows(workshop, bench):
    path = bench.save("bogus", [helper.make_node("Bogus", ["x"], ["y"])], {"x": [1]}, {"y": [1]})
    ended = workshop.run(bench.job(path, {"x": np.ones(1, dtype=np.float32)}))
    assert ended.verdict == ("failed", "load", "unsupported_op")
    assert "Bogus" in ended.end["message"]


def test_a_graph_that_does_not_hold_together(workshop, bench):
    path = bench.save("loose", [helper.make_node("Relu", ["nowhere"], ["y"])], {"x": [1]}, {"y": [1]})
    ended = workshop.run(bench.job(path, {"x": np.ones(1, dtype=np.float32)}))
    assert ended.verdict == ("failed", "load", "invalid_graph")
    assert "nowhere" in ended.end["evidence"]
    diagnosis = ended.facts["diagnosis"]
    assert (diagnosis["evidence"], diagnosis["pattern"]) == ("message", "graph-loose/1")
    assert (diagnosis["status"], diagnosis["subject"]) == ("INVALID_ARGUMENT", "nowhere")


@pytest.mark.parametrize("content", [None, b"1234"])
def test_external_data_missing_or_too_short(workshop, bench, content):
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    path = bench.save("external", [helper.make_node("Add", ["x", "w"], ["y"])], {"x": [4]}, {"y": [4]}, [tensor])
    if content is not None:
        (bench.folder / "weights.bin").write_bytes(content)
    ended = workshop.run(bench.job(path, {"x": np.ones(4, dtype=np.float32)}))
    assert ended.verdict == ("failed", "load", "external_data_missing")
    assert "weights.bin" in ended.end["message"]


def test_an_absent_first_provider_never_runs_on_the_cpu(workshop, bench):
    providers = [{"name": "CUDAExecutionProvider"}, {"name": "CPUExecutionProvider"}]
    job = dict(bench.good_job(), providers=providers)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this runtime has CUDA")
    ended = workshop.run(job)
    assert ended.verdict == ("failed", "load", "provider_unavailable")
    assert ended.stages == ["load"]
    assert "CPUExecutionProvider" in ended.end["evidence"]
    assert not bench.samples.exists()


def test_an_absent_later_provider_is_told(workshop, bench):
    job = dict(bench.good_job(), providers=[{"name": "CPUExecutionProvider"}, {"name": "QNNExecutionProvider"}])
    ended = workshop.run(job)
    assert ended.verdict == ("pass", "placement", "")
    assert ended.tags == ["provider_missing:QNNExecutionProvider"]


def test_a_listed_provider_that_gets_no_node_is_a_fallback(workshop, bench):
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this runtime does not list AzureExecutionProvider")
    ended = workshop.run(dict(bench.good_job(), providers=[{"name": "AzureExecutionProvider"}]))
    assert ended.verdict == ("fallback", "placement", "no_nodes")
    assert {share["provider"]: share["nodes"] for share in ended.facts["placement"]["shares"]}[
        "AzureExecutionProvider"
    ] == 0


@pytest.mark.parametrize(
    ("provider", "verdict"),
    [
        ("CPUExecutionProvider", ("pass", "placement", "")),
        ("AzureExecutionProvider", ("fallback", "placement", "no_nodes")),
    ],
)
def test_a_model_that_is_all_constants_has_no_node_to_run(workshop, bench, provider, verdict):
    """The profile is whole and shows none: that is known, and no trouble of the runtime's."""
    if provider not in onnxruntime.get_available_providers():
        pytest.skip(f"this runtime does not list {provider}")
    one = onnx.numpy_helper.from_array(np.ones(2, dtype=np.float32), "one")
    path = bench.save("constant", [onnx.helper.make_node("Add", ["one", "one"], ["y"])], {"x": [2]}, {"y": [2]}, [one])
    job = bench.job(path, {"x": np.ones(2, dtype=np.float32)}, providers=(provider,))
    ended = workshop.run(job)
    assert ended.verdict == verdict
    assert (ended.facts["placement"]["method"], "placement_unknown" in ended.tags) == ("profile", False)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": np.ones((3, 4), dtype=np.float32)}, "shape [3, 4]"),
        ({"x": np.ones(8, dtype=np.float32)}, "shape [8]"),
        ({"x": np.ones((2, 4), dtype=np.float64)}, "float64"),
        ({}, "input x is missing"),
        ({"x": np.ones((2, 4), dtype=np.float32), "z": np.ones(1, dtype=np.float32)}, "no input z"),
    ],
)
def test_inputs_that_do_not_fit(workshop, bench, inputs, words):
    ended = workshop.run(bench.job(bench.affine().path, inputs))
    assert ended.verdict == ("failed", "load", "shape_mismatch")
    assert words in ended.end["message"]


def test_pickles_are_not_read(workshop, bench):
    job = bench.good_job()
    np.save(job["inputs"][0]["path"], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    ended = workshop.run(job)
    assert ended.verdict == ("failed", "load", "shape_mismatch")
    assert "not a readable .npy" in ended.end["message"]


def test_a_failure_while_running(workshop, bench):
    path = bench.save(
        "gather",
        [helper.make_node("Gather", ["x", "i"], ["y"])],
        {"x": [3], "i": (onnx.TensorProto.INT64, [1])},
        {"y": [1]},
    )
    ended = workshop.run(bench.job(path, {"x": np.ones(3, dtype=np.float32), "i": np.array([7])}))
    assert ended.verdict == ("failed", "first_run", "run_error")
    assert "Gather" in ended.end["evidence"]
    diagnosis = ended.facts["diagnosis"]
    assert diagnosis["pattern"] == "node-value/1"
    assert diagnosis["operator"]["name"] == "Gather"


def test_a_failure_that_no_pattern_knows_is_unknown_with_its_words_and_a_hash(own_workshop, bench, shadow_onnxruntime):
    raised = "raise RuntimeError('the frob at 0x7f00 of /dev/frob3 went away while running Mul node. Name:\\'m\\' x')"
    shadow_onnxruntime(own_workshop, "def refuse(*_, **__): " + raised + "\nreal.InferenceSession = refuse\n")
    ended = own_workshop.run(bench.good_job())
    assert ended.verdict == ("failed", "load", "unknown")
    assert "/dev/frob3" in ended.end["evidence"]
    diagnosis = ended.facts["diagnosis"]
    assert diagnosis["normalised"] == "the frob at <hex> of <path> went away while running Mul node. Name:<name> x"
    assert len(diagnosis["message_hash"]) == 64
    assert diagnosis["pattern"] == ""


def test_running_out_of_memory(workshop, bench):
    shape = onnx.numpy_helper.from_array(np.array([1 << 17, 1 << 17, 64]), "shape")
    path = bench.save(
        "expand", [helper.make_node("Expand", ["x", "shape"], ["y"])], {"x": [1]}, {"y": ["a", "b", "c"]}, [shape]
    )
    ended = workshop.run(bench.job(path, {"x": np.ones(1, dtype=np.float32)}))
    assert ended.verdict == ("failed", "first_run", "oom")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_disk_without_room_for_the_samples_says_nothing_about_the_model(workshop, bench):
    Path(str(bench.samples) + ".part").symlink_to("/dev/full")
    ended = workshop.run(bench.good_job())
    assert ended.verdict == ("interrupted", "measure", "disk_full")
    assert "No space left" in ended.end["message"]
    assert ended.facts["cold_start"]
    assert "samples" not in ended.facts
    assert ended.status == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_profile_cut_short_by_a_full_disk_is_told_from_one_without_nodes(tmp_path):
    from edgesweep_worker import placement

    profile = tmp_path / "profile.json"
    profile.write_text('[{"cat": "Ses')
    assert placement._read_profile(str(profile)) == []
    (tmp_path / "room").unlink()
    (tmp_path / "room").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        placement._read_profile(str(profile))


def test_an_input_that_is_not_there_says_nothing_about_the_model(workshop, bench):
    job = bench.good_job()
    Path(job["inputs"][0]["path"]).unlink()
    assert workshop.run(job).verdict == ("interrupted", "load", "interrupted")
