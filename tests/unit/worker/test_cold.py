"""Cold and warm starts: the page cache is brought about as asked, and what is said of it was read back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from edgesweep_worker import cold, model_file, page_cache, provider_start
from edgesweep_worker.events import EventPipe
from edgesweep_worker.job import trial_job

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"


class Told(EventPipe):
    """The worker's own pipe of events, with what came out of it."""

    def __init__(self):
        self._reader, writer = os.pipe()
        super().__init__(writer)

    def stages(self):
        os.close(self._fd)
        with os.fdopen(self._reader) as reader:
            return [json.loads(line)["stage"] for line in reader]


@pytest.fixture
def pipe():
    return Told()


@pytest.fixture
def large(tmp_path):
    """Three MiB on a file system that can forget them."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 << 20))
    if page_cache.prepare([str(path)], "cold").state != "cold":
        pytest.skip("this file system keeps its files in memory, or does not tell")
    return str(path)


def test_files_are_dropped_and_read_in_and_looked_at(large):
    assert page_cache.prepare([large], "cold").resident_share <= 0.05
    warm = page_cache.prepare([large], "warm")
    assert (warm.state, warm.resident_share) == ("warm", 1.0)
    assert page_cache.prepare([large], "").state == "warm"


def test_what_is_partly_in_memory_is_neither(large, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(bytes(3 << 20))
    page_cache.prepare([large], "cold")
    found = page_cache.look([large, str(other)])
    assert found.state == "mixed"
    assert found.resident_share == pytest.approx(0.5, abs=0.05)


def test_a_page_that_was_never_written_to_the_disk_is_dropped_too(tmp_path, large):
    path = tmp_path / "fresh"
    path.write_bytes(bytes(1 << 20))
    assert page_cache.prepare([str(path)], "cold").state == "cold"


def test_a_mapped_file_stays_and_is_said_to(large):
    """What another process has mapped cannot be dropped: it must not be called cold."""
    import mmap

    with Path(large).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        assert sum(held[at] for at in range(0, len(held), 4096)) >= 0
        assert page_cache.prepare([large], "cold").state == "warm"


def test_nothing_to_look_at_is_not_called_anything(tmp_path):
    assert page_cache.look([]) == page_cache.Found("", None)
    assert page_cache.prepare([str(tmp_path / "gone")], "cold") == page_cache.Found("", None)


def test_the_files_of_a_start_are_model_external_data_and_the_libraries(bench):
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    path = bench.save("external", [onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"x": [4]}, {"y": [4]}, [tensor])
    weights = bench.folder / "weights.bin"
    assert str(weights) not in page_cache.start_files(str(path), [CPU])
    weights.write_bytes(bytes(16))
    files = page_cache.start_files(str(path), [CPU])
    assert files[:2] == (str(path), str(weights))
    assert any("onnxruntime_pybind11_state" in Path(name).name for name in files[2:])
    assert any("multiarray" in Path(name).name for name in files[2:])
    assert all(".so" in Path(name).name for name in files[2:])


def test_libraries_of_providers_that_are_not_used_stay_where_they_are(tmp_path, monkeypatch):
    names = ["libonnxruntime_providers_" + name + ".so" for name in ("shared", "cuda", "nv_tensorrt_rtx", "openvino")]
    for name in (*names, "libopenvino.so.2541"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(
        page_cache.importlib.util,
        "find_spec",
        lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)]),
    )

    def found(*providers):
        return [Path(path).name for path in page_cache.start_files("no.onnx", providers, ["onnxruntime"])]

    assert found(CPU) == [names[0], "libopenvino.so.2541"]
    assert found("NvTensorRTRTXExecutionProvider", CPU) == [names[2], names[0], "libopenvino.so.2541"]


def test_a_file_that_is_no_model_still_has_a_start(tmp_path):
    path = tmp_path / "no.onnx"
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="cut off"):
        model_file.read_header(str(path))
    assert page_cache.start_files(str(path), [], ["no_such_package"]) == (str(path),)


@pytest.mark.parametrize("asked", ["warm", "cold"])
def test_a_trial_says_how_cold_it_really_was(workshop, bench, asked):
    ended = workshop.run(bench.good_job(protocol={"page_cache": asked}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    told = ended.facts["cold_start"]
    share = told["resident_share"]
    assert told["page_cache"] == ("cold" if share <= 0.05 else "warm" if share >= 0.95 else "mixed")
    # This process has the runtime's libraries mapped, so that they cannot all be dropped.
    assert ("page_cache_not_honoured" in ended.tags) == (told["page_cache"] != asked)
    assert (asked, told["page_cache"]) != ("warm", "cold")


@pytest.mark.parametrize(
    ("asked", "found", "tagged"),
    [
        ("cold", "cold", False),
        ("cold", "warm", True),
        ("cold", "mixed", True),
        ("cold", "", True),
        ("warm", "mixed", True),
        ("warm", "", False),
        ("", "mixed", False),
    ],
)
def test_a_start_is_cold_only_when_that_was_shown(bench, monkeypatch, asked, found, tagged, pipe):
    monkeypatch.setattr(page_cache, "prepare", lambda files, asked: page_cache.Found(found, None))
    state = cold.prepare(trial_job(bench.good_job(protocol={"page_cache": asked})), pipe)
    assert state.tags == (("page_cache_not_honoured",) if tagged else ())
    assert state.as_json()["page_cache"] == found


def test_a_provider_without_a_cache_has_none_whatever_is_asked(bench, pipe):
    job = trial_job(bench.good_job(protocol={"provider_cache": "primed", "page_cache": ""}))
    state = cold.prepare(job, pipe)
    assert (state.job, state.provider_cache, state.tags) == (job, "none", ())
    assert pipe.stages() == []


@pytest.mark.parametrize("asked", ["asis", "empty", "primed"])
def test_the_folder_of_compiled_models_is_left_or_fresh(bench, monkeypatch, asked, pipe):
    # The provider itself is tried in test_runtimes.py, where a build has it; here nothing compiles.
    monkeypatch.setattr(provider_start, "_load_and_run", lambda job: "")
    providers = [{"name": OPENVINO, "options": {"cache_dir": "/theirs", "num_of_threads": "1"}}]
    job = trial_job(dict(bench.good_job(protocol={"provider_cache": asked, "page_cache": ""}), providers=providers))
    state = cold.prepare(job, pipe)
    options = state.job.providers[0].options
    assert options["num_of_threads"] == "1"
    if asked == "asis":
        assert (options["cache_dir"], state.provider_cache, state.tags) == ("/theirs", "asis", ())
    else:
        folder = Path(options["cache_dir"])
        assert folder.parent == bench.samples.parent
        assert list(folder.iterdir()) == []
        assert state.provider_cache == "empty"
        assert state.tags == (("provider_cache_not_honoured",) if asked == "primed" else ())


def test_the_plug_in_of_a_wanted_provider_is_a_file_of_the_start(bench, monkeypatch, pipe):
    looked_at = []
    monkeypatch.setattr(
        page_cache, "prepare", lambda files, _: looked_at.extend(files) or page_cache.Found("warm", 1.0)
    )
    plugins = [
        {"name": "A", "path": "/lab/a.so", "providers": ["LabExecutionProvider"]},
        {"name": "OtherExecutionProvider", "path": "/lab/other.so"},
    ]
    job = dict(bench.good_job(), providers=[{"name": "LabExecutionProvider"}], plugins=plugins)
    cold.prepare(trial_job(job), pipe)
    assert "/lab/a.so" in looked_at
    assert "/lab/other.so" not in looked_at


def test_priming_fills_the_folder_from_another_process(bench, monkeypatch, pipe):
    # A stand-in for the compiler, since the plain build has no provider that keeps compiled models.
    def compiles(job):
        Path(job.providers[0].options["cache_dir"], "model.blob").write_text(str(os.getpid()))
        return ""

    monkeypatch.setattr(provider_start, "_load_and_run", compiles)
    job = trial_job(dict(bench.good_job(protocol={"provider_cache": "primed"}), providers=[{"name": OPENVINO}]))
    state = cold.prepare(job, pipe)
    assert (state.provider_cache, state.tags) == ("primed", ())
    blob = Path(state.job.providers[0].options["cache_dir"], "model.blob")
    assert int(blob.read_text()) != os.getpid()
    # It may take as long as the compilation may: it is a stage of that name, with that deadline.
    assert pipe.stages() == ["compile", "load"]


def test_a_priming_that_crashes_is_no_result_of_its_own(bench, monkeypatch, pipe):
    monkeypatch.setattr(provider_start, "_load_and_run", lambda job: os.kill(os.getpid(), signal.SIGKILL))
    job = trial_job(dict(bench.good_job(protocol={"provider_cache": "primed"}), providers=[{"name": OPENVINO}]))
    state = cold.prepare(job, pipe)
    assert (state.provider_cache, state.tags) == ("empty", ("provider_cache_not_honoured",))


def test_only_libraries_that_load_apart_are_timed(tmp_path, monkeypatch):
    assert provider_start.load_libraries(CPU) is None
    monkeypatch.setattr(
        provider_start.importlib.util,
        "find_spec",
        lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)]),
    )
    assert provider_start.load_libraries(OPENVINO) is None
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libopenvino.so.2541").write_bytes(b"no library")
    assert provider_start.load_libraries(OPENVINO) is None
