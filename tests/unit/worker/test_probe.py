"""The probe tells what a runtime is and which providers really run a node."""

from __future__ import annotations

import platform

import pytest
from packaging.tags import sys_tags

np = pytest.importorskip("numpy")
onnxruntime = pytest.importorskip("onnxruntime")


def test_the_probe_of_this_runtime(workshop, tmp_path):
    ended = workshop.run({"kind": "probe", "scratch_dir": str(tmp_path)})
    assert ended.status == 0
    *progress, event = ended.events
    assert {event["event"] for event in progress} == {"doing"}, "a slow probe says that it is getting on"
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
        "plugins",
    }
    assert event["plugin_paths"] == {}
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
    assert probes["CPUExecutionProvider"]["precisions"] == ["fp32", "fp16", "int8"]
    if "AzureExecutionProvider" in probes:
        assert probes["AzureExecutionProvider"]["nodes"] == 0
        assert probes["AzureExecutionProvider"]["message"]
        assert probes["AzureExecutionProvider"]["precisions"] == []
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
