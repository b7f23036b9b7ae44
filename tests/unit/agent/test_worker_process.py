"""A worker knows whose child it is, so that it never outlives its agent."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
from edgesweep_agent.worker_process import WorkerStartError, run_worker

TELLS_ITS_PARENT = """
import json, os, sys
told = int(sys.argv[sys.argv.index("--parent") + 1])
end = {"event": "end", "told": told, "parent": os.getppid()}
os.write(int(sys.argv[sys.argv.index("--events-fd") + 1]), json.dumps(end).encode() + b"\\n")
"""

CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


async def run(tmp_path: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "folder": tmp_path,
        "stderr_path": tmp_path / "stderr.txt",
        "deadline_s": lambda: 60.0,
        "on_start": lambda _: None,
        "on_event": lambda _: None,
    }
    return await run_worker([sys.executable, "-c", TELLS_ITS_PARENT], {}, **arguments | changes)


async def test_a_worker_is_told_whose_child_it_is(tmp_path: Path) -> None:
    ending = await run(tmp_path)
    assert ending.end == {"event": "end", "told": os.getpid(), "parent": os.getpid()}


@pytest.mark.skipif(not CHILDREN.exists(), reason="this kernel does not list the children of a thread")
async def test_the_main_thread_itself_starts_a_worker(tmp_path: Path) -> None:
    """The kernel's death signal comes when the thread that started the process ends: it must not be a passing one."""
    seen: list[str] = []
    await run(tmp_path, on_start=lambda pid: seen.extend(set(CHILDREN.read_text().split()) & {str(pid)}))
    assert len(seen) == 1


async def test_a_board_without_a_descriptor_left_starts_no_worker(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for left in range(6):
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + left, hard))
        try:
            with pytest.raises(WorkerStartError, match="could not be started: Too many open files") as refused:
                await run(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not refused.value.full_disk
    assert (await run(tmp_path)).end is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_what_a_full_disk_keeps_from_starting_says_so(tmp_path: Path) -> None:
    error = None
    try:
        Path("/dev/full").write_bytes(b"x")
    except OSError as refused:
        error = refused
    assert error is not None
    assert WorkerStartError.of("python", error).full_disk
