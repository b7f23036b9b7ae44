"""The probe tells what a runtime is and which providers really run a node."""

from __future__ import annotations

import os
import platform
import signal

import pytest
from packaging.tags import sys_tags

np = pytest.importorskip("numpy")
onnxruntime = pytest.importorskip("onnxruntime")

from edgesweep_worker import probe  # noqa: E402 - onnxruntime must be there first


def test_the_probe_of_this_runtime(workshop, tmp_path):
    ended = workshop.run({"kind": "probe", "scratch_dir": str(tmp_path)})
    assert ended.status == 0
    (event,) = ended.events
    runtime = event["runtime"]
    assert set(runtime) == {
        "version",
        "build_info",
        "python_version",
        "numpy_version",
        "listed_providers",
        "providers",
        "harness_floor_s",
        "fault",
        "max_opset",
        "max_ir_version",
        "types",
        "domains",
        "call",
        "call_costs_s",
        "wheel_tag",
    }
    assert runtime["version"] == onnxruntime.__version__
    assert runtime["python_version"] == platform.python_version()
    assert runtime["numpy_version"] == np.__version__
    assert runtime["wheel_tag"] == next(str(tag) for tag in sys_tags() if "linux_2" in tag.platform)
    assert runtime["listed_providers"] == onnxruntime.get_available_providers()
    assert runtime["fault"] == ""
    assert 0 < runtime["harness_floor_s"] < 1
    probes = {item["name"]: item for item in runtime["providers"]}
    assert list(probes) == runtime["listed_providers"]
    assert probes["CPUExecutionProvider"]["nodes"] >= 1
    assert probes["CPUExecutionProvider"]["message"] == ""
    if "AzureExecutionProvider" in probes:
        assert probes["AzureExecutionProvider"]["nodes"] == 0
        assert probes["AzureExecutionProvider"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_that_cannot_be_imported_has_a_fault(own_workshop, tmp_path):
    (own_workshop.folder / "onnxruntime.py").write_text("raise ImportError('libQnnHtp.so: no such file')\n")
    ended = own_workshop.run({"kind": "probe", "scratch_dir": str(tmp_path)})
    assert "libQnnHtp.so" in ended.end["runtime"]["fault"]
    assert ended.end["runtime"]["providers"] == []


def test_flavours_installed_over_each_other_are_a_fault(own_workshop, tmp_path):
    (own_workshop.folder / "onnxruntime.py").write_text("__version__ = '1.0'\n")
    ended = own_workshop.run({"kind": "probe", "scratch_dir": str(tmp_path)})
    assert "installed over each other" in ended.end["runtime"]["fault"]


def test_a_provider_that_crashes_is_a_finding_of_its_own():
    found = probe._in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert found == (0, f"the process died of signal {int(signal.SIGKILL)}")


def test_a_provider_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(probe, "_PROVIDER_SECONDS", 0.05)
    assert probe._in_child(signal.pause) == (0, "no answer within 0.05 s")


def test_a_provider_that_leaves_the_process_is_a_finding():
    assert probe._in_child(lambda: os._exit(3)) == (0, "the process ended with status 3")


def test_what_a_child_found_comes_back():
    assert probe._in_child(lambda: (2, "")) == (2, "")
    assert probe._in_child(lambda: (0, "two words")) == (0, "two words")
