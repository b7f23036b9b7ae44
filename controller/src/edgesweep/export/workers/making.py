"""The file of a variant, step by step: the exporter's, then the optimiser's, then the precision's.

Variants of one model, exporter, profile and opset differ in later steps only, so what is made stays on a shelf until
another opset's turn comes.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from edgesweep_proto.trial import Stage

from edgesweep.errors import is_repeatable
from edgesweep.export.exporters import Tracing
from edgesweep.export.failures.classify import classify, shorten
from edgesweep.export.failures.conversion import conversion_failure
from edgesweep.export.failures.failure import Failure
from edgesweep.export.optimisers import optimiser_named
from edgesweep.export.precisions import Feed, precision_named
from edgesweep.export.registry import FP32, NONE
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Variant

#: What makes calibration inputs when a step asks for them: a plan of fp32 variants must not pay for them.
Feeds = Callable[[], Sequence[Feed]]


class Kind(Enum):
    """What a step does to a file that there is already; the value is the cause when it cannot."""

    OPTIMISER = "optimiser_failed"
    PRECISION = "precision_unsupported"


@dataclass(frozen=True, slots=True)
class Step:
    """One rewriting of a file, by the name that plans use."""

    kind: Kind
    name: str


@dataclass(slots=True)
class Made:
    """A file on the way to a variant, external data beside it. `steps` led from the exporter's file to it.

    `warnings` are the tracer's. `result` is what is known of the file once it was checked and proven.
    """

    path: Path
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    result: ExportResult | None = None

    @property
    def precision(self) -> str:
        """The precision that the file is of."""
        return next((step.name for step in self.steps if step.kind is Kind.PRECISION), FP32)


class StepFailedError(Exception):
    """A step did not come to a file; carries the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class Shelf:
    """The files of one model, exporter, profile and opset. Asking for another set takes the files of the last one away.

    `seconds` counts what making took since `open` was called, files that lay there already excepted.
    """

    seconds: float = 0.0
    _key: Hashable = None
    _folder: Path | None = None
    _made: dict[tuple[Step, ...], Made] = field(default_factory=dict)
    _refused: dict[tuple[Step, ...], Failure] = field(default_factory=dict)

    def open(self, key: Hashable, scratch: Path) -> None:
        """Turn to the set of files called `key`; its folder lies in `scratch`."""
        self.seconds = 0.0
        if key == self._key and self._folder is not None and self._folder.exists():
            return
        self.clear()
        self._folder = Path(tempfile.mkdtemp(dir=scratch, prefix="made-"))
        self._key = key

    def clear(self) -> None:
        """Take all files away."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._key, self._folder = None, None
        self._made.clear()
        self._refused.clear()

    def make(self, steps: tuple[Step, ...], write: Callable[[Path], tuple[str, ...]]) -> Made:
        """The file that `steps` lead to, by `write` where it does not lie here yet.

        Args:
            steps: What leads to the file; none stands for the exporter's own.
            write: Writes the file to a path in an empty folder, and returns warnings.

        Raises:
            StepFailedError: `write` raised it, now or on an earlier call.
        """
        if steps in self._made:
            return self._made[steps]
        if steps in self._refused:
            raise StepFailedError(self._refused[steps])
        if self._folder is None:
            raise ValueError("the shelf is not open")
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        path = folder / "model.onnx"
        started = time.perf_counter()
        try:
            self._made[steps] = Made(path, steps, write(path))
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, StepFailedError) and is_repeatable(error.failure.cause):
                self._refused[steps] = error.failure
            raise
        finally:
            self.seconds += time.perf_counter() - started
        return self._made[steps]


def steps_of(variant: Variant) -> tuple[Step, ...]:
    """What is done to the exporter's file, in order: the optimiser sees fp32, whatever the precision."""
    steps = []
    if variant.optimiser not in ("", NONE):
        steps.append(Step(Kind.OPTIMISER, variant.optimiser))
    if variant.precision != FP32:
        steps.append(Step(Kind.PRECISION, variant.precision))
    return tuple(steps)


def export_file(variant: Variant, tracing: Tracing, shelf: Shelf) -> Made:
    """The exporter's own file.

    Raises:
        StepFailedError: The exporter refused.
    """

    def write(path: Path) -> tuple[str, ...]:
        try:
            tracing.export(variant.opset, path)
        except Exception as error:  # an exporter may raise anything; `classify` gives it its meaning
            raise StepFailedError(classify(error, variant.exporter, variant.opset)) from error
        if not path.exists():
            words = f"{variant.exporter} wrote no file and raised nothing"
            raise StepFailedError(Failure(Stage.EXPORT, "export_error", words))
        return tracing.warnings

    return shelf.make((), write)


def take_step(made: Made, step: Step, feeds: Feeds, shelf: Shelf) -> Made:
    """The file that `step` makes of `made`.

    Args:
        made: A file that was checked and proven.
        step: What to do to it.
        feeds: Calibration inputs, should the step want them.
        shelf: Where files stay.

    Raises:
        StepFailedError: The step could not be taken.
    """

    def write(path: Path) -> tuple[str, ...]:
        try:
            if step.kind is Kind.OPTIMISER:
                _optimise(step.name, made.path, path)
            else:
                _convert(step.name, made.path, path, feeds)
        except StepFailedError:
            raise
        except Exception as error:  # the tools raise anything, from AssertionError to protobuf's own
            raise StepFailedError(conversion_failure(error, step.kind.value, step.name)) from error
        if not path.exists():
            words = shorten(f"{step.name} wrote no file and raised nothing")
            raise StepFailedError(Failure(Stage.EXPORT, step.kind.value, words))
        return made.warnings

    return shelf.make((*made.steps, step), write)


def missing_package(variant: Variant) -> str:
    """What must be installed for the variant's optimiser, as a sentence; empty when it is here."""
    if variant.optimiser in ("", NONE):
        return ""
    optimiser = optimiser_named(variant.optimiser)
    if find_spec(optimiser.package) is not None:
        return ""
    return f"the optimiser {variant.optimiser} is not installed on this host: pip install '{optimiser.extra}'"


def _optimise(name: str, source: Path, target: Path) -> None:
    optimiser_named(name).optimise(source, target)


def _convert(name: str, source: Path, target: Path, feeds: Feeds) -> None:
    precision = precision_named(name)
    precision.convert(source, target, feeds() if precision.calibrates else ())
