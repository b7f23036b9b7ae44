"""What an agent costs a board while nobody wants anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BARE = """
import asyncio, sys
import grpc.aio

async def main():
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()

asyncio.run(main())
"""

MIB = 1024


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / MIB
    raise AssertionError("no VmRSS")


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def bare_server() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    yield process.pid
    process.kill()
    process.stdout.close()
    process.wait()


async def knows_its_runtimes(agent: Any, connect: Callable[..., Any], *credentials: Any) -> None:
    """The first look at the runtimes is over when the agent has described itself."""
    client = connect(agent.address, *credentials)
    assert (await client.describe()).runtimes
    await client.channel.close()


async def test_an_idle_agent_is_hardly_larger_than_a_bare_server(
    start_agent: Callable[..., Any], connect: Callable[..., Any], bare_server: int, lab: Any
) -> None:
    # The first agent leaves its runtimes remembered: what is weighed is an agent's ordinary start.
    await knows_its_runtimes(start_agent(state="weighed"), connect)
    first = start_agent(state="other")
    agent = start_agent("--tls-dir", str(lab.tls_dir), state="tls")
    bare = rss_mib(bare_server)
    for pid in (first.pid, agent.pid):
        rss = rss_mib(pid)
        assert rss <= 44, f"{rss:.1f} MiB"
        assert rss - bare <= 8, f"{rss:.1f} MiB beside a bare server's {bare:.1f} MiB"


async def test_an_agent_loads_nothing_of_what_it_measures(
    start_agent: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    agent = start_agent()
    await knows_its_runtimes(agent, connect)
    mapped = Path(f"/proc/{agent.pid}/maps").read_text().lower()
    for name in ("numpy", "onnxruntime", "torch", "libsqlite", "psutil"):
        assert name not in mapped
    assert "cygrpc" in mapped


async def test_an_idle_agent_uses_no_processor_time(
    start_agent: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    agent = start_agent()
    await knows_its_runtimes(agent, connect)
    settled(agent.pid)
    before = ticks(agent.pid)
    time.sleep(10)
    assert ticks(agent.pid) == before


def settled(pid: int) -> None:
    """Return when the last connection's clean-up is done: a whole second without a tick."""
    for _ in range(30):
        before = ticks(pid)
        time.sleep(1)
        if ticks(pid) == before:
            return
    pytest.fail("the agent never came to rest")


async def test_an_agent_talks_to_nobody_and_writes_only_in_its_folder(
    start_agent: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    agent = start_agent()
    await knows_its_runtimes(agent, connect)
    outside = []
    for descriptor in Path(f"/proc/{agent.pid}/fd").iterdir():
        target = os.readlink(descriptor)
        if target.startswith("/") and not target.startswith((str(agent.state_dir), "/dev/", "/proc/")):
            outside.append(target)
    assert outside == []
