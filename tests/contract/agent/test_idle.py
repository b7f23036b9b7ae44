"""What an agent costs a board while nobody wants anything."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BARE = """
import asyncio
import grpc, grpc.aio

async def main():
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()

asyncio.run(main())
"""

MIB = 1024

#: What a bare server takes where its libraries are mapped a page at a time. A kernel that finds them in large folios, as
#: just after they were installed, maps megabytes more of the same files into any process: that is not the agent's doing.
BARE_MIB = 34.5


def mib(pid: int, what: str = "VmRSS") -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / MIB
    raise AssertionError(f"no {what}")


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def bare_server() -> Iterator[Callable[[], int]]:
    """Starts the least that a gRPC server in Python can be."""
    started: list[subprocess.Popen[str]] = []

    def start() -> int:
        process = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process.pid

    yield start
    for process in started:
        process.kill()
        assert process.stdout
        process.stdout.close()
        process.wait()


async def knows_its_runtimes(agent: Any, connect: Callable[..., Any], *credentials: Any) -> None:
    """The first look at the runtimes is over when the agent has described itself."""
    client = connect(agent.address, *credentials)
    assert (await client.describe()).runtimes
    await client.channel.close()


async def test_an_idle_agent_is_hardly_larger_than_a_bare_server(
    start_agent: Callable[..., Any], connect: Callable[..., Any], bare_server: Callable[[], int], lab: Any
) -> None:
    # The first life leaves its runtimes remembered: what is weighed is an agent's ordinary start.
    first = start_agent()
    await knows_its_runtimes(first, connect)
    first.stop()
    bare = bare_server()
    agent = start_agent("--tls-dir", str(lab.tls_dir)).pid
    assert mib(agent) <= 44 + max(0.0, mib(bare) - BARE_MIB), f"{mib(agent):.1f} MiB, a bare server {mib(bare):.1f} MiB"
    # Pages of its own, which are the same each time: those of library files come with the page cache's luck, and the same
    # agent was seen 7.6 and 8.3 MiB of resident memory above the same server within a day.
    own, of_bare = mib(agent, "RssAnon"), mib(bare, "RssAnon")
    assert own - of_bare <= 7, f"with TLS {own:.1f} MiB of its own, a bare server without TLS {of_bare:.1f} MiB"


async def test_an_agent_loads_nothing_of_what_it_measures(
    start_agent: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    agent = start_agent()
    await knows_its_runtimes(agent, connect)
    mapped = maps(agent.pid)
    for name in ("numpy", "onnxruntime", "torch", "libsqlite", "psutil"):
        assert name not in mapped
    assert "cygrpc" in mapped


async def test_an_idle_agent_uses_no_processor_time(
    start_agent: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    agent = start_agent()
    await knows_its_runtimes(agent, connect)
    settled(agent.pid)
    before, wakes = ticks(agent.pid), python_wakes(agent.pid)
    await asyncio.sleep(10)  # time has to pass here: it is what is looked at
    assert python_wakes(agent.pid) == wakes
    # gRPC's own threads look around once a second, in every server; their 3 to 5 ms now and then end a tick of 10.
    assert ticks(agent.pid) - before <= 1


def python_wakes(pid: int) -> int:
    """How often the agent's own thread has been woken so far."""
    lines = Path(f"/proc/{pid}/task/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)


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
    assert [name for name in open_files(agent.pid) if not name.startswith(str(agent.state_dir))] == []


def open_files(pid: int) -> list[str]:
    targets = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        # The last connection's socket may be closed between being listed and being read.
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(descriptor.readlink()))
    return [name for name in targets if name.startswith("/") and not name.startswith(("/dev/", "/proc/"))]


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text().lower()
