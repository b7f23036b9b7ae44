"""Trouble of the host: it ends an export without a word about the model, and is never kept."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from edgesweep.errors import CATALOGUE, EdgesweepError, ExitCode, is_repeatable
from edgesweep.export.failures.classify import classify
from edgesweep.export.failures.host import host_trouble, is_out_of_memory
from edgesweep.export.proof.prove import Case, prove
from edgesweep.export.service import ExportService
from edgesweep_proto.trial import Stage, Tolerance
from onnx import TensorProto, helper

#: Less than the weights of `wide`, more than anything else that an export writes.
TIGHT = 1 << 20
BOTH = ("dynamo", "torchscript")


@contextmanager
def soft_limit(which: int, value: int) -> Iterator[None]:
    before, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (before, hard))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of one MiB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TIGHT}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={64 * TIGHT}", str(disk)], check=True)


async def results_of(service: ExportService, jobs):
    return [result async for result in service.export(jobs)]


async def test_a_full_disk_is_the_host_s_trouble_and_passes_with_room(lab, make_job, small_disk):
    jobs = [make_job(lab("wide"), exporter, 18, "static") for exporter in BOTH]
    async with ExportService(small_disk, slots=1) as service:
        full = await results_of(service, jobs)
        make_room(small_disk)
        roomy = await results_of(service, jobs)
    assert [result.cause for result in full] == ["export_host_trouble"] * 2
    assert all("No space left on device" in result.message for result in full)
    assert [(result.passed, result.cached) for result in roomy] == [(True, False)] * 2


async def test_a_limit_on_files_is_the_host_s_trouble(lab, make_job, tmp_path):
    jobs = [make_job(lab("wide"), exporter, 18, "static") for exporter in BOTH]
    with soft_limit(resource.RLIMIT_FSIZE, TIGHT):
        async with ExportService(tmp_path, slots=1) as service:
            limited = await results_of(service, jobs)
    assert [(result.cause, result.stage) for result in limited] == [("export_host_trouble", Stage.EXPORT)] * 2
    async with ExportService(tmp_path, slots=1) as service:
        assert all(result.passed and not result.cached for result in await results_of(service, jobs))


async def test_a_worker_that_does_not_start_in_time(lab, make_job, tmp_path, monkeypatch):
    monkeypatch.setattr("edgesweep.export.workers.slot._IMPORT_TIMEOUT_S", 1e-3)
    async with ExportService(tmp_path, slots=1) as service:
        (result,) = await results_of(service, [make_job(lab("linear"), "torchscript", 17, "static")])
        with pytest.raises(EdgesweepError, match="did not start in time") as caught:
            await service.describe(lab("loop"))
    assert (result.cause, "did not start in time" in result.message) == ("export_host_trouble", True)
    assert (caught.value.code, caught.value.exit_code) == ("export_host_trouble", ExitCode.LAB)


async def test_a_worker_that_cannot_be_started_is_a_result(lab, make_job, tmp_path):
    (tmp_path / "scratch").write_text("in the way", encoding="utf-8")
    jobs = [make_job(lab("linear"), exporter, 18, "static") for exporter in BOTH]
    async with ExportService(tmp_path, slots=1) as service:
        refused = await results_of(service, jobs)
        with pytest.raises(EdgesweepError) as caught:
            await service.describe(lab("loop"))
        (tmp_path / "scratch").unlink()
        (passed,) = await results_of(service, jobs[:1])
    assert [result.cause for result in refused] == ["export_host_trouble"] * 2
    assert caught.value.code == "export_host_trouble"
    assert passed.passed


async def test_a_worker_stopped_from_outside_fails_no_other_variant(lab, make_job, tmp_path):
    jobs = [make_job(lab("stopped"), "torchscript", opset, "static") for opset in (16, 17)]
    ran = []
    async with ExportService(tmp_path, slots=1) as service:
        service.on_start = ran.append
        results = await results_of(service, jobs)
    assert [result.cause for result in results] == ["export_host_trouble"] * 2
    assert all("SIGTERM" in result.message for result in results)
    assert len(ran) == 2


def test_the_proof_s_own_files_are_the_host_s(tmp_path):
    value = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"}
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value["x"]], [value["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", np.ones(2, np.float32))
    case = Case("example", {"x": tmp_path / "x.npy"}, None, example=True, outputs=tmp_path / "nowhere" / "out")
    proof = prove(tmp_path / "m.onnx", [case], Tolerance(), 60)
    assert (proof.failure.cause, proof.failure.stage) == ("export_host_trouble", Stage.CHECK)


def test_what_the_system_says_is_told_from_what_a_model_raises(tmp_path):
    with soft_limit(resource.RLIMIT_NOFILE, 3), pytest.raises(OSError, match="Too many") as caught:
        (tmp_path / "one").open("w")
    assert host_trouble(caught.value) == "Too many open files"
    # numpy tells of a write that ended early without the system's number
    with soft_limit(resource.RLIMIT_FSIZE, 1000), pytest.raises(OSError, match="requested and") as caught:
        np.save(tmp_path / "big.npy", np.zeros(1000))
    assert host_trouble(caught.value)
    wrapped = RuntimeError("the exporter failed")
    wrapped.__cause__ = caught.value
    assert classify(wrapped, "dynamo", 18).cause == "export_host_trouble"
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "labels.txt").read_text(encoding="utf-8")
    assert host_trouble(caught.value) == ""
    assert classify(caught.value, "dynamo", 18).cause == "export_error"


def test_enomem_is_the_host_s_unless_the_export_had_a_limit():
    code = """
import errno, resource
from edgesweep.export.failures.classify import classify
error = OSError(errno.ENOMEM, "Cannot allocate memory")
assert classify(error, "dynamo", 18).cause == "export_host_trouble"
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
assert classify(error, "dynamo", 18).cause == "export_oom"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert is_out_of_memory(MemoryError())


def test_the_catalogue_says_what_may_be_kept():
    assert is_repeatable("")
    assert is_repeatable("export_unsupported_op")
    assert not is_repeatable("a code of tomorrow")
    findings = {"export_timeout", "export_crash", "export_oom", "factory_failed", "factory_timeout", "unprovable_here"}
    assert all(CATALOGUE[cause].stable and not is_repeatable(cause) for cause in findings)
    trouble = CATALOGUE["export_host_trouble"]
    assert (trouble.stable, trouble.repeatable, trouble.exit_code) == (False, False, ExitCode.LAB)
