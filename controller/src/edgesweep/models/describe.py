"""What planning needs to know of a model, without importing torch where that is possible."""

from __future__ import annotations

from collections.abc import Mapping

from edgesweep.models.load import merge
from edgesweep.models.model import Model
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind
from edgesweep.models.zoo import find_entry


def describe_source(source: ModelSource) -> ModelFacts | None:
    """The facts of `source` as far as they are known without torch; None when the model must be loaded for them.

    A zoo model's facts are registered and a file's are read from it. A factory is believed when its plan entry declares
    `dynamic`; the sizes of its example are then unknown, and `example` is empty. A zoo model that needs a package which is
    not installed cannot be loaded at all: its facts are what is registered, and say what is missing.

    Raises:
        EdgesweepError: `model_unusable` for a zoo name that does not exist or a file that is not a whole ONNX model.
    """
    if source.kind is SourceKind.ONNX:
        from edgesweep.models.onnx_file import describe_file

        return describe_file(source)
    if source.kind is SourceKind.ZOO:
        entry = find_entry(source.ref)
        dynamic, ranges = merge(source, entry.dynamic, entry.facts.ranges)
        dimensions = _dimensions(dynamic)
        if entry.missing:
            return ModelFacts(source.name, dimensions, ranges, missing=entry.missing)
        if source.args or source.dynamic or not set(ranges) <= set(dimensions):
            return None
        return ModelFacts(source.name, dimensions, ranges, dict(entry.facts.example))
    if source.dynamic:
        return ModelFacts(source.name, _dimensions(source.dynamic), dict(source.ranges))
    return None


def facts_of(model: Model, source: ModelSource) -> ModelFacts:
    """The facts of a loaded model."""
    from edgesweep.models.inputs import example_sizes

    return ModelFacts(
        name=source.name,
        dimensions=model.dimensions,
        ranges={name: (low, high) for name, (low, high) in model.ranges.items()},
        example=example_sizes(model),
    )


def _dimensions(dynamic: Mapping[str, Mapping[int, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(axes[axis] for axes in dynamic.values() for axis in sorted(axes)))
