"""Each provider is tried in a process of its own, whose end is a finding."""

from __future__ import annotations

import os
import signal

import pytest

onnxruntime = pytest.importorskip("onnxruntime")

from edgesweep_worker import provider_probe  # noqa: E402 - onnxruntime must be there first

CPU = "CPUExecutionProvider"


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Runs `question` where a provider is tried, and gives what the probe makes of it."""

    def try_it(question, seconds=10.0):
        monkeypatch.setattr(provider_probe, "_try_provider", lambda *_: question())
        return provider_probe.ProviderProbe(onnxruntime, str(tmp_path), lambda _: None, seconds).provider(CPU)

    return try_it


def test_a_provider_that_crashes_is_a_finding_of_its_own(tried):
    found = tried(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert (found["nodes"], found["message"]) == (0, "the process died of SIGKILL")
    assert found["precisions"] == []


def test_a_provider_that_hangs_is_given_up(tried):
    assert tried(signal.pause, 0.05)["message"] == "no answer within 0.05 s"


def test_a_provider_that_leaves_the_process_is_a_finding(tried):
    assert tried(lambda: os._exit(3))["message"] == "the process ended with status 3"


def test_what_a_child_found_comes_back(tried):
    assert tried(lambda: (2, "")) == {
        "name": CPU,
        "nodes": 2,
        "message": "",
        "precisions": ["fp32", "fp16", "int8"],
        "plugin": "",
    }
    assert tried(lambda: (0, "two words"))["message"] == "two words"


def test_each_question_is_told_before_it_is_asked(tmp_path):
    said = []
    provider_probe.ProviderProbe(onnxruntime, str(tmp_path), said.append, 10.0).provider(CPU)
    assert said == [f"trying {CPU} with a model in {precision}" for precision in ("fp32", "fp16", "int8")]
