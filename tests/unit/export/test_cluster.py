"""Exporting on a Dask cluster: what holds for the host's own service holds there, and losing a part of it says nothing
about a model.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
from distributed import LocalCluster
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.export.cluster import connection, service, versions
from edgesweep.export.cluster.bay import Piece, Ticket, read_piece
from edgesweep.export.cluster.service import ClusterService
from edgesweep.export.cluster.sight import Sight
from edgesweep_proto.trial import Stage

# Dask's own code, when a test ends one of its workers under it.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:distributed.*")


def local_cluster(workers: int = 2) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        silence_logs=50,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster() as started:
        yield started


@pytest.fixture
def address(cluster) -> str:
    return cluster.scheduler_address


def dask_workers(cluster: LocalCluster) -> dict[str, int]:
    """Process ids by address."""
    return {nanny.worker_address: nanny.pid for nanny in cluster.workers.values()}


def slots() -> list[psutil.Process]:
    """The export processes that the Dask workers under this process started and that are alive."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "edgesweep.export.workers.main" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def ended(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not alive


async def read(exports: ClusterService, jobs) -> dict[str, object]:
    return {result.variant.name: result async for result in exports.export(jobs)}


async def test_results_and_digests_are_those_of_this_host(
    address, cluster, lab, make_job, sweep, sweep_jobs, export_root, tmp_path
):
    names = {f"linear/{slug}-batch-fp32" for slug in ("dynamo-opset18", "dynamo-opset20", "torchscript-opset17")}
    jobs = [job for job in sweep_jobs if job.variant.name in names]
    dying = [make_job(lab("dying"), "torchscript", opset, "static") for opset in (16, 17)]
    before = dask_workers(cluster)
    started, steps = [], {}
    async with ClusterService(tmp_path, address) as exports:
        exports.on_start = lambda variant: started.append(variant.name)
        exports.on_step = lambda variant, step: steps.setdefault(variant.name, []).append(step)
        await exports.warm_up()
        assert len(slots()) == 2
        assert (await exports.describe(lab("loop"))).example == {"batch": 2, "seq": 6}
        with pytest.raises(EdgesweepError, match="the weights are on another disk") as caught:
            await exports.describe(lab("raising"))
        results = await read(exports, [*jobs, *dying])
        again = await read(exports, jobs[:1])
        warm = slots()
    assert caught.value.code == "model_unusable"
    crashes = [results.pop(job.variant.name) for job in dying]
    assert [crash.cause for crash in crashes] == ["export_crash"] * 2
    assert all("exit status 3" in crash.message for crash in crashes)
    assert results.keys() == names
    for name, result in results.items():
        assert result.passed
        assert replace(result, seconds=0) == replace(sweep[name], seconds=0)
        for blob in result.blobs:
            here = export_root / "blobs" / blob.sha256[:2] / blob.sha256
            assert exports.path_of(blob.sha256).read_bytes() == here.read_bytes()
        assert (tmp_path / "originals" / f"{result.manifest.model.sha256}.onnx").is_file()
    assert [result.cached for result in again.values()] == [True]
    assert names <= set(started)
    assert all(steps[name] for name in names)
    assert warm
    assert await asyncio.to_thread(ended, warm)
    assert dask_workers(cluster) == before
    assert not list((tmp_path / "scratch").iterdir())


async def test_a_factory_that_hangs_ends_at_the_deadline_and_no_dask_worker_with_it(
    address, cluster, lab, make_job, tmp_path
):
    before = dask_workers(cluster)
    jobs = [make_job(lab("hanging"), exporter, 17, "static") for exporter in ("dynamo", "torchscript")]
    async with ClusterService(tmp_path, address, slots=1, timeout_s=0.5) as exports:
        results = await read(exports, jobs)
        assert not slots()
    assert [(result.cause, result.stage) for result in results.values()] == [("factory_timeout", Stage.EXPORT)] * 2
    assert dask_workers(cluster) == before


async def test_a_killed_dask_worker_is_no_finding_and_jobs_end_even_when_none_is_left(lab, make_job, tmp_path):
    jobs = [make_job(lab("hanging"), "dynamo", 18, "static")]
    jobs += [make_job(lab("linear"), "torchscript", opset, "static") for opset in (16, 17)]
    more = [make_job(lab("hanging"), "dynamo", opset, "static") for opset in (17, 18, 20)]
    hanging = asyncio.Event()

    with local_cluster() as cluster:

        def kill_the_worker_of(lane) -> str:
            psutil.Process(dask_workers(cluster)[lane.site.address]).kill()
            return lane.site.address

        async with ClusterService(tmp_path, cluster.scheduler_address) as exports:
            exports.on_step = lambda variant, step: variant.model == "hanging" and step == "factory" and hanging.set()
            reading = asyncio.create_task(read(exports, jobs))
            await hanging.wait()
            (key,) = (key for key, variant in exports._variants.items() if variant.model == "hanging")
            first = kill_the_worker_of(next(lane for lane in exports._lanes if key.startswith(lane.site.bay)))
            results = await reading
            (left,) = exports._alive()

            hanging.clear()
            reading = asyncio.create_task(read(exports, more))
            await hanging.wait()
            second = kill_the_worker_of(left)
            rest = list((await reading).values())
            with pytest.raises(EdgesweepError, match="no Dask worker is left") as caught:
                await exports.describe(lab("loop"))
    lost = results.pop("hanging/dynamo-opset18-static-fp32")
    assert lost.cause == "export_host_trouble"
    assert first in lost.message
    assert [result.passed for result in results.values()] == [True, True]
    assert [result.cause for result in rest] == ["export_host_trouble"] * 3
    assert second in rest[0].message
    assert (caught.value.code, caught.value.exit_code) == ("cluster_unreachable", ExitCode.LAB)


async def test_cancelling_the_reader_ends_the_processes_on_the_workers(address, lab, make_job, tmp_path):
    hanging = asyncio.Event()
    async with ClusterService(tmp_path, address, slots=1) as exports:
        exports.on_step = lambda _variant, step: step == "import" and hanging.set()
        reading = asyncio.create_task(read(exports, [make_job(lab("hanging"), "dynamo", 18, "static")]))
        await hanging.wait()
        running = slots()
        assert running
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(ended, running)


async def test_a_controller_that_is_killed_leaves_no_process_on_the_workers(address, lab, tmp_path):
    source = lab("hanging")
    script = f"""
import asyncio
from pathlib import Path
from edgesweep.export.cluster.service import ClusterService
from edgesweep.export.schedule import ExportJob
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

async def main():
    source = ModelSource(SourceKind.FACTORY, {source.ref!r}, "hanging")
    async with ClusterService(Path({str(tmp_path)!r}), {address!r}, slots=1) as exports:
        exports.on_step = lambda variant, step: print("up", flush=True)
        async for _ in exports.export([ExportJob(source, Variant("hanging", "dynamo", 18, "static"), (Shape(),))]):
            pass

asyncio.run(main())
"""
    controller = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert await controller.stdout.readline() == b"up\n"
    running = slots()
    assert running
    controller.kill()
    await controller.wait()
    assert await asyncio.to_thread(ended, running)


async def test_bytes_that_are_not_those_that_were_named_are_not_believed(address, lab, make_job, tmp_path, monkeypatch):
    async def damaged(ticket: Ticket, piece: Piece) -> bytes:
        whole = await read_piece(ticket, piece)
        return whole[:-1] + bytes([whole[-1] ^ 1])

    job = make_job(lab("linear"), "torchscript", 17, "static")
    async with ClusterService(tmp_path, address, slots=1) as exports:
        with monkeypatch.context() as patch:
            patch.setattr(service, "read_piece", damaged)
            (result,) = (await read(exports, [job])).values()
            assert not list(tmp_path.rglob("blobs/*/*"))
        (second,) = (await read(exports, [job])).values()
    assert result.cause == "export_host_trouble"
    assert "did not arrive whole" in result.message
    assert second.passed


async def test_a_model_file_that_a_worker_lacks_is_no_failure_of_the_model(
    address, lab, make_job, tmp_path, monkeypatch
):
    elsewhere = Sight({"/only/on/the/controller.py": "0" * 64})
    monkeypatch.setattr(service, "sight_of", lambda _source: elsewhere)
    async with ClusterService(tmp_path, address, slots=1) as exports:
        (result,) = (await read(exports, [make_job(lab("linear"), "torchscript", 17, "static")])).values()
        with pytest.raises(EdgesweepError, match=r"does not see /only/on/the/controller\.py") as caught:
            await exports.describe(lab("loop"))
    assert result.cause == "export_host_trouble"
    assert "does not see /only/on/the/controller.py" in result.message
    assert caught.value.exit_code is ExitCode.LAB


async def test_workers_with_other_packages_are_refused_by_name(address, tmp_path, monkeypatch):
    theirs = versions.environment()
    monkeypatch.setattr(versions, "environment", lambda: {**theirs, "torch": "1.0", "edgesweep_code": "f" * 64})
    with pytest.raises(EdgesweepError) as caught:
        await ClusterService(tmp_path, address).__aenter__()
    assert caught.value.code == "cluster_differs"
    assert f"torch {theirs['torch']} instead of 1.0" in caught.value.message
    assert f"edgesweep_code {theirs['edgesweep_code'][:8]} instead of ffffffff" in caught.value.message


async def test_an_address_without_a_scheduler_is_lab_trouble(tmp_path, monkeypatch, unused_tcp_port):
    monkeypatch.setattr(connection, "CONNECT_S", 0.3)
    where = f"127.0.0.1:{unused_tcp_port}"
    for address in (f"tcp://{where}", f"tls://{where}", "carrier-pigeon://roof"):
        with pytest.raises(EdgesweepError, match="no Dask scheduler answers at") as caught:
            await ClusterService(tmp_path, address).__aenter__()
        assert (caught.value.code, caught.value.exit_code) == ("cluster_unreachable", ExitCode.LAB)


async def test_a_scheduler_without_workers_is_lab_trouble(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_S", 1.0)
    with local_cluster(workers=0) as cluster, pytest.raises(EdgesweepError, match="has no worker") as caught:
        await ClusterService(tmp_path, cluster.scheduler_address).__aenter__()
    assert caught.value.remedy == f"start one: dask worker {cluster.scheduler_address}"


def test_lanes_are_dealt_out_in_turns():
    assert connection.share_lanes({"a": 3, "b": 1, "c": 0}, None) == {"a": 3, "b": 1}
    assert connection.share_lanes({"a": 3, "b": 1}, 3) == {"a": 2, "b": 1}
    assert connection.share_lanes({"a": 3, "b": 1}, 1) == {"a": 1}
    assert connection.share_lanes({"a": 3, "b": 1}, 9) == {"a": 3, "b": 1}


def test_workers_are_held_against_each_other_where_the_controller_has_no_part():
    here = {"python": "3.11", "edgesweep": "1"}
    same = {**here, "torch": "2.9"}
    versions.refuse_differences({"w1": same, "w2": dict(same)}, here)
    with pytest.raises(EdgesweepError, match=r"w2 has torch 2\.8 instead of 2\.9"):
        versions.refuse_differences({"w1": same, "w2": {**same, "torch": "2.8"}}, here)
    with pytest.raises(EdgesweepError, match=r"w2 cannot run this Edgesweep: ModuleNotFoundError"):
        versions.refuse_differences({"w2": ModuleNotFoundError("No module named 'edgesweep'")}, here)


@pytest.mark.parametrize("executor", ["local", "dask"])
def test_the_plan_chooses_where_exports_run(executor, tmp_path, monkeypatch):
    from edgesweep.export.service import ExportService
    from edgesweep.home import find_home
    from edgesweep.plan.schema import PlanFile
    from edgesweep.sweep.launch import open_exports

    monkeypatch.setenv("EDGESWEEP_HOME", str(tmp_path))
    section = {"executor": executor} | ({"address": "tcp://10.0.0.1:8786"} if executor == "dask" else {})
    plan = PlanFile.model_validate({"version": 1, "models": [{"zoo": "mobile-cnn"}], "export": section})
    wanted = ClusterService if executor == "dask" else ExportService
    assert isinstance(open_exports(find_home(), plan), wanted)
