"""A provider that cannot be made often says why on standard error alone: the session then comes up without it.

The runtime here is a stand-in for one whose provider's library is broken; its words are those of the real ones.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgesweep_worker.failures.own_words import OwnWords

LIBRARY = (
    "FAIL : Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.12: "
    "cannot open shared object file: No such file or directory"
)
DEVICE = "[ERROR] [OpenVINO] Device NPU is not available"
TENSORRT = "Please install TensorRT libraries as mentioned in the GPU requirements page"

CUDA, OPENVINO = "CUDAExecutionProvider", "OpenVINOExecutionProvider"

#: A session that is made without its first provider, after some words; or that is refused with others.
PATCH = """
import os
inner = real.InferenceSession
real.get_available_providers = lambda: [{provider!r}, "CPUExecutionProvider"]
def session(path, options=None, providers=None, **more):
    os.write(2, {told!r}.encode())
    if {raised!r}:
        raise RuntimeError({raised!r})
    return inner(path, options, providers=["CPUExecutionProvider"])
real.InferenceSession = session
"""


def run_with_stderr_in_a_file(workshop, job, folder):
    """As the agent starts a worker: its standard error is a file."""
    reader, writer = os.pipe()
    with (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            workshop.command(writer), stdin=subprocess.PIPE, stdout=stderr, stderr=stderr, pass_fds=[writer]
        )
    os.close(writer)
    import json

    process.communicate(json.dumps(job).encode())
    with os.fdopen(reader) as events:
        lines = [json.loads(line) for line in events]
    facts = {}
    for line in lines:
        if line["event"] == "facts":
            facts.update(line)
    return lines[-1], facts["diagnosis"]


@pytest.mark.parametrize(
    ("provider", "told", "raised", "cause", "subject"),
    [
        (CUDA, LIBRARY, "", "provider_library_missing", "libcublasLt.so.12"),
        (OPENVINO, DEVICE, "", "provider_device_missing", "NPU"),
        (CUDA, LIBRARY, TENSORRT, "provider_library_missing", "libcublasLt.so.12"),
        (CUDA, "a word of welcome", "", "provider_unavailable", ""),
        (CUDA, "a word of welcome", "no reason at all", "provider_unavailable", ""),
    ],
)
def test_the_reason_on_standard_error_is_the_cause(
    own_workshop, bench, tmp_path, shadow_onnxruntime, provider, told, raised, cause, subject
):
    shadow_onnxruntime(own_workshop, PATCH.format(provider=provider, told=told + "\n", raised=raised))
    end, diagnosis = run_with_stderr_in_a_file(
        own_workshop, dict(bench.good_job(), providers=[{"name": provider}]), tmp_path
    )
    assert (end["outcome"], end["stage"], end["cause"]) == ("failed", "load", cause)
    assert diagnosis["subject"] == subject
    assert subject in end["message"]
    assert told in end["evidence"]
    assert diagnosis["message_hash"]


def test_only_what_was_written_since_is_told_and_the_place_in_the_file_stays(tmp_path: Path):
    path = tmp_path / "words"
    with path.open("wb", buffering=0) as file:
        file.write(b"before\n")
        words = OwnWords(file.fileno())
        assert words.told() == ""
        file.write(b"since\xff\n")
        assert words.told() == "since\ufffd\n"
        file.write(b"x" * 100_000)
        assert len(words.told()) == 65536
    assert path.read_bytes().startswith(b"before\nsince")
    read, write = os.pipe()
    piped = OwnWords(write)
    os.write(write, b"lost to us")
    assert piped.told() == ""
    os.close(read)
    os.close(write)
    assert OwnWords(write).told() == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the provider's library libfrob.so is not there"),
        (b"no library", "the provider's library cannot be loaded"),
    ],
)
def test_a_plug_in_library_that_cannot_be_loaded_is_named(workshop, bench, tmp_path, content, words):
    ort = pytest.importorskip("onnxruntime")
    if not hasattr(ort, "register_execution_provider_library"):
        pytest.skip("this onnxruntime takes no plug-in libraries")
    path = tmp_path / "libfrob.so"
    if content is not None:
        path.write_bytes(content)
    library = {"name": "FrobExecutionProvider", "path": str(path), "providers": []}
    job = dict(bench.good_job(), providers=[{"name": "FrobExecutionProvider"}], plugins=[library])
    ended = workshop.run(job)
    assert ended.verdict == ("failed", "load", "provider_library_missing")
    assert words in ended.end["message"]
    assert str(tmp_path) not in ended.end["message"] + ended.end["evidence"], "no path of the board leaves it"
    assert ended.facts["diagnosis"]["status"] == "FAIL"
