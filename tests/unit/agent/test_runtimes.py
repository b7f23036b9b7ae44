"""Runtimes: found, probed once, told apart, and broken ones said to be broken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep_agent.interpreters import Interpreter, discover
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.runtimes import RuntimeBook, flavour_of
from edgesweep_agent.worker_package import install_worker
from edgesweep_agent.worker_process import WorkerStartError

FAKE = """#!{python} -IS
import json, os, sys
with open({log!r}, "a") as log:
    log.write("inspect\\n" if "-c" in sys.argv else "probe\\n")
if "-c" in sys.argv:
    print(json.dumps({{"path": [{folder!r}], "distributions": {distributions}, "python": [3, 8]}}))
    sys.exit(0)
json.load(sys.stdin)
runtime = {{"version": {version!r}, "build_info": "", "python_version": "3.8.18", "numpy_version": "1", "listed_providers": [],
    "providers": []}}
{end}
"""

SAY = 'os.write(int(sys.argv[-1]), json.dumps({"event": "end", "runtime": runtime}).encode() + b"\\n")'

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(name: str, *, version: str = "1.19.2", distributions: str = "[]", end: str = SAY) -> Path:
        path = tmp_path / "state" / "runtimes" / name / "bin" / "python"
        path.parent.mkdir(parents=True)
        text = FAKE.format(
            python=sys.executable, log=str(tmp_path / f"{name}.log"), folder=str(path.parent.parent),
            distributions=distributions, version=version, end=end,
        )  # fmt: skip
        path.write_text(text)
        path.chmod(0o755)
        return path

    return build


def book(tmp_path: Path, *named: Interpreter) -> RuntimeBook:
    state = tmp_path / "state"
    return RuntimeBook(named, state, install_worker(state), Quiet())


@pytest.fixture(autouse=True)
def no_runtime_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own interpreter may or may not hold an onnxruntime: here only the made ones count."""
    monkeypatch.setattr("edgesweep_agent.interpreters._importable", lambda _: False)
    monkeypatch.setattr("edgesweep_agent.interpreters.system_pythons", lambda: ())


async def test_a_probe_runs_once_until_the_environment_changes(tmp_path: Path, make: Make) -> None:
    python = make("a")
    log = tmp_path / "a.log"
    first = book(tmp_path)
    assert [runtime.id for runtime in await first.all()] == ["1.19.2"]
    await first.all()
    assert [runtime.id for runtime in await book(tmp_path).all()] == ["1.19.2"]
    assert log.read_text().split() == ["inspect", "probe"]
    (python.parent.parent / "installed").write_text("something")
    again = book(tmp_path)
    await again.all()
    assert log.read_text().split() == ["inspect", "probe"] * 2
    assert (await again.probe("1.19.2")) is not None
    assert log.read_text().split() == ["inspect", "probe"] * 3
    assert await again.probe("9.9.9") is None


async def test_what_a_call_costs_is_measured_anew_after_a_reboot(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("a")
    await book(tmp_path).all()
    monkeypatch.setattr("edgesweep_agent.runtimes.boot_id", lambda: "the next boot")
    await book(tmp_path).all()
    assert (tmp_path / "a.log").read_text().split() == ["inspect", "probe"] * 2


async def test_a_newer_worker_probes_again_since_it_may_find_out_more(tmp_path: Path, make: Make) -> None:
    make("a", end='runtime.update(max_opset=19, types=["float32"])\n' + SAY)
    (known,) = await book(tmp_path).all()
    assert (known.max_opset, known.max_ir_version, known.types, known.domains) == (19, None, ("float32",), ())
    (again,) = await book(tmp_path).all()
    assert again == known
    log = tmp_path / "a.log"
    assert log.read_text().split().count("probe") == 1
    newer = tmp_path / "state" / "worker" / "another-digest" / "run.py"
    newer.parent.mkdir()
    newer.touch()
    await RuntimeBook((), tmp_path / "state", newer, Quiet()).all()
    assert log.read_text().split().count("probe") == 2


async def test_ids_carry_the_flavour_and_are_told_apart(tmp_path: Path, make: Make) -> None:
    make("a")
    make("b")
    make("c")
    make("d", version="1.24.1", distributions='[["onnxruntime_openvino", "1.24.1"]]')
    found = await book(tmp_path).all()
    assert [runtime.id for runtime in found] == ["1.19.2", "1.19.2@py38", "1.19.2@py38#2", "openvino-1.24.1"]
    assert found[3].flavour == "openvino"
    assert [runtime.installed_as for runtime in found] == ["a", "b", "c", "d"]


async def test_a_named_runtime_keeps_its_name(tmp_path: Path, make: Make) -> None:
    python = make("a")
    runtimes = book(tmp_path, Interpreter(str(python), "vendor"))
    assert [(runtime.id, runtime.installed_as) for runtime in await runtimes.all()] == [("vendor", "a")]
    assert runtimes.interpreter("vendor") == (str(python), "")
    assert "has no runtime 1.19.2; it has vendor" in runtimes.interpreter("1.19.2")[1]


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        ("os.kill(os.getpid(), 11)", "died of SIGSEGV"),
        ("sys.exit('no module named onnxruntime')", "status 1 and without an answer: no module named onnxruntime"),
        ('runtime = {"version": 5, "build_info": 3}\n' + SAY, "malformed"),
        ('os.write(int(sys.argv[-1]), b"hello\\n")', "no event"),
    ],
)
async def test_a_broken_runtime_says_why(tmp_path: Path, make: Make, end: str, fault: str) -> None:
    make("a", end=end)
    runtimes = book(tmp_path)
    (runtime,) = await runtimes.all()
    assert runtime.id.startswith("broken-")
    assert fault in runtime.fault
    python, sentence = runtimes.interpreter(runtime.id)
    assert python is None
    assert "cannot be used" in sentence


async def test_a_probe_that_was_told_to_stop_tells_nothing_and_is_made_again(tmp_path: Path, make: Make) -> None:
    stop = tmp_path / "stop"
    stop.touch()
    make("a", end=f"os.path.exists({str(stop)!r}) and os.kill(os.getpid(), 15)\n" + SAY)
    runtimes = book(tmp_path)
    (broken,) = await runtimes.all()
    assert "died of SIGTERM" in broken.fault
    for runtime_id in (broken.id, "1.19.2"):
        with pytest.raises(WorkerStartError, match="died of SIGTERM"):
            runtimes.interpreter(runtime_id)
    stop.unlink()
    assert [runtime.id for runtime in await runtimes.all()] == ["1.19.2"]
    assert runtimes.interpreter("1.19.2")[0]


async def test_a_cache_that_cannot_be_written_is_no_harm(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make("a")
    (tmp_path / "state" / "runtimes.json.new").mkdir(parents=True, exist_ok=True)
    runtimes = book(tmp_path)
    assert [runtime.id for runtime in await runtimes.all()] == ["1.19.2"]
    assert "are not remembered" in caplog.text


async def test_what_is_no_python_is_broken_too(tmp_path: Path) -> None:
    runtimes = book(tmp_path, Interpreter("/bin/echo", "echo"), Interpreter("/nowhere/python", "gone"))
    found = await runtimes.all()
    assert found[0].fault.endswith("is no working Python 3.8 or newer: it says nothing")
    assert "could not be started" in found[1].fault


async def test_a_rotten_cache_is_no_harm(tmp_path: Path, make: Make) -> None:
    make("a")
    await book(tmp_path).all()
    cache = tmp_path / "state" / "runtimes.json"
    for rot in (b"", b"[]", b'{"/x": {}}', b'{"/x": {"runtime": {"id": 3}, "path": [], "fingerprint": ""}}'):
        cache.write_bytes(rot)
        assert [runtime.id for runtime in await book(tmp_path).all()] == ["1.19.2"]


async def test_a_runtime_that_went_away_is_forgotten(tmp_path: Path, make: Make) -> None:
    python = make("a")
    runtimes = book(tmp_path)
    assert len(await runtimes.all()) == 1
    python.unlink()
    assert await runtimes.all() == ()


def test_flavours_come_from_the_distribution_that_won() -> None:
    assert flavour_of([("onnxruntime", "1.2.3")], "1.2.3") == ""
    assert flavour_of([("onnxruntime-gpu", "1.2.3")], "1.2.3") == "gpu"
    assert flavour_of([("onnxruntime", "1.2.2"), ("onnxruntime_openvino", "1.2.3")], "1.2.3") == "openvino"
    assert flavour_of([("onnxruntime", "1.2.3"), ("onnxruntime-gpu", "1.2.3")], "1.2.3") == "gpu"
    assert flavour_of([("onnxruntime", "1.2.3"), ("onnxruntime-ep-webgpu", "1.2.3")], "1.2.3") == "", (
        "a plug-in is none"
    )
    assert flavour_of([], "1.2.3") == ""


def test_the_agents_own_interpreter_counts_when_it_could_import_onnxruntime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert discover((), tmp_path) == ()
    monkeypatch.setattr("edgesweep_agent.interpreters._importable", lambda _: True)
    assert discover((), tmp_path) == (Interpreter(sys.executable),)
    assert discover((Interpreter(sys.executable, "mine"),), tmp_path) == (Interpreter(sys.executable, "mine"),)
