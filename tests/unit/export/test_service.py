from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.export.service import ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep_proto.trial import Stage


def workers() -> list[psutil.Process]:
    """The export workers that this process started and that are alive."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "edgesweep.export.workers.main" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


async def test_a_raising_factory_fails_every_variant_of_its_model_and_no_other(lab, make_job, tmp_path):
    jobs = [
        make_job(lab("raising"), exporter, opset, "static")
        for exporter in ("dynamo", "torchscript")
        for opset in (17, 18)
    ]
    jobs.append(make_job(lab("linear"), "torchscript", 17, "static"))
    async with ExportService(tmp_path, slots=1) as service:
        results = [result async for result in service.export(jobs)]
    assert len(results) == len(jobs)
    failed = [result for result in results if result.variant.model == "raising"]
    assert {(result.cause, result.stage) for result in failed} == {("factory_failed", Stage.EXPORT)}
    assert all("the weights are on another disk" in result.message for result in failed)
    assert all("RuntimeError" in result.detail for result in failed)
    assert next(result for result in results if result.variant.model == "linear").passed


async def test_a_factory_that_exits_is_a_crash_with_its_status(lab, make_job, tmp_path):
    jobs = [make_job(lab("dying"), "torchscript", opset, "static") for opset in (16, 17)]
    jobs.append(make_job(lab("linear"), "torchscript", 17, "static"))
    async with ExportService(tmp_path, slots=1) as service:
        results = {result.variant.slug + result.variant.model: result async for result in service.export(jobs)}
    crashed = [result for result in results.values() if result.variant.model == "dying"]
    assert [result.cause for result in crashed] == ["export_crash"] * 2
    assert all("exit status 3" in result.message and "factory" in result.message for result in crashed)
    assert results["torchscript-opset17-static-fp32linear"].passed


async def test_what_a_model_may_raise_beside_exceptions_is_told_too(lab, make_job, tmp_path):
    names = ("wordless", "wordless_example", "interrupted", "leaving")
    jobs = [make_job(lab(name), "torchscript", 17, "static") for name in names]
    async with ExportService(tmp_path, slots=1) as service:
        results = {result.variant.model: result async for result in service.export(jobs)}
    assert {name: results[name].cause for name in names} == {
        "wordless": "factory_failed",
        "wordless_example": "export_error",
        "interrupted": "factory_failed",
        "leaving": "export_crash",
    }
    assert "Wordless" in results["wordless_example"].message
    assert "raised KeyboardInterrupt" in results["interrupted"].message
    # Leaving torch takes seconds: a worker that was killed meanwhile would have SIGKILL for its status.
    assert "exit status 5" in results["leaving"].message
    assert "raise SystemExit(5)" in results["leaving"].detail


async def test_a_crash_is_that_variant_s_own_with_signal_and_bounded_evidence(lab, make_job, tmp_path):
    jobs = [
        make_job(lab("dying_export"), "torchscript", 17, "static"),
        make_job(lab("dying_export"), "dynamo", 30, "x"),
    ]
    async with ExportService(tmp_path, slots=1) as service:
        results = {result.variant.exporter: result async for result in service.export(jobs)}
    crash = results["torchscript"]
    assert crash.cause == "export_crash"
    assert "SIGABRT" in crash.message
    assert "xxxx" in crash.detail
    assert len(crash.detail) <= 64 << 10
    assert results["dynamo"].cause == "no_such_dimension"


async def test_a_hanging_factory_times_out_and_its_process_is_gone(lab, make_job, tmp_path):
    jobs = [make_job(lab("hanging"), exporter, 17, "static") for exporter in ("dynamo", "torchscript")]
    async with ExportService(tmp_path, slots=1, timeout_s=0.5) as service:
        results = [result async for result in service.export(jobs)]
        assert workers() == []
    assert [(result.cause, result.stage) for result in results] == [("factory_timeout", Stage.EXPORT)] * 2
    assert not list((tmp_path / "scratch").iterdir())


async def test_closing_the_iterator_kills_busy_workers(lab, make_job, tmp_path):
    jobs = [make_job(lab("linear"), "torchscript", 17, "static"), make_job(lab("hanging"), "torchscript", 17, "static")]
    async with ExportService(tmp_path, slots=2) as service:
        results = service.export(jobs)
        assert (await anext(results)).passed
        await results.aclose()
        assert len(workers()) <= 1
    assert workers() == []


async def test_cancelling_the_reader_leaves_no_worker(lab, make_job, tmp_path):
    started = asyncio.Event()

    async def read() -> None:
        async with ExportService(tmp_path, slots=1) as service:
            service.on_start = lambda _variant: started.set()
            async for _ in service.export([make_job(lab("hanging"), "dynamo", 18, "static")]):
                pass

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert workers() == []


async def test_leaving_the_service_ends_an_iterator_that_was_left_open(lab, make_job, tmp_path):
    jobs = [make_job(lab("linear"), "torchscript", 17, "static"), make_job(lab("hanging"), "torchscript", 17, "static")]
    async with ExportService(tmp_path, slots=2) as service:
        results = service.export(jobs)
        assert (await anext(results)).passed
    assert workers() == []
    assert not service._serving
    await results.aclose()


async def test_workers_die_with_a_controller_that_was_killed(lab, tmp_path):
    source = lab("hanging")
    script = f"""
import asyncio, sys
from pathlib import Path
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

async def main():
    source = ModelSource(SourceKind.FACTORY, {source.ref!r}, "hanging")
    async with ExportService(Path({str(tmp_path)!r}), slots=1) as service:
        reading = asyncio.create_task(anext(service.export([ExportJob(source, Variant("hanging", "dynamo", 18, "static"), (Shape(),))])))
        while not service._slots[0].running:
            await asyncio.sleep(0)
        print("up", flush=True)
        await reading

asyncio.run(main())
"""
    controller = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert await controller.stdout.readline() == b"up\n"
    children = psutil.Process(controller.pid).children(recursive=True)
    assert children
    controller.kill()
    await controller.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


async def test_memory_limit_is_a_result(lab, make_job, tmp_path):
    async with ExportService(tmp_path, slots=1, memory_bytes=256 << 20) as service:
        results = [result async for result in service.export([make_job(lab("linear"), "torchscript", 17, "static")])]
    assert (results[0].cause, results[0].stage) == ("export_oom", Stage.EXPORT)


async def test_a_damaged_blob_is_noticed_and_made_again(lab, make_job, tmp_path):
    jobs = [make_job(lab("linear"), "torchscript", 17, "batch")]
    async with ExportService(tmp_path, slots=1) as service:
        (first,) = [result async for result in service.export(jobs)]
        (second,) = [result async for result in service.export(jobs)]
        assert second == replace(first, cached=True)
        path = service.path_of(first.manifest.model.sha256)
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        (third,) = [result async for result in service.export(jobs)]
    assert not third.cached
    assert third.manifest == first.manifest
    assert path.read_bytes() == whole


async def test_another_weight_is_another_key(lab, make_job, tmp_path):
    source = tmp_path / "own.py"
    text = "import torch\nfrom layer import SCALE\ndef build():\n    m = torch.nn.Linear(2, 2)\n    m.scale = SCALE\n    return m, (torch.ones(1, 2),)\n"
    source.write_text(text, encoding="utf-8")
    (tmp_path / "layer.py").write_text("SCALE = 1\n", encoding="utf-8")
    model = ModelSource(SourceKind.FACTORY, f"{source}:build", "own")
    jobs = [make_job(model, "torchscript", 17, "static")]
    cached = []
    for scale in (1, 22):
        (tmp_path / "layer.py").write_text(f"SCALE = {scale}\n", encoding="utf-8")
        async with ExportService(tmp_path / "root", slots=1) as service:
            cached += [result.cached async for result in service.export(jobs)]
    assert cached == [False, False]


async def test_describe_loads_what_nobody_declared(lab, tmp_path):
    async with ExportService(tmp_path, slots=1) as service:
        facts = await service.describe(lab("loop"))
        assert facts.dimensions == ("batch", "seq")
        assert facts.ranges == {"batch": (1, 8), "seq": (2, 12)}
        assert facts.example == {"batch": 2, "seq": 6}
        with pytest.raises(EdgesweepError, match="the weights are on another disk") as caught:
            await service.describe(lab("raising"))
    assert caught.value.code == "model_unusable"


async def test_unknown_exporter_and_precision_are_results(lab, make_job, tmp_path):
    jobs = [make_job(lab("linear"), "carrier-pigeon", 17, "static")]
    half = make_job(lab("linear"), "torchscript", 17, "static")
    jobs.append(replace(half, variant=replace(half.variant, precision="fp7")))
    async with ExportService(tmp_path, slots=1) as service:
        messages = [result.message async for result in service.export(jobs)]
    assert "there are: dynamo, torchscript" in messages[0]
    assert "fp7" in messages[1]


def test_the_controller_never_imports_torch():
    code = "import sys, edgesweep.export.service as s; assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_a_cache_entry_that_is_no_json_is_ignored(tmp_path):
    from edgesweep.export.artifacts.blobs import Blobs
    from edgesweep.export.artifacts.cache import ExportCache

    cache = ExportCache(tmp_path, Blobs(tmp_path / "blobs"))
    key = "ab" * 32
    path: Path = tmp_path / "ab" / f"{key}.json"
    path.parent.mkdir()
    for text in ("", "{", json.dumps({"format": 1}), json.dumps({"format": 99, "result": {}}), "[]"):
        path.write_text(text, encoding="utf-8")
        assert cache.get(key) is None
