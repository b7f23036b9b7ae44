from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet.channel import LinkTimings
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.description import host_boot_id, is_colocated
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.codec import from_proto
from edgesweep_proto.device import Reading
from edgesweep_proto.trial import (
    Protocol,
    Provider,
    Samples,
    SessionOptions,
    Stage,
    Tolerance,
    Trial,
    TrialEvent,
    TrialOutcome,
    TrialResult,
    TrialState,
)


def trial(trial_id: str = "run/key/0/0") -> Trial:
    return Trial(
        id=trial_id,
        run_id="run",
        cell_key="key",
        cell_name="pi-1/cnn/dynamo-opset18-static-fp32/1.32.0/cpu/example/t1",
        round=0,
        attempt=0,
        artifact=Manifest(Blob("a" * 64, 10)),
        inputs=(),
        references=(),
        tolerance=Tolerance(),
        runtime_id="1.32.0",
        providers=(Provider("CPUExecutionProvider"),),
        session=SessionOptions(),
        protocol=Protocol(),
        deadlines_s={"": 30.0},
    )


def result(trial_id: str, samples: bytes | None, digest: str = "") -> TrialResult:
    named = None
    if samples is not None:
        named = Samples(Blob(digest or hashlib.sha256(samples).hexdigest(), len(samples)), 1, 2, 1, "done")
    return TrialResult(trial_id, TrialOutcome.PASS, Stage.PLACEMENT, samples=named)


async def test_describe_states_the_version_and_tells_the_facts(client, board):
    board.devices.device.boot_id = "someone-else"
    description = await client.describe()
    assert description.device.name == "pi-1"
    assert description.reading == Reading(at=5.0)
    assert not description.colocated
    assert (board.devices.asked[0].controller_version, board.devices.asked[0].protocol_version) == ("0.1.0", 1)


async def test_a_device_with_this_hosts_boot_id_is_colocated(client, board):
    board.devices.device.boot_id = host_boot_id()
    assert (await client.describe()).colocated
    assert not is_colocated("", "")
    assert not is_colocated("", host_boot_id())


async def test_another_protocol_version_is_refused_with_the_command_that_mends_it(client, board):
    board.devices.device.protocol_version = 99
    with pytest.raises(EdgesweepError, match="speaks version 99 of the contract") as caught:
        await client.describe()
    assert caught.value.code == "protocol_mismatch"
    assert "pip install edgesweep-agent==0.1.0" in caught.value.remedy


async def test_an_idempotent_call_is_sent_again_by_itself(client, board):
    board.devices.fails_first = 2
    assert (await client.describe()).device.name == "pi-1"
    assert len(board.devices.asked) == 3


async def test_a_device_that_comes_back_is_found_again(client, board, lab, start_board):
    await client.describe()
    await board.server.stop(None)
    back = await start_board(lab.device, board.address)
    assert (await client.describe()).device.name == "pi-1"
    assert len(back.devices.asked) == 1


async def test_one_that_does_not_come_back_is_unreachable(board, lab):
    timings = replace(LinkTimings(), call_s=0.5)
    async with DeviceClient(board.entry(), lab.controller, controller_version="0.1.0", timings=timings) as client:
        await client.describe()
        await board.server.stop(None)
        with pytest.raises(EdgesweepError, match="does not answer") as caught:
            await client.list_leases()
    assert caught.value.code == "unreachable"


async def test_a_lease_is_taken_kept_and_given_back(client, board):
    lease = await client.acquire("me", ttl_s=30.0, priority=5, purpose="nightly")
    assert (lease.owner, lease.fencing_number, lease.priority, lease.purpose) == ("me", 1, 5, "nightly")
    assert (await client.renew(1, 60.0)).ttl_s == 60.0
    assert await client.list_leases() == (from_proto(type(lease), board.leases.lease),)
    await client.release(1)
    assert await client.list_leases() == ()


async def test_the_agents_code_and_sentence_reach_the_user(client, board):
    await client.acquire("first", ttl_s=30.0)
    with pytest.raises(EdgesweepError, match="device 'pi-1': first holds the device") as caught:
        await client.acquire("second", ttl_s=30.0)
    assert (caught.value.code, caught.value.exit_code) == ("lease_held", ExitCode.LAB)
    assert board.leases.acquires == 2, "taking a lease is not idempotent and must not be sent again"


async def test_submit_and_cancel(client, board):
    assert await client.submit(trial(), 1) is TrialState.QUEUED
    assert from_proto(Trial, board.trials.submitted["run/key/0/0"]) == trial()
    assert await client.cancel("run/key/0/0", 1) is TrialState.FINISHED
    with pytest.raises(EdgesweepError) as caught:
        await client.submit(trial(), 2)
    assert caught.value.code == "lease_lost"
    with pytest.raises(EdgesweepError) as caught:
        await client.cancel("other", 1)
    assert caught.value.code == "unknown_trial"


async def test_watch_goes_on_from_a_cursor(client, board):
    board.trials.events = [TrialEvent(n, "t", TrialState.RUNNING, Stage.MEASURE, float(n)) for n in (1, 2, 3)]
    assert [event async for event in client.watch("run", 1)] == board.trials.events[1:]


async def test_telemetry(client):
    async with contextlib.aclosing(client.telemetry(0.5)) as readings:
        assert [reading.at async for reading in readings] == [1.0, 2.0]


async def test_fetch_puts_samples_together_again_and_checks_them(client, board):
    samples = np.arange(1000, dtype="<i8").tobytes()
    board.trials.chunk = 333
    board.trials.results = [
        (result("one", samples), samples),
        (result("two", None), b""),
        (result("three", b"\x00" * 8), b"\x00" * 8),
    ]
    fetched = [item async for item in client.fetch("run")]
    assert [(item.cursor, item.result.trial_id, len(item.samples)) for item in fetched] == [
        (1, "one", 8000),
        (2, "two", 0),
        (3, "three", 8),
    ]
    assert fetched[0].samples == samples
    assert fetched[0].result == board.trials.results[0][0]
    assert [item.cursor async for item in client.fetch("run", 2)] == [3]
    assert await client.acknowledge(["one", "two"]) == ("one", "two")
    assert board.trials.acknowledged == ["one", "two"]


@pytest.mark.parametrize(
    ("header", "sent", "sentence"),
    [
        (result("bad", b"12345678", digest="f" * 64), b"12345678", "do not have the digest"),
        (result("bad", b"12345678"), b"123", "are cut short"),
        (result("bad", b"12345678"), b"123456789", "belong to no result|are longer than"),
        (result("bad", None), b"1", "belong to no result"),
    ],
)
async def test_samples_that_are_not_the_named_ones_are_refused(client, board, header, sent, sentence):
    board.trials.results = [(header, sent)]
    with pytest.raises(EdgesweepError, match=sentence) as caught:
        async for _ in client.fetch("run"):
            pass
    assert caught.value.code == "digest_mismatch"


async def test_a_result_whose_samples_are_cut_by_the_next_header_is_refused(client, board):
    board.trials.results = [(result("bad", b"12345678"), b"123"), (result("good", None), b"")]
    with pytest.raises(EdgesweepError, match="samples of trial bad are cut short"):
        async for _ in client.fetch("run"):
            pass


async def test_samples_beyond_any_trials_size_are_not_read(client, board):
    huge = TrialResult("huge", TrialOutcome.PASS, Stage.MEASURE, samples=Samples(Blob("a" * 64, 1 << 40), 1, 1, 1, ""))
    board.trials.results = [(huge, b"1")]
    with pytest.raises(EdgesweepError, match="more than any trial has"):
        async for _ in client.fetch("run"):
            pass


async def test_a_client_outside_of_its_context_says_so(board, dial):
    with pytest.raises(RuntimeError, match="outside of its context"):
        await dial(board.entry()).list_leases()


async def test_a_newer_agents_unknown_state_is_no_failure(client, board):
    board.trials.answer_state = 77
    assert await client.submit(trial(), 1) is TrialState.UNKNOWN


async def test_a_code_that_only_a_newer_agent_knows_falls_back_on_the_status(client, board):
    board.trials.answer_code = "invented_tomorrow"
    with pytest.raises(EdgesweepError, match="RESOURCE_EXHAUSTED: too much of tomorrow") as caught:
        await client.submit(trial(), 1)
    assert caught.value.code == "invalid_request"
