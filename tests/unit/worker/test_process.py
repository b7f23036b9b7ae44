"""The worker as a process: it outlives nobody, keeps what it has said, and says it on its own pipe only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime")

from edgesweep_worker import process

#: A trial that would go on for longer than any test may take.
ENDLESS = {"min_inferences": 10**9, "max_inferences": 10**9, "min_duration_s": 1000.0, "max_duration_s": 1000.0}


def test_a_killed_worker_keeps_the_facts_sent_so_far(workshop, bench):
    started = workshop.start(bench.good_job(protocol=ENDLESS))
    started.read_until_stage("measure")
    os.kill(started.process.pid, signal.SIGKILL)
    ended = started.finish()
    assert ended.status == -signal.SIGKILL
    assert ended.end is None
    assert {"session", "memory", "cold_start", "numerics"} <= set(ended.facts)
    assert "samples" not in ended.facts
    assert not bench.samples.exists()


def test_a_limit_on_memory_is_read_back():
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1])\n"
        "from edgesweep_worker.process import yield_memory\n"
        "told = yield_memory(1 << 28), resource.getrlimit(resource.RLIMIT_DATA)[0], yield_memory(None)\n"
        # An emulator takes the call and does nothing: the ARM system test shows that with a real one.
        "resource.setrlimit = lambda kind, limits: None\n"
        "print(*told, yield_memory(1 << 29))\n"
    )
    folder = str(process.__file__).rsplit("/", 2)[0]
    done = subprocess.run([sys.executable, "-I", "-c", script, folder], check=True, stdout=subprocess.PIPE)
    assert done.stdout.decode().split() == ["True", str(1 << 28), "True", "False"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_worker_that_is_told_to_stop_dies_of_that_and_calls_it_no_failure(workshop, bench, name):
    started = workshop.start(bench.good_job(protocol=ENDLESS))
    started.read_until_stage("measure")
    os.kill(started.process.pid, getattr(signal, name))
    ended = started.finish()
    assert ended.status == -getattr(signal, name)
    assert ended.end is None


def test_the_worker_dies_when_its_parent_dies(workshop, bench):
    # The parent starts the worker and waits; this test holds the reading end of the worker's pipe, which closes
    # only when the worker itself has ended.
    reader, writer = os.pipe()
    script = (
        "import json, os, subprocess, sys\n"
        "fd = int(sys.argv[1])\n"
        "command = json.loads(sys.argv[2]) + ['--parent', str(os.getpid())]\n"
        "worker = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[fd])\n"
        "os.close(fd)\n"
        "worker.stdin.write(sys.argv[3].encode())\n"
        "worker.stdin.close()\n"
        "worker.wait()\n"
    )
    import json

    command = json.dumps(workshop.command(writer)[:-2])
    job = json.dumps(bench.good_job(protocol=ENDLESS))
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(writer), command, job], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with os.fdopen(reader) as lines:
        for line in lines:
            if json.loads(line).get("stage") == "measure":
                break
        parent.kill()
        parent.wait()
        rest = lines.read()
    assert '"end"' not in rest


def test_a_worker_whose_parent_has_gone_already_does_nothing(workshop, bench):
    ended = workshop.run(bench.good_job(), parent=os.getppid())
    assert ended.events == []
    assert ended.status == 1


def test_native_prints_to_stdout_reach_neither_events_nor_stdout(own_workshop, bench):
    folder = own_workshop.folder / "onnxruntime"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import ctypes, importlib, sys\n"
        "libc = ctypes.CDLL(None)\n"
        'libc.puts(b\'{"event": "end", "outcome": "pass"}\')\n'
        "libc.fflush(None)\n"
        "print('python prints too', flush=True)\n"
        "own = sys.path.pop(0)\n"
        "del sys.modules['onnxruntime']\n"
        "importlib.import_module('onnxruntime')\n"
        "sys.path.insert(0, own)\n"
    )
    ended = own_workshop.run(bench.good_job())
    assert ended.verdict == ("pass", "placement", "")
    assert sum(event["event"] == "end" for event in ended.events) == 1
    assert ended.stdout == b""
    assert '"outcome": "pass"' in ended.stderr
    assert "python prints too" in ended.stderr


def test_a_runtime_that_cannot_be_imported(own_workshop, bench):
    (own_workshop.folder / "onnxruntime.py").write_text("raise ImportError('libcudart.so.12: cannot open')\n")
    ended = own_workshop.run(bench.good_job())
    assert ended.verdict == ("failed", "load", "runtime_unavailable")
    assert "libcudart.so.12" in ended.end["evidence"]


@pytest.mark.parametrize("job", [b"", b"[]", b"{", b'{"kind": "trial"}', b'{"kind": "dance"}', b'{"kind": "probe"}'])
def test_a_job_that_cannot_be_read_is_told(workshop, job):
    ended = workshop.run(job)
    assert ended.verdict == ("failed", "load", "worker_protocol")
    assert ended.status == 0


def test_a_newer_agents_extra_keys_are_ignored(workshop, bench):
    job = bench.good_job(protocol={"from_the_future": 1}, session={"affinity": "0"})
    job["colour"] = "blue"
    assert workshop.run(job).verdict == ("pass", "placement", "")


def test_a_bug_in_the_worker_reaches_the_agent_with_its_traceback(own_workshop, bench):
    (own_workshop.folder / "edgesweep_worker" / "calls.py").write_text("raise LookupError('a bug')\n")
    ended = own_workshop.run(bench.good_job())
    assert ended.verdict == ("failed", "load", "worker_protocol")
    assert "LookupError: a bug" in ended.end["evidence"]
    assert ended.status == 0


def test_no_file_appears_but_the_samples(workshop, bench, tmp_path):
    # onnxruntime 1.29 and later writes a device id and an event database under HOME unless it is told not to.
    home = tmp_path / "home"
    home.mkdir()
    names = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    env.update({name: str(home) for name in names})
    job = bench.good_job()
    before = {path.name for path in bench.folder.iterdir()}
    assert workshop.run(job, env=env).verdict == ("pass", "placement", "")
    assert list(home.rglob("*")) == []
    assert {path.name for path in bench.folder.iterdir()} - before == {"samples.bin"}


def test_the_worker_needs_nothing_but_numpy_and_onnxruntime(workshop):
    # Everything that the package imports by name, in every module, is the standard library or one of the two.
    import ast

    allowed = {"numpy", "onnxruntime", "edgesweep_worker"}
    foreign = set()
    for path in sorted((workshop.folder / "edgesweep_worker").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            foreign |= {name.split(".")[0] for name in names} - allowed
    script = "import sys; [__import__(name) for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, *sorted(foreign)], check=True)
