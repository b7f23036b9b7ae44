"""A provider that is a library of its own, and really runs nodes: found, probed and measured like any other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgesweep_proto.trial import Protocol, Provider, Stage, TrialOutcome

Start = Callable[..., Any]
Connect = Callable[..., Any]

LAB, CPU = "LabExecutionProvider", "CPUExecutionProvider"
UNTIMED = Protocol(untimed=True)


@pytest.fixture(scope="module")
def library(build_library: Callable[..., Path]) -> Path:
    """A provider of Relu and Add."""
    return build_library("lab_provider.c", "lab_provider")


async def test_a_plug_in_provider_runs_nodes_and_says_so(
    start_agent: Start, connect: Connect, work: Any, library: Path
) -> None:
    agent = start_agent(extra=["--plugin", f"{LAB}={library}"])
    client = connect(agent.address)
    runtime = (await client.describe()).runtimes[0]
    (plugin,) = runtime.plugins
    assert (plugin.name, plugin.library, plugin.fault) == (LAB, library.name, "")
    (device,) = plugin.devices
    assert device.startswith(f"{LAB} CPU"), "what it runs on"
    probes = {probe.name: probe for probe in runtime.providers}
    assert LAB not in runtime.listed_providers
    assert (probes[LAB].nodes, list(probes[LAB].precisions), probes[LAB].plugin) == (1, ["fp32"], LAB)

    number = await client.lease()
    for content in work.contents:
        await client.push(content, number)
    lab = Provider(LAB, {"speed": "3"})
    for place, (chain, protocol) in enumerate([
        ((lab,), None), ((lab, Provider(CPU)), None), ((lab,), UNTIMED), ((Provider(CPU), lab), UNTIMED)
    ]):  # fmt: skip
        trial = work.trial(runtime.id, number=place, providers=chain)
        trial = replace(trial, protocol=protocol) if protocol else trial
        _, result, _ = await client.run(trial, number)
        assert result.outcome is TrialOutcome.PASS, f"{chain}: {result.message} {result.evidence}"
        assert f"plugin_device:{device}" in result.tags
        assert result.session
        assert {item.name: item.options for item in result.session.provider_options} == {LAB: {"speed": "3"}, CPU: {}}
        assert result.placement
        nodes = {share.provider: share.nodes for share in result.placement.shares}
        assert nodes[chain[0].name] == 1, "the first of the chain has the model's only node"
        if protocol is None:
            assert result.cold_start
            assert result.cold_start.provider_load_s


async def test_what_a_plug_in_does_not_take_is_never_its_number(
    start_agent: Start, connect: Connect, work: Any, library: Path
) -> None:
    agent = start_agent(extra=["--plugin", f"{LAB}={library}"])
    client = connect(agent.address)
    runtime = (await client.describe()).runtimes[0].id
    number = await client.lease()
    for content in work.contents:
        await client.push(content, number)

    # There is no NPU for it, and the CPU is not taken instead.
    asked = work.trial(runtime, providers=(Provider(LAB, {"device_type": "NPU"}),))
    _, result, _ = await client.run(asked, number)
    assert (result.outcome, result.stage, result.cause) == (TrialOutcome.FAILED, Stage.LOAD, "provider_unavailable")
    assert "finds no NPU here" in result.message

    # A file on the board is nothing that a peer may name.
    asked = work.trial(runtime, number=1, providers=(Provider(LAB, {"kernels": "/tmp/evil.so"}),))
    _, result, _ = await client.run(asked, number)
    assert (result.outcome, result.cause) == (TrialOutcome.FAILED, "option_refused")

    # The library is replaced by one that is none: the agent sees it, and probes again.
    with replaced(library, b"no library at all"):
        (plugin,) = (await client.describe()).runtimes[0].plugins
    assert "cannot register the library" in plugin.fault
    assert not plugin.devices


@contextlib.contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    kept = path.rename(path.with_suffix(".kept"))
    try:
        path.write_bytes(content)
        yield
    finally:
        kept.replace(path)
