"""Libraries that misbehave when they are loaded as plug-in providers: the right cause each, and the agent lives."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgesweep_proto.trial import Provider, Stage, TrialOutcome, TrialResult

Start = Callable[..., Any]
Connect = Callable[..., Any]
Build = Callable[..., Path]

#: What each does, and the cause and signal that a trial asking for it ends with.
MISCHIEF = {
    "SEGFAULT": ("provider_crash", signal.SIGSEGV),
    "SLEEP": ("timeout", None),
    "EXHAUST": ("oom", signal.SIGABRT),
    "ILLEGAL": ("illegal_instruction", signal.SIGILL),
    "GARBAGE": ("provider_unavailable", None),
    "NO_ENTRY": ("provider_unavailable", None),
}

#: What the probe says of each.
FAULTS = {
    "SEGFAULT": "SIGSEGV",
    "SLEEP": "no answer within 2 s",
    "EXHAUST": "SIGABRT",
    "ILLEGAL": "SIGILL",
    "GARBAGE": "finds nothing to run on",
    "NO_ENTRY": "CreateEpFactories",
}

#: Enough for onnxruntime and numpy; a library that wants more is refused it.
WORKER_BYTES = 1 << 30

#: Longer than loading onnxruntime takes on a busy machine.
SLEEP_DEADLINE_S = 5.0


@pytest.fixture(scope="module")
def libraries(build_library: Build) -> dict[str, Path]:
    """One library for each mischief."""
    return {
        name: build_library("crafted_plugin.c", f"crafted_{name.lower()}", f"-DMISCHIEF={name}") for name in MISCHIEF
    }


def provider_of(mischief: str) -> str:
    return f"{mischief.title().replace('_', '')}ExecutionProvider"


async def test_a_library_that_misbehaves_costs_its_own_trial_and_nothing_else(
    start_agent: Start, connect: Connect, work: Any, libraries: dict[str, Path]
) -> None:
    named = [text for name, path in libraries.items() for text in ("--plugin", f"{provider_of(name)}={path}")]
    limits = ["--max-worker-bytes", str(WORKER_BYTES), "--provider-seconds", "2"]
    agent = start_agent(extra=[*named, *limits])
    client = connect(agent.address)
    runtime = (await client.describe()).runtimes[0]

    # The probe has met each of them, and tells of the runtime all the same.
    assert not runtime.fault
    assert runtime.harness_floor_s > 0
    plugins = {plugin.name: plugin for plugin in runtime.plugins}
    for mischief, path in libraries.items():
        plugin = plugins[provider_of(mischief)]
        assert FAULTS[mischief] in plugin.fault, mischief
        assert (plugin.library, list(plugin.devices)) == (path.name, [])
        assert str(path.parent) not in plugin.fault, "no path of the board leaves it"

    number = await client.lease()
    for content in work.contents:
        await client.push(content, number)
    results = {}
    for place, mischief in enumerate(MISCHIEF):
        deadline = SLEEP_DEADLINE_S if mischief == "SLEEP" else 60.0
        chain = (Provider(provider_of(mischief)),)
        wanted = work.trial(runtime.id, number=2 * place, providers=chain, deadlines_s={"": deadline})
        results[mischief] = (await client.run(wanted, number))[1]
        good = (await client.run(work.trial(runtime.id, number=2 * place + 1), number))[1]
        assert good.outcome is TrialOutcome.PASS, f"after {mischief}: {good.message}"

    assert {name: (result.cause, result.signal) for name, result in results.items()} == MISCHIEF
    for mischief, result in results.items():
        check_ending(result, libraries[mischief].name)
    assert f"for {SLEEP_DEADLINE_S:g} s" in results["SLEEP"].message
    assert "it has no CreateEpFactories" in results["NO_ENTRY"].message
    assert "garbage" in results["GARBAGE"].evidence, "what it wrote is evidence, and no event"
    assert agent.process.poll() is None


def check_ending(result: TrialResult, library: str) -> None:
    assert (result.outcome, result.stage) == (TrialOutcome.FAILED, Stage.LOAD)
    assert library in result.message, "a library that cannot speak for itself is named all the same"
