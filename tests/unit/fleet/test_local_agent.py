"""The agent that the controller starts itself: it comes up or says why, and it never outlives its controller."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.local_agent import LocalAgent

CONTROLLER = """
import asyncio, sys
from pathlib import Path
from edgesweep.fleet.local_agent import LocalAgent

async def main():
    agent = LocalAgent()
    await agent.start("pi-1", Path(sys.argv[1]), None, [], sys.argv[2])
    print(agent.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def program(folder: Path, *lines: str) -> str:
    """A stand-in for the agent's interpreter that behaves in one certain way."""
    path = folder / "python"
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o700)
    return str(path)


def wait_gone(pid: int, timeout_s: float = 30.0) -> bool:
    """Whether the process ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(handle)


def ready(address: str = "127.0.0.1:1") -> str:
    return "echo '{}'".format(json.dumps({"listening": address, "name": "pi-1", "pid": 1}))


async def test_it_is_asked_to_listen_on_loopback_in_a_session_of_its_own(tmp_path, lab):
    told = tmp_path / "told"
    python = program(tmp_path, f'printf "%s\\n" "$@" > {told}', ready("127.0.0.1:4711"), "exec sleep 600")
    async with LocalAgent() as agent:
        address = await agent.start("pi-1", tmp_path / "state", lab.device, ["old=/opt/py38/bin/python"], python)
        assert address == "127.0.0.1:4711"
        assert os.getsid(agent.pid) == agent.pid
        pid = agent.pid
    assert wait_gone(pid)
    assert told.read_text().split() == [
        *("-m", "edgesweep_agent", "serve", "--listen", "127.0.0.1:0"),
        *("--state-dir", str(tmp_path / "state"), "--name", "pi-1", "--tls-dir", str(lab.device)),
        *("--runtime", "old=/opt/py38/bin/python"),
    ]


async def test_one_that_ignores_sigterm_is_killed(tmp_path):
    agent = LocalAgent(stop_s=0.2)
    await agent.start("pi-1", tmp_path, None, [], program(tmp_path, "trap '' TERM", ready(), "exec sleep 600"))
    pid = agent.pid
    await agent.stop()
    assert wait_gone(pid)
    assert agent.pid is None
    await agent.stop()


async def test_one_that_ends_is_quoted(tmp_path):
    python = program(tmp_path, "echo 'settings: the port is taken' >&2", "exit 78")
    with pytest.raises(EdgesweepError, match="ended with status 78: settings: the port is taken") as caught:
        await LocalAgent().start("pi-1", tmp_path, None, [], python)
    assert caught.value.code == "unreachable"
    assert str(tmp_path / "agent.log") in caught.value.remedy


async def test_one_that_says_nothing_is_ended_at_its_deadline(tmp_path):
    agent = LocalAgent(ready_s=0.2, stop_s=5.0)
    with pytest.raises(EdgesweepError, match=r"said nothing within 0\.2 s"):
        await agent.start("pi-1", tmp_path, None, [], program(tmp_path, "exec sleep 600"))
    assert agent.pid is None


async def test_one_that_says_something_else_is_ended(tmp_path):
    agent = LocalAgent()
    with pytest.raises(EdgesweepError, match="first line is not the expected one"):
        await agent.start("pi-1", tmp_path, None, [], program(tmp_path, "echo hello", "exec sleep 600"))
    assert agent.pid is None


async def test_an_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(EdgesweepError, match="No such file or directory"):
        await LocalAgent().start("pi-1", tmp_path, None, [], str(tmp_path / "nowhere"))


async def test_starting_twice_is_a_mistake(tmp_path):
    python = program(tmp_path, ready(), "exec sleep 600")
    async with LocalAgent() as agent:
        await agent.start("pi-1", tmp_path, None, [], python)
        with pytest.raises(RuntimeError, match="running already"):
            await agent.start("pi-1", tmp_path, None, [], python)


async def test_giving_up_while_it_starts_ends_it(tmp_path):
    agent = LocalAgent(stop_s=5.0)
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    python = program(tmp_path, f"echo $$ > {pid_file}", "exec sleep 600")
    starting = asyncio.create_task(agent.start("pi-1", tmp_path, None, [], python))
    pid = int(await asyncio.to_thread(pid_file.read_text))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert wait_gone(pid)


def test_it_dies_with_a_killed_controller(tmp_path):
    # It ignores every polite signal, as a hung agent would.
    python = program(tmp_path, "trap '' TERM HUP INT", ready(), "exec sleep 600")
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(tmp_path / "state"), python], stdout=subprocess.PIPE
    )
    with controller:
        agent = psutil.Process(int(controller.stdout.readline()))
        assert agent.ppid() == controller.pid
        controller.send_signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs([agent], timeout=30)
    for survivor in alive:
        survivor.kill()
    assert gone, "the agent outlived its controller"


def test_a_launcher_whose_parent_is_gone_already_starts_nothing(tmp_path):
    from edgesweep.fleet import local_agent

    marker = tmp_path / "marker"
    launcher = Path(local_agent.__file__).with_name("die_with_parent.py")
    done = subprocess.run(
        [sys.executable, "-I", str(launcher), "1", "touch", str(marker)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the parent is gone" in done.stderr
    assert not marker.exists()
