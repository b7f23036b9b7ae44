from __future__ import annotations

import asyncio
import threading

import pytest
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter


@pytest.fixture
async def writer(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/store.sqlite", tmp_path / "samples") as store:
        async with StoreWriter(store) as opened:
            yield opened


async def test_calls_run_in_order_on_one_thread_that_is_not_the_loops(writer):
    seen = []

    def note(number):
        seen.append((number, threading.get_ident()))
        return number * 2

    answers = await asyncio.gather(*(writer.call(note, number) for number in range(20)))
    assert answers == [number * 2 for number in range(20)]
    assert [number for number, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


async def test_the_loop_goes_on_while_the_store_writes(writer):
    release = threading.Event()
    waiting = asyncio.create_task(writer.call(release.wait))
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    assert await waiting is True


async def test_what_was_handed_in_is_written_though_the_caller_was_cancelled(writer, make):
    release = threading.Event()
    first = asyncio.create_task(writer.call(release.wait))
    await asyncio.sleep(0)
    second = asyncio.create_task(writer.call(writer.store.create_run, make.run(), make.cells()))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    release.set()
    await first
    await writer.close()
    assert writer.store.find_run("latest") == make.run().id


async def test_an_error_reaches_the_caller_and_the_writer_goes_on(writer, make):
    await writer.call(writer.store.create_run, make.run(), make.cells())
    with pytest.raises(LookupError):
        await writer.call(
            writer.store.save_trial, make.run().id, make.trial(make.cells(9)[8], make.samples(1)), make.samples(1)
        )
    assert await writer.call(writer.store.find_run, "latest") == make.run().id
