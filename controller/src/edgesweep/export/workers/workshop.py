"""Models that a worker keeps loaded, with the traces and proof cases that belong to them."""

from __future__ import annotations

import importlib
import itertools
import shutil
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edgesweep_proto.codec import to_json
from edgesweep_proto.trial import Stage

from edgesweep.errors import EdgesweepError
from edgesweep.export.artifacts.cache import ExportCache, environment
from edgesweep.export.artifacts.digest import digest_json, source_key
from edgesweep.export.artifacts.identity import identity_of
from edgesweep.export.axes import dimensions_of
from edgesweep.export.calibration import calibration_feeds
from edgesweep.export.decomposition import list_translations
from edgesweep.export.exporters import Request, Tracing, exporter_named
from edgesweep.export.failures.classify import shorten
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import diagnosis
from edgesweep.export.proof.cases import Cases, ModelRefusesError, build_cases
from edgesweep.export.registry import EXPORTERS, NONE, OPTIMISERS, PRECISIONS
from edgesweep.export.result import ExportResult
from edgesweep.export.workers.pipeline import Bench, Task, export_variant, failed
from edgesweep.models.inputs import example_of, example_sizes, inputs_at, tensors_in
from edgesweep.models.model import Model
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape, Variant

#: Models kept loaded at once; jobs come model by model, so more would only hold memory.
_KEPT_MODELS = 2
#: A model of more weights than this is not kept beside another.
_KEPT_BYTES = 256 << 20


@dataclass(slots=True)
class _Warm:
    """A loaded model. `weight_bytes` counts parameters and buffers, shared ones once.

    `tracings` is keyed by exporter and profile, `cases` by dimensions and shapes.
    """

    source: ModelSource
    model: Model
    identity: str
    weight_bytes: int
    tracings: dict[tuple[str, str], Tracing] = field(default_factory=dict)
    cases: dict[str, Cases] = field(default_factory=dict)


class Workshop:
    """Loads models once and exports their variants.

    Args:
        bench: Where results go.
        cache: Results of earlier days.
        announce: Called with `import`, `factory`, `prepare`, `capture` or `export` when that step begins.
        leave: Given the bytes of a model's weights, returns when the host has the memory to export it.
    """

    def __init__(
        self, bench: Bench, cache: ExportCache, announce: Callable[[str], None], leave: Callable[[int], None]
    ) -> None:
        self._bench = bench
        self._cache = cache
        self._announce = announce
        self._leave = leave
        self._warm: OrderedDict[str, _Warm] = OrderedDict()
        self._counter = itertools.count()

    def model_of(self, source: ModelSource) -> Model:
        """The loaded model.

        Raises:
            EdgesweepError: `model_unusable` or `missing_extra`, as `load_model` raises it.
        """
        return self._warmed(source).model

    def export(self, source: ModelSource, variant: Variant, shapes: tuple[Shape, ...]) -> ExportResult:
        """Export one variant, or find its result from an earlier day.

        Raises:
            EdgesweepError: The model cannot be loaded.
        """
        warm = self._warmed(source)
        key = self._key(warm, variant, shapes)
        found = self._cache.get(key)
        if found is not None:
            return found
        self._leave(warm.weight_bytes)
        result = self._export(warm, variant, shapes)
        self._cache.put(key, result)
        return result

    def _warmed(self, source: ModelSource) -> _Warm:
        key = source_key(source)
        if key not in self._warm:
            self._announce("import")
            torch = _import_torch()
            from edgesweep.models.load import load_model

            self._make_room()
            self._announce("factory")
            before = frozenset(sys.modules)
            # A factory that leaves its weights to chance would be another model every time, and never be cached.
            torch.manual_seed(0)
            model = load_model(source)
            self._warm[key] = _Warm(source, model, identity_of(model, source, before), _weight_bytes(model))
        self._warm.move_to_end(key)
        return self._warm[key]

    def _make_room(self) -> None:
        """Let go of the models that the next one must not be kept beside."""
        while self._warm and (
            len(self._warm) >= _KEPT_MODELS or sum(warm.weight_bytes for warm in self._warm.values()) > _KEPT_BYTES
        ):
            self._warm.popitem(last=False)

    def _key(self, warm: _Warm, variant: Variant, shapes: tuple[Shape, ...]) -> str:
        return digest_json(
            {
                "model": warm.identity,
                "variant": to_json(variant),
                "shapes": sorted(shape.slug for shape in shapes),
                "environment": dict(environment()),
                "proven": self._bench.proven,
            }
        )

    def _export(self, warm: _Warm, variant: Variant, shapes: tuple[Shape, ...]) -> ExportResult:
        try:
            dimensions = dimensions_of(variant.axes, warm.model.dimensions)
        except EdgesweepError as error:
            return failed(variant, Failure(Stage.PLAN, error.code, error.message))
        refusal = _refuse(variant)
        if refusal is not None:
            return failed(variant, refusal)
        self._announce("prepare")
        try:
            cases = self._cases(warm, dimensions, shapes)
            names = _output_names(warm.model, cases.outputs)
        except ModelRefusesError as error:
            return failed(variant, _refused_example(error))
        dynamic = {
            path: kept
            for path, axes in warm.model.dynamic.items()
            if (kept := {axis: name for axis, name in axes.items() if name in dimensions})
        }
        group = (variant.exporter, variant.axes)
        shared = exporter_named(variant.exporter).captures_once and group not in warm.tracings
        self._announce("capture" if shared else "export")
        if group not in warm.tracings:
            # One profile after the other: a trace holds a copy of the graph.
            warm.tracings.clear()
            warm.tracings[group] = self._open(warm.model, variant.exporter, dynamic, cases, names)
        feeds = partial(calibration_feeds, warm.model, cases.run_at)
        example = example_sizes(warm.model)
        task = Task(
            variant,
            shapes,
            dynamic,
            warm.model.dynamic,
            dimensions,
            example,
            warm.identity,
            feeds,
            warm.source.tolerances,
        )
        return export_variant(task, warm.tracings[group], cases, self._bench)

    def _cases(self, warm: _Warm, dimensions: tuple[str, ...], shapes: tuple[Shape, ...]) -> Cases:
        key = digest_json([dimensions, sorted(shape.slug for shape in shapes)])
        if key not in warm.cases:
            folder = self._bench.scratch / f"cases{next(self._counter)}"
            try:
                warm.cases[key] = build_cases(warm.model, dimensions, shapes, folder)
            except OSError:
                # What was written before the disk was full must not keep it full.
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return warm.cases[key]

    def _open(
        self, model: Model, exporter: str, dynamic: dict[str, dict[int, str]], cases: Cases, names: tuple[str, ...]
    ) -> Tracing:
        inputs = inputs_at(model, cases.traced)
        request = Request(model.module, inputs, tuple(tensors_in(inputs)), names, dynamic, dict(model.ranges))
        return exporter_named(exporter).open(request)


def warm_up() -> None:
    """Import what an export needs, whatever the model."""
    try:
        _import_torch()
    except EdgesweepError:
        return
    importlib.import_module("torch.onnx")
    list_translations()


def _weight_bytes(model: Model) -> int:
    """Bytes of a model's parameters and buffers; tensors that share their memory count once."""
    held = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*model.module.parameters(), *model.module.buffers())
    }
    return sum(held.values())


def _import_torch() -> Any:
    """The module torch.

    Raises:
        EdgesweepError: `missing_extra` when it is not installed.
        MemoryError: Its libraries do not fit into the memory that the worker was given.
    """
    try:
        import torch
    except ImportError as error:
        if "failed to map segment" in str(error) or "allocate memory" in str(error):
            raise MemoryError(str(error)) from error
        sentence = f"exporting a PyTorch model needs torch, which cannot be imported: {error}"
        raise EdgesweepError("missing_extra", sentence) from error
    return torch


def _output_names(model: Model, count: int) -> tuple[str, ...]:
    """The model's own names, or names that no input has.

    Raises:
        ModelRefusesError: The model names another number of outputs than it returns.
    """
    if model.output_names:
        if len(model.output_names) != count:
            words = f"`output_names` holds {len(model.output_names)} names and forward() returns {count} tensors"
            raise ModelRefusesError(words)
        return model.output_names
    stem = "output"
    while any(name.startswith(stem) for name in tensors_in(example_of(model))):
        stem += "_"
    return (stem,) if count == 1 else tuple(f"{stem}_{index}" for index in range(count))


def _refuse(variant: Variant) -> Failure | None:
    """What cannot even be tried."""
    asked = (
        ("exporter", variant.exporter, EXPORTERS),
        ("precision", variant.precision, PRECISIONS),
        ("optimiser", variant.optimiser or NONE, OPTIMISERS),
    )
    for kind, word, known in asked:
        if word not in known:
            sentence = f"there is no {kind} '{word}'; there are: {', '.join(known)}"
            return Failure(Stage.EXPORT, "export_error", sentence)
    return None


def _refused_example(error: ModelRefusesError) -> Failure:
    cause = error.__cause__
    if isinstance(cause, EdgesweepError):
        return Failure(Stage.EXPORT, cause.code, cause.message)
    detail = diagnosis("".join(traceback.format_exception(cause or error)))
    return Failure(Stage.EXPORT, "export_error", shorten(f"the model fails on its own example: {error}"), detail)
