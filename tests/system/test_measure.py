"""`edgesweep measure` as people call it: real processes, a real onnxruntime, and no agent."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

SHORT = ("--preset", "smoke", "--duration", "0.3")


@pytest.fixture
def file(lab) -> Path:
    """`y = x @ w` on x of (batch, 8), in a home that has neither agent nor inventory."""
    weight = numpy_helper.from_array(np.arange(24, dtype=np.float32).reshape(8, 3) / 24, "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    path = lab.root / "dense.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def measured(lab, *args: str, code: int = 0) -> dict:
    done = lab.cli("measure", *args, "-o", "json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_the_numbers_are_those_of_a_cell_in_the_result_document(lab, file):
    doc = measured(lab, str(file), *SHORT, "--trials", "2", "--shape", "batch=4", "--threads", "2", "--seed", "3")
    assert doc["schema_version"] == 1
    assert doc["name"].startswith("local/dense/none-opset17-asis-fp32/")
    assert doc["name"].endswith("/cpu/batch4/t2")
    assert (doc["outcome"], doc["produced"]["opset"], doc["produced"]["nodes"]) == ("pass", 17, 1)
    assert doc["latency_s"]["median"] > 0
    assert [trial["outcome"] for trial in doc["trials"]] == ["pass", "pass"]
    assert doc["memory_bytes"]["session_peak"] >= 0
    assert doc["cold_start_s"]["session"] > 0
    assert [(share["provider"], share["nodes"]) for share in doc["placement"]["shares"]] == [
        ("CPUExecutionProvider", 1)
    ]
    assert doc["inputs"][0]["shape"] == [4, 8]
    assert doc["machine"]["facts"]["name"] == "local"
    assert doc["machine"]["runtimes"][0]["harness_floor_s"] > 0
    assert doc["verdict"] in {"trusted", "doubtful", "invalid"}
    # The machine that is measured is this one, and nothing of ours runs beside the trial (docs/adr/0006).
    assert "shared_host" not in doc["tags"]
    assert not any("shared host" in reason for reason in doc["reasons"])
    other = measured(lab, str(file), *SHORT, "--shape", "batch=4", "--seed", "4")
    assert other["inputs"][0]["sha256"] != doc["inputs"][0]["sha256"]


def test_the_table_is_no_wider_than_a_page_and_progress_goes_to_stderr(lab, file):
    done = lab.cli("-v", "measure", str(file), *SHORT, "--trials", "2", "--node-profile")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    for word in ("latency", "p99", "memory", "cold start", "placement", "floor", "sha256", "in nodes", "single trial"):
        assert (word in done.stdout) == (word != "single trial")
    stages = [line.split("]")[1].strip() for line in done.stderr.splitlines() if line.startswith("[")]
    # Nothing is written between the announcement of the timed part and its end: the next stage or trial.
    assert stages.count("measure") == 2
    assert all(stages[at + 1] == "placement" for at, stage in enumerate(stages) if stage == "measure")
    assert lab.cli("-q", "measure", str(file), *SHORT).stderr == ""


def test_iterations_are_counted_to_the_last_whole_batch_and_given_arrays_are_fed(lab, file):
    x = np.linspace(0, 1, 16, dtype=np.float32).reshape(2, 8)
    np.savez(lab.root / "in.npz", x=x)
    np.savez(lab.root / "out.npz", y=np.zeros((2, 3), np.float32))
    saved = io.BytesIO()
    np.save(saved, x)
    doc = measured(lab, str(file), "--preset", "smoke", "--iterations", "50", "--inputs", "in.npz", "--io", "host")
    ((count, batch),) = ((trial["samples"]["measured_count"], trial["samples"]["batch"]) for trial in doc["trials"])
    assert 50 - batch < count * batch <= 50
    assert not any("few samples" in reason for reason in doc["reasons"])
    assert (doc["inputs"][0]["shape"], doc["inputs"][0]["size_bytes"]) == ([2, 8], len(saved.getvalue()))
    assert doc["io_mode"] == "host"
    wrong = measured(lab, str(file), *SHORT, "--inputs", "in.npz", "--references", "out.npz", code=1)
    assert (wrong["outcome"], wrong["stage"], wrong["cause"]) == ("failed", "check", "wrong_output")


def test_a_model_that_fails_is_a_finding_with_stage_cause_and_remedy(lab, file):
    done = lab.cli("measure", str(file), *SHORT, "--ep", "cuda")
    assert done.returncode == 1, done.stderr
    assert "failed at load: provider_unavailable" in done.stdout
    assert "-> install a runtime" in done.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("gone.onnx",), "there is no file gone.onnx"),
        (("junk.onnx",), "junk.onnx is not a whole ONNX model"),
        (("dense.onnx", "--shape", "width=3"), "'width' is no input and no dynamic dimension of the file"),
        (("dense.onnx", "--inputs", "junk.onnx"), "junk.onnx is no .npz file"),
        (("dense.onnx", "--inputs", "off.npz"), "'x' in off.npz has the shape [2, 9], and the model takes [batch, 8]"),
        (("dense.onnx", "--inputs", "off.npz", "--shape", "batch=2"), "--shape and --inputs both give the sizes"),
        (("dense.onnx", "--references", "off.npz"), "--references are the outputs for given inputs"),
        (("dense.onnx", "--ep", "gpu"), "unknown provider 'gpu'"),
        (("dense.onnx", "--runtime", "no/python"), "'no/python' is no program that can be run"),
        (("dense.onnx", "--runtime", "/bin/sh"), "/bin/sh cannot be measured with"),
        (("dense.onnx", "--period", "1", "--concurrency", "2"), "--period starts one inference at a time"),
        (("dense.onnx", "--duration", "0"), "--duration"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence_and_a_remedy(lab, file, args, words):
    (lab.root / "junk.onnx").write_text("no model")
    np.savez(lab.root / "off.npz", x=np.zeros((2, 9), np.float32))
    done = lab.cli("measure", *args)
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert len(said) == 2
    assert said[0].startswith("error: ")
    assert words in said[0]
    assert said[1].startswith("remedy: ")
    assert done.stdout == ""


def test_another_interpreter_s_onnxruntime_is_measured_with(lab, file, tmp_path):
    other = tmp_path / "other" / "python"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    doc = measured(lab, str(file), *SHORT, "--runtime", str(other))
    assert doc["outcome"] == "pass"
    assert len(doc["machine"]["runtimes"]) == 2


def wait_for(process, word: str) -> None:
    for line in process.stderr:
        if line.rstrip().endswith(word):
            return
    pytest.fail(f"it ended without {word}")


def measuring(lab, file):
    process = lab.start_cli("-v", "measure", str(file), "--preset", "smoke", "--duration", "90")
    wait_for(process, "measure")
    return process, psutil.Process(process.pid).children(recursive=True)


def test_ctrl_c_ends_it_and_leaves_no_worker_behind(lab, file):
    process, children = measuring(lab, file)
    # The worker and, where there is a core for it, the sampler: what checked the file has ended.
    commands = [" ".join(child.cmdline()) for child in children]
    assert [command for command in commands if "/worker/" in command and "run.py" in command], commands
    assert not [command for command in commands if "edgesweep.export" in command], commands
    # Neither this process nor the worker listens or is connected to anything.
    assert [found.net_connections() for found in (psutil.Process(process.pid), *children)] == [[]] * (1 + len(children))
    busy = lab.cli("measure", str(file), *SHORT)
    assert busy.returncode == 4, busy.stderr
    assert "another `edgesweep measure` runs on this machine" in busy.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert "interrupted" in process.stderr.read()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert measured(lab, str(file), *SHORT)["outcome"] == "pass"


def test_a_kill_leaves_no_worker_behind_and_nothing_in_the_way_of_the_next(lab, file):
    process, children = measuring(lab, file)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    doc = measured(lab, str(file), *SHORT)
    assert (doc["outcome"], len(doc["trials"])) == ("pass", 1)
