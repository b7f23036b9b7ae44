"""An agent that is killed while it holds the clocks of a (fake) board fixed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgesweep_proto.v1 import trial_pb2

POLICIES = {"policy0": "ondemand\n", "policy4": "schedutil\n"}


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Two frequency policies, as a board with big and small cores has them."""
    root = tmp_path / "board"
    for policy, governor in POLICIES.items():
        folder = root / "sys/devices/system/cpu/cpufreq" / policy
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor)
        (folder / "scaling_cur_freq").write_text("1800000\n")
    return root


def governors(board: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text().strip() for path in board.rglob("scaling_governor")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_an_agent_that_ends_in_the_middle_leaves_no_board_at_full_clock(
    start_agent: Callable[..., Any], connect: Callable[..., Any], work: Any, board: Path, number: int
) -> None:
    agent = start_agent(extra=["--sysroot", str(board)])
    client = connect(agent.address)
    described = await client.describe()
    assert described.device.clock_control == "cpufreq"
    lease = await client.lease()
    for content in work.contents:
        await client.push(content, lease)
    trial = work.long_trial(described.runtimes[0].id)
    trial = replace(trial, protocol=replace(trial.protocol, fix_clocks=True))
    await client.submit(trial, lease)
    await client.until(trial, trial_pb2.TRIAL_STATE_RUNNING, trial_pb2.STAGE_MEASURE)
    assert governors(board) == dict.fromkeys(POLICIES, "performance")
    agent.stop(number)
    if number == signal.SIGKILL:
        assert governors(board) == dict.fromkeys(POLICIES, "performance")
        start_agent(extra=["--sysroot", str(board)])
    assert governors(board) == {policy: governor.strip() for policy, governor in POLICIES.items()}
    assert not (agent.state_dir / "clocks.json").exists()
