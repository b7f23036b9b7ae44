"""Environments are made whole or not at all: real venvs, real pip, by this machine's shell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.provision import on_board
from edgesweep.fleet.provision.shell import LocalShell, converse, remote_command
from edgesweep.fleet.provision.wanted import parse_wanted, wanted_of_file
from edgesweep.fleet.provision.wheels import Source

JOB = {
    "do": "install", "name": "1.0.0", "flavour": "", "version": "1.0.0", "python": sys.executable,
    "requirement": "onnxruntime==1.0.0", "constraints": [], "online": False, "needs_bytes": 0,
}  # fmt: skip


class Watched(LocalShell):
    """This machine's shell, which remembers what it has started."""

    def __init__(self) -> None:
        self.started: list[asyncio.subprocess.Process] = []

    async def spawn(self, python, arguments):
        process = await super().spawn(python, arguments)
        self.started.append(process)
        return process


def tree(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


async def test_an_environment_is_made_named_found_and_removed(board, wheel) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    wheel(board.wheels, "onnxruntime-openvino", "1.24.1")
    plain, openvino = await board.install("1.20.0", "openvino-1.24.1")
    assert [(each.state, each.name, each.version) for each in (plain, openvino)] == [
        ("installed", "1.20.0", "1.20.0"),
        ("installed", "openvino-1.24.1", "1.24.1"),
    ]
    assert board.there() == ["1.20.0", "openvino-1.24.1"]
    assert board.left_over() == []
    folder = board.runtimes / "1.20.0"
    code = "import onnxruntime; print(onnxruntime.__file__)"
    said = await asyncio.to_thread(subprocess.check_output, [folder / "bin" / "python", "-I", "-c", code], text=True)
    assert said.startswith(str(folder))
    # Its scripts run from where it was renamed to.
    script = folder / "bin" / "onnxruntime_test"
    assert script.read_text().startswith(f"#!{folder}/bin/python")
    assert str(board.runtimes / ".new") not in (folder / "pyvenv.cfg").read_text()

    again = await board.install("1.20.0")
    assert [(each.state, each.python) for each in again] == [("present", plain.python)]
    removed = await board.provisioner().remove("openvino-1.24.1")
    assert removed.path == str(board.runtimes / "openvino-1.24.1")
    assert board.there() == ["1.20.0"]
    with pytest.raises(EdgesweepError, match=r"holds no 9.9; it holds 1.20.0"):
        await board.provisioner().remove("9.9")


async def test_the_state_folder_may_be_in_the_home(board, wheel, monkeypatch) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    monkeypatch.setenv("HOME", str(board.state.parent))
    provisioner = board.provisioner()
    provisioner._state_dir = "~/state"
    assert (await provisioner.look()).state_dir == str(board.state)


async def test_a_vendors_wheel_is_installed_by_its_file(board, wheel, tmp_path) -> None:
    path = wheel(tmp_path / "vendor", "onnxruntime-gpu", "1.23.0+jp6")
    outcomes = []
    await board.provisioner().install(
        [wanted_of_file(path)], Source(board.wheels), board.cache, online=False, done=outcomes.append
    )
    (outcome,) = outcomes
    assert (outcome.state, outcome.name, outcome.flavour) == ("installed", "gpu-1.23.0+jp6", "gpu")


async def test_a_board_with_internet_fetches_for_itself(board, wheel, monkeypatch) -> None:
    """Its pip is set to a folder here: what is tested is that it is asked as it is set, with our constraints."""
    wheel(board.wheels, "onnxruntime", "1.16.3", requires=("numpy",))
    wheel(board.wheels, "onnxruntime-openvino", "1.24.1")
    wheel(board.wheels, "numpy", "1.26.4")
    wheel(board.wheels, "numpy", "2.1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(board.wheels))
    outcomes = []
    wanted = [parse_wanted(text) for text in ("1.16.3", "openvino-newest", "9.9.9")]
    await board.provisioner().install(wanted, Source(), board.cache, online=True, done=outcomes.append)
    old, newest, none = outcomes
    assert (old.state, newest.state, newest.name) == ("installed", "installed", "openvino-1.24.1")
    assert [path.name for path in (board.runtimes / "1.16.3").rglob("numpy-*.dist-info")] == ["numpy-1.26.4.dist-info"]
    assert (none.error.code, "onnxruntime==9.9.9" in none.error.message) == ("runtime_unfit", True)
    assert board.there() == ["1.16.3", "openvino-1.24.1"]


async def test_a_board_without_internet_is_said_to_have_none(board, monkeypatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(EdgesweepError, match="the board cannot reach its package index") as caught:
        await board.provisioner().install([parse_wanted("1.20.1")], Source(), board.cache, online=True, done=print)
    assert caught.value.code == "index_unreachable"
    assert board.left_over() == []


async def test_what_cannot_be_imported_is_not_there_afterwards(board, wheel) -> None:
    broken = {
        "raise ImportError('libfoo.so.1: cannot open shared object file')": "libfoo.so.1: cannot open",
        "import os; os.kill(os.getpid(), 4)": "died of SIGILL",
        "import sys; sys.exit(3)": "status 3",
    }
    for number, body in enumerate(broken):
        wheel(board.wheels, "onnxruntime", f"1.20.{number}", body=body)
    wheel(board.wheels, "onnxruntime", "1.21.0")
    *failed, good = await board.install("1.20.0", "1.20.1", "1.20.2", "1.21.0")
    for outcome, sentence in zip(failed, broken.values(), strict=True):
        assert (outcome.state, outcome.error.code) == ("failed", "runtime_broken")
        assert sentence in outcome.error.message
    assert good.state == "installed"
    assert board.there() == ["1.21.0"]
    assert board.left_over() == []


async def test_one_version_in_two_pythons_is_two_environments(board, wheel) -> None:
    """The second Python is the first one's, said to be older: what is tested is the naming."""
    wheel(board.wheels, "onnxruntime", "1.20.0")
    await board.install("1.20.0")
    marker = board.runtimes / "1.20.0" / on_board.MARKER
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"python": "3.8.18"}))
    (second,) = await board.install("1.20.0")
    minor = "".join(map(str, sys.version_info[:2]))
    assert (second.state, second.name) == ("installed", f"1.20.0@py{minor}")
    assert [each.state for each in await board.install("1.20.0", f"1.20.0@py{minor}")] == ["present"] * 2


async def test_what_a_killed_controller_has_left_here_goes_a_day_later(board, wheel) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    for name in ("yesterday", "now"):
        (board.cache / name).mkdir(parents=True)
    os.utime(board.cache / "yesterday", (0, time.time() - 25 * 3600))
    await board.install("1.20.0")
    assert [path.name for path in board.cache.iterdir()] == ["now"]


async def test_two_who_install_the_same_get_one(board, wheel) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    outcomes = [each for (each,) in await asyncio.gather(board.install("1.20.0"), board.install("1.20.0"))]
    assert sorted(each.state for each in outcomes) == ["installed", "present"]
    assert board.there() == ["1.20.0"]
    assert board.left_over() == []


async def test_a_controller_that_goes_away_leaves_nothing(board, wheel, gate) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0", body=gate.body)
    shell = Watched()
    work = asyncio.create_task(board.install("1.20.0", shell=shell))
    await asyncio.to_thread(gate.wait)
    running = tree(shell.started[-1])
    assert len(running) > 1
    assert len(board.left_over()) == 2
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert board.left_over() == []
    assert board.there() == []
    assert not any(process.is_running() for process in running)


async def test_what_a_killed_one_has_left_is_swept_by_the_next(board, wheel, gate) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0", body=gate.body)
    wheel(board.wheels, "onnxruntime", "1.21.0")
    shell = Watched()
    work = asyncio.create_task(board.install("1.20.0", shell=shell))
    await asyncio.to_thread(gate.wait)
    parent, *children = tree(shell.started[-1])
    parent.kill()
    outcomes = await work
    assert outcomes[0].error.code == "install_failed"
    assert "signal 9" in outcomes[0].error.message
    # Whatever it had started died with it: nothing writes there any more.
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 20)
    assert alive == []
    assert len(board.left_over()) == 2
    assert board.there() == []
    await board.install("1.21.0")
    assert board.left_over() == []


async def test_the_sweep_spares_one_that_is_being_made(board, wheel, gate) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0", body=gate.body)
    wheel(board.wheels, "onnxruntime", "1.21.0")
    slow = asyncio.create_task(board.install("1.20.0"))
    await asyncio.to_thread(gate.wait)
    await board.install("1.21.0")
    assert len(board.left_over()) == 2
    await asyncio.to_thread(gate.open)
    assert [each.state for each in await slow] == ["installed"]
    assert board.there() == ["1.20.0", "1.21.0"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_seen_before_and_while_it_fills(board, wheel, small_disk) -> None:
    path = wheel(board.wheels, "onnxruntime", "1.0.0", ballast=60_000_000)
    board.state = small_disk
    with pytest.raises(EdgesweepError, match=r"has \d+ MB left for it, and it takes about \d+ MB") as before:
        await board.install("1.0.0")
    assert board.left_over() == []
    # As if somebody else had taken the room meanwhile.
    job = {**JOB, "state_dir": str(small_disk)}
    with pytest.raises(EdgesweepError, match="no space is left") as during:
        await converse(LocalShell(), job, [path, *board.wheels.glob("[np]*.whl")])
    assert {before.value.code, during.value.code} == {"disk_full"}
    assert board.left_over() == []
    assert board.there() == []


async def test_bytes_that_changed_on_the_way_are_refused(board, wheel, monkeypatch) -> None:
    path = wheel(board.wheels, "onnxruntime", "1.0.0")
    lie = {"name": path.name, "size": path.stat().st_size, "sha256": "0" * 64}
    monkeypatch.setattr("edgesweep.fleet.provision.shell._described", lambda _: lie)
    with pytest.raises(EdgesweepError) as caught:
        await converse(LocalShell(), {**JOB, "state_dir": str(board.state)}, [path])
    assert caught.value.code == "digest_mismatch"
    assert board.left_over() == []


async def test_a_state_folder_that_is_none_is_said_so(board, wheel) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    board.runtimes.write_text("a file")
    with pytest.raises(EdgesweepError) as caught:
        await board.install("1.20.0")
    assert caught.value.code == "state_dir_unusable"
    assert str(board.runtimes) in caught.value.message


@pytest.mark.parametrize("name", ["../elsewhere", ".new", "", "/etc", "a/b"])
async def test_no_name_leads_out_of_the_folder(board, name) -> None:
    (board.state / "elsewhere").mkdir()
    (board.state / "elsewhere" / "pyvenv.cfg").touch()
    for job in ({"do": "remove"}, JOB):
        if not name and job is JOB:
            continue
        with pytest.raises(EdgesweepError, match="no name of a runtime"):
            await converse(LocalShell(), {**job, "state_dir": str(board.state), "name": name})
    assert (board.state / "elsewhere" / "pyvenv.cfg").exists()


async def test_only_environments_are_removed(board) -> None:
    outside = board.state / "outside"
    outside.mkdir()
    (outside / "pyvenv.cfg").touch()
    board.runtimes.mkdir()
    (board.runtimes / "link").symlink_to(outside)
    (board.runtimes / "data").mkdir()
    for name in ("link", "data", "nothing"):
        with pytest.raises(EdgesweepError, match="no environment that can be removed"):
            await converse(LocalShell(), {"do": "remove", "state_dir": str(board.state), "name": name})
    assert (outside / "pyvenv.cfg").exists()
    assert (board.runtimes / "data").exists()


async def test_an_interpreter_that_is_none_is_said_so(board, wheel, tmp_path) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    with pytest.raises(EdgesweepError, match="no program 'pythn'") as caught:
        await board.install("1.20.0", python="pythn")
    assert caught.value.code == "no_interpreter"
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho Python 2\n")
    fake.chmod(0o755)
    with pytest.raises(EdgesweepError, match=r"no Python for 1.20.0; it has: .*fake: it is no working Python 3.8"):
        await board.install("1.20.0", python=str(fake))


def python38() -> str:
    for path in (shutil.which("python3.8"), *Path.home().glob(".pyenv/versions/3.8.*/bin/python3.8")):
        # A version manager's stand-in may be there without a Python behind it.
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(path)
    return ""


async def test_it_runs_on_the_oldest_python_that_a_board_may_have(board, wheel) -> None:
    """Our side on the board, and the environment, on 3.8."""
    found = python38()
    if not found:
        pytest.skip("NO PYTHON 3.8 HERE: what runs on a board was NOT tried on it")

    class Old(LocalShell):
        async def spawn(self, python, arguments):
            return await asyncio.create_subprocess_exec(
                found, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip

    wheel(board.wheels, "onnxruntime", "1.19.2")
    (outcome,) = await board.install("1.19.2@py38", shell=Old(), python=found)
    assert (outcome.state, outcome.name) == ("installed", "1.19.2")
    assert outcome.python.startswith("3.8.")


async def test_what_a_login_shell_prints_is_no_answer(board) -> None:
    class Noisy(LocalShell):
        async def spawn(self, python, arguments):
            command = f"echo 'Welcome to the board'; echo '[1]'; exec {sys.executable} \"$@\""
            return await asyncio.create_subprocess_exec(
                "sh", "-c", command, "sh", *arguments, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip

    found = await board.provisioner(shell=Noisy()).look()
    assert found.state_dir == str(board.state)


async def test_the_boards_side_that_dies_is_told_with_its_last_words(board) -> None:
    class Dying(LocalShell):
        async def spawn(self, python, arguments):
            return await asyncio.create_subprocess_exec(
                "sh", "-c", "echo 'out of file descriptors' >&2; kill -9 $$", stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip

    with pytest.raises(EdgesweepError, match=f"died of signal {signal.SIGKILL:d} .*out of file descriptors"):
        await board.provisioner(shell=Dying()).look()


def test_the_remote_command_survives_any_login_shell() -> None:
    assert remote_command("~/my python", ["-c", "a;b"]) == "exec ~/'my python' -c 'a;b'"
