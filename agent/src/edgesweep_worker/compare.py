"""Whether outputs are right: tolerances, NaN positions, exact integers, and where the first wrong element is."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, Mapping, Sequence, Union

import numpy as np

from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import NamedFile, Tolerance

#: Elements compared at a time: bounds the memory that a comparison takes beside the model's.
CHUNK = 1 << 18


@dataclass
class Comparison:
    """What a comparison found; `cause` is "" when everything agreed. `measurable` is False where no figure exists."""

    cause: str = ""
    first_offender: str = ""
    max_absolute_error: float = 0.0
    max_relative_error: float = 0.0
    outputs_compared: int = 0
    measurable: bool = True

    def numerics(self) -> dict[str, Any] | None:
        """Numerics as JSON data, which has no infinity: the largest double stands for it."""
        if not self.measurable:
            return None
        return {
            "max_absolute_error": min(self.max_absolute_error, sys.float_info.max),
            "max_relative_error": min(self.max_relative_error, sys.float_info.max),
            "outputs_compared": self.outputs_compared,
            "first_offender": self.first_offender,
        }

    def offend(self, cause: str, offender: str) -> None:
        """Note a difference; only the first one is told."""
        if not self.cause:
            self.cause, self.first_offender = cause, offender


@dataclass(frozen=True)
class Sample:
    """Some elements of a large reference of `shape`: `values` stand at the flat `positions`."""

    shape: tuple[int, ...]
    positions: np.ndarray
    values: np.ndarray


Reference = Union[np.ndarray, Sample]


def load_references(files: Sequence[NamedFile]) -> dict[str, Reference]:
    """Map the reference files into memory; their pages go with the arrays.

    Raises:
        TrialFailed: wrong_output, a file is not a plain `.npy` array.
    """
    references: dict[str, Reference] = {}
    for file in files:
        try:
            try:
                loaded = np.load(file.path, mmap_mode="r", allow_pickle=False)
            except ValueError:  # an empty array cannot be mapped
                loaded = np.load(file.path, allow_pickle=False)
            sampled = loaded.dtype.names == ("position", "value")
            references[file.name] = Sample(file.shape, loaded["position"], loaded["value"]) if sampled else loaded
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's words say nothing about the array
            raise TrialFailed(
                "wrong_output", f"reference {file.name} is not a readable .npy array", str(error)
            ) from error
    return references


def compare_outputs(
    outputs: Mapping[str, Any], references: Mapping[str, Reference], tolerance: Tolerance
) -> Comparison:
    """Hold every output that has a reference against it.

    Args:
        outputs: arrays by name, as the session gave them.
        references: arrays by name; an output without one is not compared, of one with a sample only its elements are.
        tolerance: |a-b| <= absolute + relative*|b| for floats, or SQNR where `sqnr_db` is set. Shapes, positions of
            NaN and infinity, integers, booleans and strings must be equal.

    Returns:
        Errors over all finite elements, and the first difference that is too large.
    """
    found = Comparison()
    for name, reference in references.items():
        _compare_one(name, outputs.get(name), reference, tolerance, found)
        found.outputs_compared += 1
    # Of a sequence all items are given or none.
    sequences = {name.rpartition("[")[0] for name in references if name.endswith("]")}
    for name in outputs:
        if name not in references and name.endswith("]") and name.rpartition("[")[0] in sequences:
            found.offend("wrong_output", f"{name}: the model gives an item more than is expected")
    return found


def nan_tags(outputs: Mapping[str, Any]) -> list[str]:
    """A tag for each float output that holds NaN: `all_nan:NAME` where it holds nothing else, `some_nan:NAME` else.

    A time is told of such a model all the same, for NaN may be what it is to give; but nobody shall overlook it.
    """
    tags = []
    for name, array in outputs.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fc":
            continue
        flat = array.reshape(-1)
        count = sum(int(np.isnan(flat[start : start + CHUNK]).sum()) for start in range(0, flat.size, CHUNK))
        if count:
            tags.append(f"{'all' if count == flat.size else 'some'}_nan:{name}")
    return tags


def sqnr_db(noise_energy: float, signal_energy: float) -> float:
    """Signal to quantisation noise ratio, 10*log10(sum(b^2) / sum((a-b)^2)) decibels; infinite without noise."""
    if noise_energy == 0:
        return math.inf
    if signal_energy == 0:
        return -math.inf
    return 10 * math.log10(signal_energy / noise_energy)


def _compare_one(name: str, output: Any, reference: Reference, tolerance: Tolerance, found: Comparison) -> None:
    if not isinstance(output, np.ndarray):
        found.measurable = False
        found.offend("wrong_output", f"{name}: the model has no such tensor output")
        return
    if output.shape != reference.shape:
        found.measurable = False
        found.offend("wrong_output", f"{name}: shape {list(output.shape)} instead of {list(reference.shape)}")
        return
    positions = reference.positions if isinstance(reference, Sample) else None
    values = reference.values if isinstance(reference, Sample) else reference
    floats = (output.dtype.kind == "f", values.dtype.kind == "f")
    if floats[0] != floats[1]:
        found.measurable = False
        found.offend("wrong_output", f"{name}: type {output.dtype} instead of {values.dtype}")
        return
    noise = signal = 0.0
    flat_output, flat_reference = output.reshape(-1), values.reshape(-1)
    for start in range(0, flat_reference.size, CHUNK):
        chosen = None if positions is None else positions[start : start + CHUNK]
        part = flat_output[start : start + CHUNK] if chosen is None else flat_output[chosen]
        wanted = flat_reference[start : start + CHUNK]
        place = _Place(name, start, reference.shape, chosen)
        if floats[0]:
            energies = _compare_floats(part, wanted, place, tolerance, found)
            noise, signal = noise + energies[0], signal + energies[1]
        else:
            _compare_exact(part, wanted, place, found)
    if floats[0] and tolerance.sqnr_db is not None:
        ratio = sqnr_db(noise, signal)
        # No signal, so no ratio: then only noise below the absolute tolerance is as good as none.
        silent = signal == 0 and math.sqrt(noise / max(1, values.size)) <= tolerance.absolute
        if ratio < tolerance.sqnr_db and not silent:
            found.offend("wrong_output", f"{name}: SQNR {ratio:.1f} dB where {tolerance.sqnr_db:g} dB are asked for")


@dataclass(frozen=True)
class _Place:
    """Where a chunk lies: flat position `start` in output `name` of `shape`, or the flat positions that were `chosen`."""

    name: str
    start: int
    shape: tuple[int, ...]
    chosen: np.ndarray | None = None

    def at(self, position: int) -> str:
        flat = self.start + position if self.chosen is None else int(self.chosen[position])
        index = np.unravel_index(flat, self.shape) if self.shape else ()
        return f"{self.name}[{','.join(str(int(part)) for part in index)}]"


def _compare_floats(
    part: np.ndarray, wanted: np.ndarray, place: _Place, tolerance: Tolerance, found: Comparison
) -> tuple[float, float]:
    """Returns the energies of the noise and of the signal over the finite elements."""
    a, b = part.astype(np.float64), wanted.astype(np.float64)
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    _offend_where(nan_a & ~nan_b, "nan_output", place, "NaN instead of a number", found)
    _offend_where(nan_b & ~nan_a, "wrong_output", place, "a number instead of NaN", found)
    infinite = (np.isinf(a) | np.isinf(b)) & ~nan_a & ~nan_b
    unequal = infinite & (a != b)
    if unequal.any():
        found.max_absolute_error = math.inf
        _offend_where(unequal, "wrong_output", place, "an infinity on one side only", found)
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    error = np.abs(a - b)
    if error.size == 0:
        return 0.0, 0.0
    found.max_absolute_error = max(found.max_absolute_error, float(error.max()))
    size = np.abs(b)
    # Beside a reference of exactly 0 no relative error exists; the absolute one covers it.
    relative = np.divide(error, size, out=np.zeros_like(error), where=size > 0)
    found.max_relative_error = max(found.max_relative_error, float(relative.max()))
    if tolerance.sqnr_db is None:
        wrong = error > tolerance.absolute + tolerance.relative * size
        if wrong.any():
            position = int(np.argmax(wrong))
            text = f"{place.at(position)}: {a[position]:.9g} instead of {b[position]:.9g}"
            found.offend("wrong_output", text)
    return float(np.dot(error, error)), float(np.dot(b, b))


def _compare_exact(part: np.ndarray, wanted: np.ndarray, place: _Place, found: Comparison) -> None:
    wrong = np.asarray(part != wanted)
    if not wrong.any():
        return
    position = int(np.argmax(wrong))
    found.offend("wrong_output", f"{place.at(position)}: {part[position]} instead of {wanted[position]}")
    if part.dtype.kind in "biu" and wanted.dtype.kind in "biu":
        a, b = part.astype(np.float64), wanted.astype(np.float64)
        error, size = np.abs(a - b), np.abs(b)
        relative = np.divide(error, size, out=np.zeros_like(error), where=size > 0)
        found.max_absolute_error = max(found.max_absolute_error, float(error.max()))
        found.max_relative_error = max(found.max_relative_error, float(relative.max()))
    else:
        found.measurable = False


def _offend_where(mask: np.ndarray, cause: str, place: _Place, what: str, found: Comparison) -> None:
    if mask.any():
        found.offend(cause, f"{place.at(int(np.argmax(mask)))}: {what}")
