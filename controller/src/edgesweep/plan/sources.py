"""The models of a plan as sources: plain data that the model and export rooms take."""

from __future__ import annotations

from pathlib import Path

from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.schema import ModelEntry, PlanFile


def sources_of(plan: PlanFile, base_dir: Path | str) -> tuple[ModelSource, ...]:
    """The plan's models in order; file paths become absolute, relative ones belong to `base_dir`."""
    return tuple(_source(entry, Path(base_dir).absolute()) for entry in plan.models)


def _source(entry: ModelEntry, base_dir: Path) -> ModelSource:
    return ModelSource(
        kind=entry.kind,
        ref=_absolute_ref(entry, base_dir),
        name=entry.model_name,
        args=dict(entry.args),
        dynamic={name: dict(axes) for name, axes in entry.dynamic.items()},
        ranges=dict(entry.ranges),
        references=None if entry.references is None else str(_absolute(entry.references, base_dir)),
        inputs=None if entry.inputs is None else str(_absolute(entry.inputs, base_dir)),
    )


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
