"""The models of a plan as sources: plain data that the model and export rooms take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgesweep_proto.trial import Tolerance

from edgesweep.export.registry import PRECISIONS
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.schema import ModelEntry, PlanFile
from edgesweep.plan.tolerances import PLAN, tolerance_for
from edgesweep.plan.verify import VerifySection


def sources_of(plan: PlanFile, base_dir: Path | str) -> tuple[ModelSource, ...]:
    """The plan's models in order; file paths become absolute, relative ones belong to `base_dir`."""
    return tuple(_source(entry, Path(base_dir).absolute(), plan.verify) for entry in plan.models)


def _source(entry: ModelEntry, base_dir: Path, verify: VerifySection | None) -> ModelSource:
    return ModelSource(
        kind=entry.kind,
        ref=_absolute_ref(entry, base_dir),
        name=entry.model_name,
        args=dict(entry.args),
        dynamic={name: dict(axes) for name, axes in entry.dynamic.items()},
        ranges=dict(entry.ranges),
        references=None if entry.references is None else str(_absolute(entry.references, base_dir)),
        inputs=None if entry.inputs is None else str(_absolute(entry.inputs, base_dir)),
        tolerances=_tolerances((verify, entry.verify)),
    )


def _tolerances(overrides: Sequence[VerifySection | None]) -> dict[str, Tolerance]:
    """What the plan says of each precision, whatever provider: the host proves with its own."""
    found = {precision: tolerance_for(precision, (), {}, overrides) for precision in PRECISIONS}
    return {precision: agreed.tolerance for precision, agreed in found.items() if agreed.origin == PLAN}


def _absolute_ref(entry: ModelEntry, base_dir: Path) -> str:
    match entry.kind:
        case SourceKind.ZOO:
            return entry.ref
        case SourceKind.ONNX:
            return str(_absolute(entry.ref, base_dir))
        case SourceKind.FACTORY:
            module, _, callable_name = entry.ref.rpartition(":")
            if module.endswith(".py"):
                return f"{_absolute(module, base_dir)}:{callable_name}"
            return entry.ref


def _absolute(path: str, base_dir: Path) -> Path:
    return base_dir / Path(path).expanduser()
