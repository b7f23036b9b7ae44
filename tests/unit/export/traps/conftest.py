"""What torch gives when it is asked naively, and what Edgesweep says of the same request: each made once, side by side."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.proof.prove import Case, Proof, prove
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

HERE = Path(__file__).parent

#: The rows of opsets: model, exporter, opsets.
OPSETS = (
    ("cnn", "dynamo", (7, 13, 17, 18, 20, 25, 26)),
    ("attention", "dynamo", (15, 22, 23, 26)),
    ("lstm", "dynamo", (26,)),
    ("fourier", "dynamo", (17, 18)),
    ("cnn", "torchscript", (7, 9, 13, 17, 18, 19, 20, 21, 23, 24, 25, 26)),
    ("attention", "torchscript", (13, 15, 23)),
    ("lstm", "torchscript", (7, 9)),
    ("fourier", "torchscript", (17, 18, 23)),
)
#: The columns of dynamic dimensions, with the opset to ask at: four ways for a user of torch, of which Edgesweep takes
#: the first and the last.
WAYS = {"named": 18, "auto": 18, "dynamo_axes": 18, "script_axes": 17}
#: The rows of dynamic dimensions.
DYNAMIC = {
    "linear": tuple(WAYS),
    "linear_of_one": ("named",),
    "gru_of_one": ("named",),
    "reshape": tuple(WAYS),
    "loop": tuple(WAYS),
    "branch": tuple(WAYS),
    "threshold": ("script_axes",),
}


@dataclass(frozen=True)
class Naive:
    """A file that `torch.onnx.export` wrote when it was asked for something, or its words when it refused."""

    path: Path
    refusal: str

    @property
    def model(self) -> onnx.ModelProto:
        assert not self.refusal
        return onnx.load(self.path)

    @property
    def opset(self) -> int:
        return next(entry.version for entry in self.model.opset_import if entry.domain == "")

    @property
    def ir_version(self) -> int:
        return self.model.ir_version

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]

    @property
    def dims(self) -> tuple[str | int, ...]:
        """The first input's dimensions: a name where the file claims that it is dynamic."""
        return tuple(dim.dim_param or dim.dim_value for dim in self.model.graph.input[0].type.tensor_type.shape.dim)

    def check(self) -> str:
        """The checker's words, nothing when it has none."""
        try:
            onnx.checker.check_model(str(self.path), full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            return str(error)
        return ""

    def session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class NaiveExports:
    """All naive exports by model, way and opset, and what torch computes at other sizes and values."""

    folder: Path
    told: dict[str, str]

    def of(self, model: str, way: str, opset: int | None = None) -> Naive:
        key = f"{model}-{way}-{opset or WAYS[way]}"
        return Naive(self.folder / f"{key}.onnx", self.told.get(key, ""))

    def ends(self, model: str, way: str) -> dict[str, str]:
        """What running the file does per case: `right`, `wrong` or `refused`, judged by numpy alone."""
        session = self.of(model, way).session()
        found = {}
        for case in self._cases(model):
            want = np.load(case / "want.npy", allow_pickle=False)
            try:
                (got,) = session.run(None, {"x": np.load(case / "x.npy", allow_pickle=False)})
            except Exception:  # noqa: BLE001 - onnxruntime raises types of its own
                found[case.name] = "refused"
                continue
            agrees = got.shape == want.shape and np.allclose(got, want, rtol=1e-3, atol=1e-4)
            found[case.name] = "right" if agrees else "wrong"
        return found

    def proof(self, model: str, way: str) -> Proof:
        """What Edgesweep's proof says of the naive file."""
        cases = [
            Case(case.name, {"x": case / "x.npy"}, (case / "want.npy",), example=case.name == "example")
            for case in self._cases(model)
        ]
        return prove(self.of(model, way).path, cases, tolerance_for("fp32"), 60)

    def _cases(self, model: str) -> list[Path]:
        return sorted((self.folder / model).iterdir())


@dataclass(frozen=True)
class Traps:
    """Both sides of every row."""

    naive: NaiveExports
    results: dict[str, ExportResult]
    root: Path

    def ours(self, model: str, exporter: str, opset: int, axes: str = "static") -> ExportResult:
        return self.results[f"{model}/{exporter}-opset{opset}-{axes}-fp32"]


def _naive_requests() -> list[dict[str, object]]:
    asked = [(model, way, opset) for model, way, opsets in OPSETS for opset in opsets]
    asked += [(model, way, WAYS[way]) for model, ways in DYNAMIC.items() for way in ways]
    return [{"model": model, "way": way, "opset": opset} for model, way, opset in asked]


def _jobs() -> list[ExportJob]:
    variants = [Variant(model, exporter, opset, "static") for model, exporter, opsets in OPSETS for opset in opsets]
    for model in DYNAMIC:
        variants += [Variant(model, "dynamo", 18, "full"), Variant(model, "torchscript", 17, "full")]
    variants += [Variant(model, "torchscript", 17, "static") for model in ("branch", "threshold")]
    file = HERE / "trap_models.py"
    return [
        ExportJob(ModelSource(SourceKind.FACTORY, f"{file}:{variant.model}", variant.model), variant, (Shape(),))
        for variant in variants
    ]


@pytest.fixture(scope="package")
def traps(tmp_path_factory) -> Traps:
    """Every row, exported naively in one process and by the export service at the same time."""
    folder = tmp_path_factory.mktemp("naive")
    root = tmp_path_factory.mktemp("ours")
    command = [sys.executable, str(HERE / "naive_exports.py"), str(folder)]

    async def run() -> list[ExportResult]:
        naive = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        telling = asyncio.create_task(naive.communicate(json.dumps(_naive_requests()).encode()))
        async with ExportService(root) as service:
            results = [result async for result in service.export(_jobs())]
        _, words = await telling
        assert naive.returncode == 0, words.decode()
        return results

    results = asyncio.run(run())
    assert len(results) == len(_jobs())
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return Traps(NaiveExports(folder, told), {result.variant.name: result for result in results}, root)
