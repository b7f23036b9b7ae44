"""What a provider compiles: the stage that says so, its files and their digest, and what came after the first run.

The plain build has no provider that compiles: where one is needed here it is a stand-in, the CPU's provider with a session
that leaves files behind. The real one (OpenVINO) runs in tests/system/test_compile.py where its wheel is.
"""

from __future__ import annotations

import os

import pytest
from edgesweep_worker import compiled_files

np = pytest.importorskip("numpy")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

#: Put at the end of providers/cpu.py in a copy of the worker: the CPU's provider is said to compile.
KNOWN = """
import dataclasses

from edgesweep_worker.providers.facts import Cache

FACTS = dataclasses.replace(FACTS, compile_step={part!r}, cache=Cache("cache_dir"))
"""

#: Put at the end of session.py: making a session leaves a file.
COMPILES = """
_open_session = open_session

def open_session(ort, job, options, chain):
    import os
    folder = job.providers[0].options.get("cache_dir", "")
    made = _open_session(ort, job, options, [(name, {{}}) for name, _ in chain])
    if folder:
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "model.engine")
        if not os.path.exists(path) or {anew}:
            with open(path, "w") as file:
                file.write("compiled")
        open(path).close()
    {more}
    return made
"""

#: The session compiles for every number of rows that it has not seen: a file comes, or a tenth of a second goes.
PER_SHAPE = """
    class Compiling:
        seen = set()
        def __getattr__(self, name):
            return getattr(made, name)
        def run(self, names, feeds):
            import time
            rows = len(feeds["x"])
            if rows not in self.seen:
                self.seen.add(rows)
                if folder:
                    with open(os.path.join(folder, "rows%d.engine" % rows), "w") as file:
                        file.write("compiled")
                else:
                    time.sleep(0.2)
            return made.run(names, feeds)
    return Compiling()
"""


def compiling_workshop(workshop, part="session", more="", anew=False):
    for name, text in (
        ("providers/cpu.py", KNOWN.format(part=part)),
        ("session.py", COMPILES.format(more=more.strip(), anew=anew)),
    ):
        path = workshop.folder / "edgesweep_worker" / name
        path.write_text(path.read_text() + text)
    return workshop


def dynamic_job(bench, **parts):
    """y = x + x over any number of rows; the cell's own shape has two."""
    from onnx import helper

    path = bench.save("dynamic", [helper.make_node("Add", ["x", "x"], ["y"])], {"x": ["n", 4]}, {"y": ["n", 4]})
    x = np.ones((2, 4), dtype=np.float32)
    return bench.job(path, {"x": x}, {"y": x + x}, **parts)


def other(bench, shape, value):
    return {"shape": shape, "inputs": [dict(bench.array(shape, value), name="x")]}


# --- files ----------------------------------------------------------------------------------------------------------


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def test_equal_files_have_one_digest_whenever_and_wherever_they_were_written(tmp_path):
    files = {"b.blob": "2", "sub/a.blob": "1"}
    one, two = fill(tmp_path / "one", files), fill(tmp_path / "two", dict(reversed(list(files.items()))))
    os.utime(str(tmp_path / "two" / "b.blob"), (1, 1))
    digests = [compiled_files.digest(folder, compiled_files.look(folder).files) for folder in (one, two)]
    assert digests[0] == digests[1] != ""


@pytest.mark.parametrize(
    "files", [{"a": "1", "b": "3"}, {"a": "1"}, {"a": "1", "c": "2"}, {"a": "12", "b": ""}, {"a": "1", "sub/b": "2"}]
)
def test_another_content_name_or_number_of_files_has_another_digest(tmp_path, files):
    one, two = fill(tmp_path / "one", {"a": "1", "b": "2"}), fill(tmp_path / "two", files)
    assert compiled_files.digest(one, compiled_files.look(one).files) != compiled_files.digest(
        two, compiled_files.look(two).files
    )


def test_nothing_compiled_has_no_digest(tmp_path):
    assert compiled_files.look(str(tmp_path / "gone")).files == {}
    assert compiled_files.digest(str(tmp_path), []) == ""
    assert compiled_files.digest(str(tmp_path), ["gone.blob"]) == ""


def test_new_and_changed_files_are_fresh_and_others_are_not(tmp_path):
    folder = fill(tmp_path, {"kept": "1", "changed": "2"})
    earlier = compiled_files.look(folder)
    fill(tmp_path, {"changed": "longer", "new": "3"})
    now = compiled_files.look(folder)
    assert now.fresh_since(earlier) == ("changed", "new")
    assert now.size_bytes == len("1longer3")


# --- the worker -------------------------------------------------------------------------------------------------------


def test_a_trial_on_the_cpu_compiles_nothing_and_says_nothing(workshop, bench):
    ended = workshop.run(bench.good_job())
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert "compile" not in ended.stages
    assert "compile" not in ended.facts


@pytest.mark.parametrize(
    ("part", "stages"),
    [("session", ["load", "compile", "first_run", "verify"]), ("first_run", ["load", "compile", "verify", "warmup"])],
)
def test_the_step_that_compiles_is_the_stage_compile(own_workshop, bench, part, stages):
    ended = compiling_workshop(own_workshop, part).run(bench.good_job(protocol={"provider_cache": "asis"}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.stages[:4] == stages
    told = ended.facts["compile"]
    assert (told["provider"], told["part_of"]) == ("CPUExecutionProvider", part)
    assert told["seconds"] == ended.facts["cold_start"][part + "_s"] > 0
    # The chain names no folder: nothing shows what was compiled, and no file is left beside the trial's own.
    assert (told["files_after"], told["engine_hash"], told["rebuilds"]) == (0, "", None)
    left = {path.name for path in bench.folder.iterdir()}
    assert left == {"affine.onnx", "x.npy", "y.npy", "samples.bin"}


@pytest.mark.parametrize(("asked", "before"), [("empty", 0), ("primed", 1)])
def test_a_trial_tells_what_lies_in_its_cache_and_leaves_nothing(own_workshop, bench, asked, before):
    ended = compiling_workshop(own_workshop).run(bench.good_job(protocol={"provider_cache": asked}))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    told = ended.facts["compile"]
    assert (told["files_before"], told["files_after"], told["bytes_after"]) == (before, 1, len("compiled"))
    assert told["rebuilds"] == 0
    assert "provider_cache_not_honoured" not in ended.tags
    folder = fill(bench.folder / "like", {"model.engine": "compiled"})
    assert told["engine_hash"] == compiled_files.digest(folder, ["model.engine"])
    assert ended.stages.count("compile") == 1 + before
    assert not list(bench.folder.glob("provider-*"))


def test_a_trial_that_times_nothing_tells_of_it_too(own_workshop, bench):
    job = dynamic_job(bench, protocol={"untimed": True, "provider_cache": "empty", "io_mode": "host"})
    job["other_inputs"] = [other(bench, "n4", np.ones((4, 4), "f4"))]
    ended = compiling_workshop(own_workshop, more=PER_SHAPE).run(job)
    assert ended.verdict == ("pass", "placement", ""), (ended.end, ended.stderr)
    assert ended.stages[:3] == ["load", "compile", "first_run"]
    told = ended.facts["compile"]
    # One came with the session and one with the first run at two rows.
    assert (told["files_after"], len(told["engine_hash"])) == (2, 64)
    assert [(change["shape"], change["rebuilt"]) for change in told["shape_changes"]] == [("n4", True), ("", False)]


def test_a_provider_that_compiles_anew_what_it_has_is_told_of(own_workshop, bench):
    """As OpenVINO does on a processor: a primed cache then says nothing of the start."""
    ended = compiling_workshop(own_workshop, anew=True).run(bench.good_job(protocol={"provider_cache": "primed"}))
    assert ended.facts["cold_start"]["provider_cache"] == "primed"
    assert ended.facts["compile"]["files_before"] == 1
    assert "provider_cache_not_honoured" in ended.tags


def test_a_worker_that_dies_after_compiling_has_told_of_it(own_workshop, bench):
    workshop = compiling_workshop(own_workshop)
    path = workshop.folder / "edgesweep_worker" / "inputs.py"
    path.write_text(
        path.read_text() + "\ndef check_inputs(arrays, session):\n    os.kill(os.getpid(), 9)\n\nimport os\n"
    )
    ended = workshop.run(bench.good_job(protocol={"provider_cache": "empty"}))
    assert ended.end is None
    assert ended.stages[-1] == "compile"
    assert ended.facts["compile"]["files_after"] == 1


@pytest.mark.parametrize(("cache", "shows"), [("empty", "files"), ("asis", "time")])
def test_compiling_for_each_shape_is_told_shape_by_shape(own_workshop, bench, cache, shows):
    job = dynamic_job(bench, protocol={"provider_cache": cache})
    job["other_inputs"] = [other(bench, "n4", np.ones((4, 4), "f4")), other(bench, "n8", np.ones((8, 4), "f4"))]
    ended = compiling_workshop(own_workshop, more=PER_SHAPE).run(job)
    assert ended.verdict == ("pass", "placement", ""), (ended.end, ended.stderr)
    told = ended.facts["compile"]
    changes = [(change["shape"], change["rebuilt"]) for change in told["shape_changes"]]
    assert changes == [("n4", True), ("", False), ("n8", True), ("", False)], shows
    assert told["rebuilds"] == 2
    # The digest is that of what was measured: engines for other shapes came later.
    assert told["files_after"] == (1 if cache == "empty" else 0)


def test_other_shapes_on_the_cpu_build_nothing_and_a_refused_one_is_no_fault_of_the_cell(workshop, bench):
    job = dynamic_job(bench)
    job["other_inputs"] = [other(bench, "n9", np.ones((9, 4), "f4")), other(bench, "wide", np.ones((2, 5), "f4"))]
    ended = workshop.run(job)
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert "compile" not in ended.stages
    told = ended.facts["compile"]
    assert (told["part_of"], told["rebuilds"]) == ("", 0)
    assert [change["shape"] for change in told["shape_changes"]] == ["n9", ""]
    assert all(change["first_run_s"] > 0 and change["next_run_s"] > 0 for change in told["shape_changes"])
    assert ended.tags.count("shape_refused:wide") == 1
