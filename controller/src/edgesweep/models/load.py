"""From a model's source to the model: call its factory and hold what it returns against what it declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from edgesweep.errors import EdgesweepError
from edgesweep.models.check import check_declarations, unusable
from edgesweep.models.factory import find_factory, words_of
from edgesweep.models.given_tensors import with_given
from edgesweep.models.inputs import settled
from edgesweep.models.model import Model
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.models.zoo import find_entry


def load_model(source: ModelSource) -> Model:
    """The model that `source` names, in eval mode, with the plan's `dynamic` and `ranges` merged in.

    The plan's `dynamic`, where it is given, replaces the model's own as a whole; its `ranges` replace the model's
    dimension by dimension. `dynamic` is keyed by tensor path, its axes counted from the front.

    Args:
        source: A zoo model or a factory. A ready `.onnx` file has no module: see `edgesweep.models.onnx_file`.

    Raises:
        EdgesweepError: `model_unusable` with one sentence that names the model and its own error, which is the
            `__cause__`; `inputs_unusable` when the `.npz` file of the source does not fit; `missing_extra` when torch is not installed, `package_missing` when another package is not that
            a built-in model needs.
    """
    if source.kind is SourceKind.ONNX:
        raise unusable(source.name, "it is a ready .onnx file, which is measured as it is and has no PyTorch module")
    try:
        import torch  # noqa: F401 - asked first, so that its absence is not laid to the model
    except ImportError as error:
        raise EdgesweepError("missing_extra", "loading a PyTorch model needs torch, which is not installed") from error
    entry = find_entry(source.ref) if source.kind is SourceKind.ZOO else None
    if entry is not None and entry.missing:
        raise EdgesweepError("package_missing", entry.missing)
    ref = source.ref if entry is None else entry.factory
    factory = find_factory(source.name, ref)
    model = _as_model(source.name, ref, _call(source.name, ref, factory, source.args))
    model.module.eval()
    dynamic, ranges = merge(source, model.dynamic, model.ranges)
    inputs = settled(model.example_inputs)
    model = dataclasses.replace(model, example_inputs=inputs, name=source.name, dynamic=dynamic, ranges=ranges)
    checked = check_declarations(source.name, model)
    if source.inputs is not None:
        # The factory's own example comes first: what is given is held against it.
        model = with_given(source, dataclasses.replace(model, dynamic=checked))
        checked = check_declarations(source.name, model)
    ranges = {name: (int(low), int(high)) for name, (low, high) in model.ranges.items()}
    return dataclasses.replace(model, dynamic=checked, ranges=ranges, output_names=tuple(model.output_names))


def merge(
    source: ModelSource, dynamic: Mapping[str, Mapping[int, str]], ranges: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, dict[int, str]], dict[str, tuple[int, int]]]:
    """A model's own dynamic dimensions and ranges with the plan's laid over them.

    Ranges of the model's that belong to dimensions which the plan's `dynamic` dropped go with them.
    """
    merged = {path: dict(axes) for path, axes in (source.dynamic or dynamic).items()}
    names = {name for axes in merged.values() for name in axes.values()}
    kept = {name: bounds for name, bounds in ranges.items() if name in names} if source.dynamic else dict(ranges)
    return merged, kept | dict(source.ranges)


def _call(name: str, ref: str, factory: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    try:
        return factory(**args)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        call = ", ".join(f"{key}={value!r}" for key, value in args.items())
        raise unusable(name, f"{ref}({call}) raised {words_of(error)}") from error


def _as_model(name: str, ref: str, returned: Any) -> Model:
    import torch

    if isinstance(returned, Model):
        model = returned
    elif isinstance(returned, tuple) and len(returned) == 2:  # noqa: PLR2004 - (module, example_inputs)
        model = Model(*returned)
    else:
        raise unusable(
            name,
            f"{ref} returned {_kind(returned)}; a factory returns (module, example_inputs) or an edgesweep.Model",
        )
    if not isinstance(model.module, torch.nn.Module):
        raise unusable(name, f"{ref} returned {_kind(model.module)} where a torch.nn.Module is expected")
    if not isinstance(model.example_inputs, (tuple, dict)):
        raise unusable(
            name,
            f"{ref} returned example inputs as {_kind(model.example_inputs)}; "
            "they are a tuple by position or a dict by parameter name",
            remedy="return (module, (x,)) for a single input",
        )
    return model


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"
