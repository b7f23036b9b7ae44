"""Outputs in short: a digest, some values and how large they are, so that runs and devices can be held against each other.

What is kept of an output is small, however large it is, and it is read in chunks: beside the model's own memory a summary
takes nothing that would show.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from edgesweep_worker.compare import CHUNK, compare_outputs
from edgesweep_worker.job import Tolerance

#: Values kept of all outputs together: a run of thousands of trials is read as a whole.
VALUES = 256
#: Bytes of an output that its digest is made of: a small core takes seconds for more.
HASHED_BYTES = 64 << 20


@dataclass
class Summary:
    """What is kept of one output; fields as in `edgesweep_proto.execution.OutputSummary`. `sample` are the values as they are."""

    name: str
    type: str
    shape: tuple[int, ...] = ()
    sha256: str = ""
    sample: np.ndarray = field(default_factory=lambda: np.empty(0))
    max_absolute: float | None = None
    nans: int = 0
    run_difference: float | None = None

    def as_json(self) -> dict[str, Any]:
        """OutputSummary as JSON data, which knows neither NaN nor infinity."""
        return {
            "name": self.name,
            "type": self.type,
            "shape": list(self.shape),
            "sha256": self.sha256,
            "values": _json_values(self.sample),
            "max_absolute": self.max_absolute,
            "nans": self.nans,
            "run_difference": self.run_difference,
        }


def summarise(outputs: Mapping[str, Any]) -> list[Summary]:
    """A summary of each output, in order.

    Args:
        outputs: arrays by name, as the session gave them; what is no tensor has a digest of its contents and no values.
    """
    counts = shares([item.size if isinstance(item, np.ndarray) else 0 for item in outputs.values()], VALUES)
    return [_summary(name, outputs[name], counts[index]) for index, name in enumerate(outputs)]


def shares(sizes: Sequence[int], limit: int) -> list[int]:
    """How many elements to keep of arrays of `sizes`, `limit` in all: what small ones leave over goes to the larger."""
    counts = [0] * len(sizes)
    for done, index in enumerate(sorted(range(len(sizes)), key=lambda index: sizes[index])):
        counts[index] = min(sizes[index], limit // (len(sizes) - done))
        limit -= counts[index]
    return counts


def rehearse() -> None:
    """Summarise and compare two made-up answers: what that code needs of memory is no model's, and is there from now on."""
    first, second = ({"y": np.full(2 * VALUES, value, dtype=np.float32)} for value in (1, 2))
    found = Repeats(summarise(first), Tolerance())
    found.take(second)
    json.dumps(found.first[0].as_json())


class Repeats:
    """Whether a model gives the same answer again: holds later answers to the same inputs against the first.

    Of the first answer only the summaries are kept, so that the memory of the runs between is the model's own; two later
    answers are compared in full.

    Args:
        first: the summaries of the first answer.
        tolerance: what counts as agreement.
    """

    def __init__(self, first: Sequence[Summary], tolerance: Tolerance) -> None:
        self.first = list(first)
        self._tolerance = tolerance
        self._before: Mapping[str, Any] = {}
        self._differing: dict[str, str] = {}

    @property
    def tags(self) -> list[str]:
        """`nondeterministic:NAME` for every output that was not the same bit for bit."""
        return [f"nondeterministic:{name}" for name in self._differing]

    def offender(self, vouched: Sequence[str] = ()) -> str:
        """The first output whose answers lie further apart than the tolerance lets them, in words; "" when none does.

        Args:
            vouched: outputs that a reference has found right each time; how far they lie apart is no finding.
        """
        return next((words for name, words in self._differing.items() if words and name not in vouched), "")

    def take(self, answer: Mapping[str, Any]) -> None:
        """Hold one more answer against the first, and against the one before."""
        now = {summary.name: summary for summary in summarise(answer)}
        for summary in self.first:
            later = now.get(summary.name)
            if later is None:  # a sequence that is shorter than at first
                self._differing[summary.name] = f"{summary.name}: it is there in some runs only"
                continue
            if (later.sha256, later.type, later.shape) == (summary.sha256, summary.type, summary.shape):
                summary.run_difference = summary.run_difference or 0.0
                continue
            # What is no float has no distance that a tolerance could be held against: any difference is told.
            self._note(summary, later.sample, summary.sample)
            if summary.name in self._before:
                self._note(summary, answer.get(summary.name), self._before[summary.name])
        self._before = answer

    def _note(self, summary: Summary, again: Any, before: Any) -> None:
        name = summary.name
        words = self._differing.get(name, "")
        self._differing[name] = words
        if not isinstance(again, np.ndarray) or not isinstance(before, np.ndarray) or not again.size:
            return
        found = compare_outputs({name: again}, {name: before}, self._tolerance)
        numerics = found.numerics()
        apart = numerics["max_absolute_error"] if numerics is not None else 0.0
        if apart > 0:
            summary.run_difference = max(summary.run_difference or 0.0, apart)
        if found.cause and not words:
            # Without the element that it names: what was compared may be the kept values only.
            what = f"up to {apart:.3g} apart" if apart > 0 else found.first_offender.partition(": ")[2]
            self._differing[name] = f"{name}: {what}"


def _summary(name: str, item: Any, count: int) -> Summary:
    if not isinstance(item, np.ndarray):
        kind = "sequence" if isinstance(item, (list, tuple)) else type(item).__name__
        return Summary(name, kind, sha256=_digest(_parts(item)))
    if item.dtype.kind not in "biufc":
        kind = "str" if item.dtype.kind in "OUS" else str(item.dtype)
        return Summary(name, kind, item.shape, _digest(_parts(item)))
    flat = item.reshape(-1)
    kept = flat[np.arange(count, dtype=np.int64) * flat.size // max(1, count)]
    largest, nans = _extent(flat)
    return Summary(name, str(item.dtype), item.shape, _digest(_bytes_of(flat)), kept, largest, nans)


def _bytes_of(flat: np.ndarray) -> Iterator[Any]:
    """The bytes of a flat array that are hashed, little-endian, in chunks."""
    step = -(-flat.nbytes // HASHED_BYTES)
    chosen = flat[:: max(1, step)]
    for start in range(0, chosen.size, CHUNK):
        part = chosen[start : start + CHUNK]
        yield np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).view(np.uint8)


def _parts(item: Any) -> Iterator[Any]:
    """The contents of what is no array of numbers: texts as UTF-8, each ended by a zero byte, arrays as theirs."""
    if isinstance(item, np.ndarray) and item.dtype.kind in "biufc":
        yield from _bytes_of(item.reshape(-1))
    elif isinstance(item, np.ndarray):
        for text in item.reshape(-1):
            yield str(text).encode(errors="replace") + b"\0"
    elif isinstance(item, (list, tuple)):
        for part in item:
            yield from _parts(part)
    else:
        yield repr(item).encode(errors="replace") + b"\0"


def _digest(parts: Iterator[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _extent(flat: np.ndarray) -> tuple[float | None, int]:
    """The largest finite magnitude, None where there is none, and the number of NaN."""
    largest, nans = -1.0, 0
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        if part.dtype.kind in "fc":
            nans += int(np.isnan(part).sum())
            part = part[np.isfinite(part)]
        if part.size:
            # Not through `abs`: the lowest whole number of a type has none of its own type.
            ends = (np.abs(part).max(),) if part.dtype.kind == "c" else (part.max(), part.min())
            largest = max(largest, *(abs(float(end)) for end in ends))
    return (None if largest < 0 else largest), nans


def _json_values(sample: np.ndarray) -> list[float]:
    if sample.dtype.kind == "c":
        return []
    values = np.nan_to_num(sample.astype(np.float64), nan=0.0, posinf=sys.float_info.max, neginf=-sys.float_info.max)
    if sample.dtype in (np.float16, np.float32):
        # Nine digits tell every 32-bit float from its neighbours, and are half as long in JSON.
        return [float(f"{value:.9g}") for value in values.tolist()]
    return values.tolist()
