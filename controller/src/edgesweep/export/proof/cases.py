"""The inputs and torch's outputs that prove one axes profile, written once and used at every opset and exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesweep.errors import EdgesweepError
from edgesweep.export.axes import proof_sizes, slug_of, trace_sizes
from edgesweep.export.failures.classify import shorten
from edgesweep.export.failures.host import host_trouble, text_of
from edgesweep.export.outputs import run_module
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.proof.prove import Case
from edgesweep.export.proof.tolerance import compare
from edgesweep.export.proof.values import SLACK, other_values
from edgesweep.export.registry import FP32
from edgesweep.models.inputs import example_sizes, inputs_at, tensors_in
from edgesweep.models.model import Model
from edgesweep.plan.cell import Shape

if TYPE_CHECKING:
    import torch


class ModelRefusesError(Exception):
    """torch itself fails on the model's own example."""


@dataclass(frozen=True, slots=True)
class Cases:
    """All cases of one axes profile, the example first.

    `traced` holds the sizes to trace at where they are not the example's, `refused` the sizes that torch itself refuses
    with its words, `sizes` the sizes of each case by label, `outputs` how many outputs the model has.
    """

    cases: tuple[Case, ...]
    traced: dict[str, int]
    refused: dict[str, str]
    sizes: dict[str, dict[str, int]]
    outputs: int

    def case(self, label: str) -> Case | None:
        """The case of that label, if torch could run it."""
        return next((case for case in self.cases if case.label == label), None)

    @property
    def run_at(self) -> tuple[dict[str, int], ...]:
        """The sizes that torch could run, the example's first."""
        return tuple(self.sizes[case.label] for case in self.cases if case.label in self.sizes)

    def unproven(self, dimensions: Sequence[str], example: Mapping[str, int]) -> str | None:
        """The first dimension that no case moves away from the example's size, because torch refuses them all."""
        moved = {
            name
            for case in self.cases
            for name, size in self.sizes.get(case.label, {}).items()
            if size != example.get(name)
        }
        return next((name for name in dimensions if name not in moved), None)


def build_cases(model: Model, dimensions: Sequence[str], shapes: Sequence[Shape], folder: Path) -> Cases:
    """Run the model at the example, at every proof size and at every shape that cells ask for.

    Args:
        model: A loaded model.
        dimensions: The dynamic dimensions of the profile.
        shapes: Shapes that will be measured: they are proven as well.
        folder: Where the `.npy` files go.

    Raises:
        ModelRefusesError: The model fails on its own example.
    """
    example = example_sizes(model)
    wanted: dict[str, dict[str, int]] = {"example": {}}
    for sizes in (*proof_sizes(dimensions, example, model.ranges), *(dict(shape.sizes) for shape in shapes)):
        wanted.setdefault(slug_of(sizes), sizes)
    traced = trace_sizes(dimensions, example, model.ranges)
    cases: list[Case] = []
    refused: dict[str, str] = {}
    count = 0
    for index, (label, sizes) in enumerate(wanted.items()):
        is_example = label == "example"
        try:
            inputs = inputs_at(model, sizes)
            outputs = [_array(tensor) for tensor in run_module(model.module, inputs)]
            if is_example:
                _require_repeatable(model, inputs, outputs)
        except Exception as error:  # a user's model may raise anything
            if host_trouble(error):
                raise
            words = error.message if isinstance(error, EdgesweepError) else f"{type(error).__name__}: {text_of(error)}"
            if is_example:
                raise ModelRefusesError(shorten(words)) from error
            refused[label] = shorten(words)
            continue
        count = len(outputs)
        cases.append(_write(folder / str(index), label, inputs, outputs, example=is_example and not traced))
    for index, tried in enumerate(other_values(model)):
        outputs = [_array(tensor) for tensor in tried.outputs]
        case = _write(folder / f"other{index}", tried.label, tried.inputs, outputs, example=False)
        cases.append(replace(case, measured=False, slack=SLACK))
    return Cases(tuple(cases), traced, refused, wanted, count)


def _require_repeatable(model: Model, inputs: Mapping[str, Any], outputs: Sequence[NDArray[Any]]) -> None:
    """Without one answer there is nothing that an artifact could be held against.

    Raises:
        EdgesweepError: `not_repeatable`.
    """
    again = [_array(tensor) for tensor in run_module(model.module, inputs)]
    for index, (first, second) in enumerate(zip(outputs, again, strict=True)):
        found = compare(second, first, tolerance_for(FP32))
        if not found.agrees:
            raise EdgesweepError(
                "not_repeatable",
                f"called twice with the same inputs, the model gives two answers at output {index}: it draws random numbers or "
                "keeps something from call to call",
            )


def _write(
    folder: Path, label: str, inputs: Mapping[str, Any], outputs: Sequence[NDArray[Any]], *, example: bool
) -> Case:
    folder.mkdir(parents=True)
    files = {}
    for index, (name, tensor) in enumerate(tensors_in(inputs).items()):
        files[name] = folder / f"input{index}.npy"
        np.save(files[name], _array(tensor), allow_pickle=False)
    references = []
    for index, output in enumerate(outputs):
        references.append(folder / f"output{index}.npy")
        np.save(references[-1], output, allow_pickle=False)
    return Case(label, files, tuple(references), example=example)


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy()).reshape(tuple(tensor.shape))
