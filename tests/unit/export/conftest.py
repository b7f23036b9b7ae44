from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant
from edgesweep_proto.trial import Tolerance

FACTORIES = Path(__file__).with_name("lab_models.py")


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Callable[[str], ModelSource]:
    """Sources of the lab's models, in a folder whose name must not reach any artifact."""
    folder = tmp_path_factory.mktemp("secret_place")
    file = folder / "lab_models.py"
    file.write_text(FACTORIES.read_text(encoding="utf-8"), encoding="utf-8")

    def source(name: str, **fields) -> ModelSource:
        return ModelSource(SourceKind.FACTORY, f"{file}:{name}", name, **fields)

    return source


def _job(source: ModelSource, exporter: str, opset: int, axes: str, *shapes: Shape) -> ExportJob:
    return ExportJob(source, Variant(source.name, exporter, opset, axes), shapes or (Shape(),))


async def _collect(service: ExportService, jobs: Iterable[ExportJob]) -> list[ExportResult]:
    return [result async for result in service.export(list(jobs))]


def _export_all(root: Path, jobs: Iterable[ExportJob], **limits) -> dict[str, ExportResult]:
    """Results of one service by `model/slug`."""

    async def run() -> list[ExportResult]:
        async with ExportService(root, **limits) as service:
            return await _collect(service, jobs)

    return {f"{result.variant.model}/{result.variant.slug}": result for result in asyncio.run(run())}


@pytest.fixture(scope="session")
def export_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="session")
def sweep_jobs(lab) -> list[ExportJob]:
    jobs = [
        _job(lab("conv"), "dynamo", 13, "static"),
        _job(lab("conv"), "dynamo", 18, "static"),
        _job(lab("linear"), "dynamo", 18, "static"),
        _job(lab("linear"), "dynamo", 18, "batch", Shape(), Shape((("batch", 7),))),
        _job(lab("linear"), "dynamo", 20, "batch"),
        _job(lab("linear"), "torchscript", 17, "batch"),
        _job(lab("linear"), "torchscript", 17, "nowhere"),
        _job(lab("linear"), "torchscript", 24, "batch"),
        _job(lab("linear_of_one"), "dynamo", 18, "batch"),
        _job(lab("linear_of_one"), "torchscript", 17, "batch"),
        _job(lab("conv"), "dynamo", 18, "batch"),
        _job(lab("conv"), "torchscript", 17, "batch"),
        _job(lab("conv"), "torchscript", 7, "batch"),
        _job(lab("branch"), "torchscript", 17, "static"),
        _job(lab("branch", tolerances={"fp32": Tolerance(10.0, 0.0)}), "torchscript", 16, "static"),
        _job(lab("fourier"), "torchscript", 17, "batch"),
        _job(lab("fourier"), "dynamo", 18, "batch"),
        _job(lab("nested"), "dynamo", 18, "batch"),
        _job(lab("nested"), "torchscript", 17, "batch"),
        _job(lab("wide"), "dynamo", 18, "static"),
        _job(lab("wide"), "torchscript", 17, "static"),
        _job(lab("undeclared"), "torchscript", 17, "batch"),
        _job(lab("refusing"), "torchscript", 17, "static"),
    ]
    for trap in ("reshape", "loop", "branch"):
        jobs += [_job(lab(trap), "dynamo", 18, "full"), _job(lab(trap), "torchscript", 17, "full")]
    return jobs


@pytest.fixture(scope="session")
def sweep(export_root, sweep_jobs) -> dict[str, ExportResult]:
    """Every model of the lab, exported once for all tests."""
    return _export_all(export_root, sweep_jobs)


@pytest.fixture(scope="session")
def make_job() -> Callable[..., ExportJob]:
    return _job


@pytest.fixture(scope="session")
def export_all() -> Callable[..., dict[str, ExportResult]]:
    return _export_all
