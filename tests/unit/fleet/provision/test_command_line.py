"""The command as people give it, over a real ssh server and with a real agent."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep.errors import ExitCode
from edgesweep.fleet.local_agent import LocalAgent

Cli = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("EDGESWEEP_HOME", str(tmp_path / "home"))

    def run(*args: str, code: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "edgesweep", *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=110)
        assert done.returncode == code, done.stderr
        return done

    return run


async def test_the_inventory_says_how_the_board_is_reached(board, wheel, sshd, cli: Cli) -> None:
    """What is installed has no onnxruntime in it: that the agent cannot use it is told too, and is the lab's trouble."""
    await asyncio.to_thread(cli, "pki", "init")
    tls_dir = Path((await asyncio.to_thread(cli, "pki", "issue", "desk")).stdout.strip())
    wheel(board.wheels, "onnxruntime-openvino", "1.24.1")
    async with LocalAgent() as agent:
        address = await agent.start("desk", board.state, tls_dir, [])
        way = ("--ssh", "board", "--state-dir", str(board.state))
        await asyncio.to_thread(cli, "device", "add", "desk", address, *way)
        (row,) = json.loads((await asyncio.to_thread(cli, "device", "list", "-o", "json")).stdout)["devices"]
        assert (row["ssh"], row["state_dir"]) == ("board", str(board.state))

        args = ("runtime", "install", "desk", "openvino-1.24.1", "--wheels", str(board.wheels))
        args = (*args, "--python", sys.executable)
        done = await asyncio.to_thread(cli, *args, "-o", "json", code=ExitCode.LAB)
        (row,) = json.loads(done.stdout)["runtimes"]
        assert (row["state"], row["path"]) == ("installed", str(board.runtimes / "openvino-1.24.1"))
        assert "incomplete" in row["probe"]["fault"]
        assert row["probe"]["installed_as"] == "openvino-1.24.1"
        assert "copying" in done.stderr
        assert "to board" in done.stderr

        table = await asyncio.to_thread(cli, *args, code=ExitCode.LAB)
        assert "present" in table.stdout
        assert "cannot be used" in table.stdout
        await asyncio.to_thread(cli, "runtime", "remove", "desk", "openvino-1.24.1", "--yes")
    assert board.there() == []
    assert sshd.logins() == 3


async def test_a_board_that_refuses_the_key_is_a_matter_of_credentials(board, wheel, sshd, cli: Cli) -> None:
    """Nothing was held or made before it was known that the board can be reached."""
    (sshd.folder / "authorized").write_text("")
    await asyncio.to_thread(cli, "pki", "init")
    await asyncio.to_thread(
        cli, "device", "add", "desk", "127.0.0.1:1", "--ssh", "board", "--state-dir", str(board.state)
    )
    args = ("runtime", "install", "desk", "1.20.0", "--wheels", str(board.wheels))
    done = await asyncio.to_thread(cli, *args, code=ExitCode.CREDENTIALS)
    assert done.stdout == ""
    assert "ssh-copy-id board" in done.stderr
    assert not board.runtimes.exists()
