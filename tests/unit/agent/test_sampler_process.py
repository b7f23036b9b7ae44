"""The sampler as a real process: it looks only when told, and ends with whoever started it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from edgesweep_agent import sampler_process
from edgesweep_agent.sampled import sampler_job
from edgesweep_agent.sampler_process import SamplerProcess, Seen

SCRIPT = Path(sampler_process.__file__).with_name("sampler.py")


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("51000\n")
    (zone / "type").write_text("cpu\n")
    return sampler_job(tmp_path, cpus=(), accelerated=False, cpu=min(os.sched_getaffinity(0)), interval_s=0.01)


async def started(job: dict[str, Any]) -> SamplerProcess:
    sampler = await SamplerProcess.started(job)
    assert sampler is not None
    return sampler


async def test_what_lay_between_begin_and_end_is_told(job: dict[str, Any]) -> None:
    sampler = await started(job)
    sampler.begin()
    sampler.begin()
    sampler.end()
    trace = (await sampler.seen()).trace
    await sampler.close()
    assert trace is not None
    assert trace.readings >= 2
    assert trace.temperature_max_c == {"cpu": 51.0}
    assert trace.sampler_cpu == job["cpu"]
    assert trace.wall_s > 0
    assert trace.sampler_cpu_s > 0
    assert trace.agent_cpu_s > 0


async def test_a_trial_that_never_measured_has_no_trace(job: dict[str, Any]) -> None:
    sampler = await started(job)
    sampler.end()
    assert await sampler.seen() == Seen()
    await sampler.close()


async def test_a_sampler_that_died_is_missed_and_nothing_more(job: dict[str, Any]) -> None:
    sampler = await started(job)
    sampler.begin()
    sampler._process.kill()
    await sampler._process.wait()
    sampler.end()
    assert await sampler.seen() == Seen()
    await sampler.close()


async def test_a_core_that_may_not_be_used_is_not_told_as_used(job: dict[str, Any]) -> None:
    sampler = await started(job | {"cpu": 100_000})
    sampler.begin()
    trace = (await sampler.seen()).trace
    await sampler.close()
    assert trace is not None
    assert trace.sampler_cpu is None


async def test_a_board_that_refuses_a_process_measures_without_one(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await SamplerProcess.started(job) is None
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert await SamplerProcess.started(job) is None


@pytest.mark.parametrize("words", [[b"begin\n"], []])
async def test_it_ends_when_the_pipe_from_the_agent_does(job: dict[str, Any], words: list[bytes]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(SCRIPT), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(job).encode() + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    for word in words:
        process.stdin.write(word)
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 0


def test_it_is_light() -> None:
    """It loads nothing but a few modules of the standard library: it must hardly be there."""
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}, run_name='sampler'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = (
        "grpc",
        "google",
        "numpy",
        "asyncio",
        "subprocess",
        "dataclasses",
        "ctypes",
        "edgesweep_proto",
        "edgesweep_agent",
    )
    assert loaded.isdisjoint(heavy)
