"""Libraries of providers are found in the packages beside a runtime, and no code of theirs is run for it."""

from __future__ import annotations

import sys

import pytest
from edgesweep_worker import plugin_search
from edgesweep_worker.job import PluginLibrary

#: What is looked for in a file: the rest of a library does not matter to the search.
LIBRARY = b"\x7fELF...\0ReleaseEpFactory\0CreateEpFactories\0..."


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lays a package out as pip does, in a folder that the interpreter looks into."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site)])

    def lay_out(name, version, files):
        for path, content in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(content)
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
        return site

    return lay_out


def test_a_known_package_brings_its_provider(install):
    folder = "onnxruntime_ep_webgpu"
    trap = {f"{folder}/__init__.py": b"raise SystemExit('run')"}
    site = install("onnxruntime-ep-webgpu", "0.4.0", {f"{folder}/libonnxruntime_providers_webgpu.so": LIBRARY, **trap})
    (found,) = plugin_search.find(())
    assert (found.name, found.distribution, found.version) == (
        "WebGpuExecutionProvider",
        "onnxruntime-ep-webgpu",
        "0.4.0",
    )
    assert found.path == str(site / folder / "libonnxruntime_providers_webgpu.so")


def test_a_package_that_nobody_knows_gives_its_own_name(install):
    install("onnxruntime_ep.lab-npu", "1.0", {"lab/lib/libonnxruntime_lab.so": LIBRARY})
    (found,) = plugin_search.find(())
    assert (found.name, found.distribution) == ("LabNpuExecutionProvider", "onnxruntime-ep-lab-npu")


def test_one_library_of_a_package_that_has_it_under_several_names(install):
    names = ("libonnxruntime_providers_openvino_plugin.so", "libonnxruntime_providers_openvino_plugin.so.1")
    install("onnxruntime-ep-openvino", "1.8.1", {f"onnxruntime_ep_openvino/{name}": LIBRARY for name in names})
    (found,) = plugin_search.find(())
    assert found.path.endswith(".so")


def test_what_is_no_plug_in_is_left_alone(install):
    install("onnxruntime-openvino", "1.24.1", {"onnxruntime/capi/libonnxruntime_providers_openvino.so": LIBRARY})
    install("onnxruntime-extensions", "0.15", {"onnxruntime_extensions/libonnxruntime_ops.so": b"no such function"})
    install("lab-tools", "1.0", {"lab/libonnxruntime_lab.so": LIBRARY})
    install("onnxruntime-ep-empty", "1.0", {"empty/libonnxruntime_empty.so": b""})
    assert plugin_search.find(()) == []


def test_the_settings_win_over_a_package(install):
    install("onnxruntime-qnn", "2.7.0", {"onnxruntime_qnn/libonnxruntime_providers_qnn.so": LIBRARY})
    named = PluginLibrary("QNNExecutionProvider", "/opt/qnn.so")
    assert plugin_search.find([named]) == [named]
    assert [item.name for item in plugin_search.find([PluginLibrary("Other", "/o.so")])] == [
        "Other",
        "QNNExecutionProvider",
    ]
