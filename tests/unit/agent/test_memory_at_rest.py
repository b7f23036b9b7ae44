"""What an agent does to stay small: two ways to one digest, and memory given back when work ends."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from edgesweep_agent.digest import sha256, small_sha256
from edgesweep_agent.heap import trim_heap
from edgesweep_agent.quiet import Quiet


@pytest.mark.parametrize("content", [b"", b"edgesweep" * 10_000])
def test_both_digests_are_sha256(content: bytes) -> None:
    assert small_sha256(content) == sha256(content).hexdigest() == hashlib.sha256(content).hexdigest()


def test_a_start_loads_neither_openssl_s_digests_nor_reflection() -> None:
    code = (
        "import sys, edgesweep_agent.main, edgesweep_agent.server; from edgesweep_agent.digest import small_sha256; "
        "small_sha256(b''); "
        "print({'_hashlib', 'grpc_reflection.v1alpha.reflection', 'psutil', 'ctypes'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "none"


def test_trimming_gives_freed_memory_back() -> None:
    pieces = [bytes([1]) * 4000 for _ in range(10_000)]
    last = bytes([1]) * 4000  # holds the top of the heap, so that freeing alone gives little back
    del pieces
    before = resident_kib()
    trim_heap()
    assert before - resident_kib() > 20_000
    assert last


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


async def test_rest_comes_once_after_the_last_of_several_uploads() -> None:
    rests: list[None] = []
    quiet = Quiet(on_rest=lambda: rests.append(None))
    with quiet.upload():
        with quiet.upload():
            pass
        await asyncio.sleep(0)
        assert rests == []
    assert rests == []
    await asyncio.sleep(0)
    assert len(rests) == 1


async def test_rest_comes_after_a_worker_unless_the_next_one_waits() -> None:
    rests: list[None] = []
    quiet = Quiet(on_rest=lambda: rests.append(None))
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def second() -> None:
        async with quiet.worker():
            entered.set()
            await leave.wait()

    async with quiet.worker():
        task = asyncio.ensure_future(second())
        await asyncio.sleep(0)
    await entered.wait()
    assert rests == []
    leave.set()
    await task
    await asyncio.sleep(0)
    assert len(rests) == 1
