"""The models that come with Edgesweep, by name. Importing this imports no torch: the builders do, one file each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from edgesweep.errors import EdgesweepError
from edgesweep.models.source import ModelFacts


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One built-in model: where it is built, what it is like, and its facts, known without building it.

    `factory` is `package.module:callable`; `dynamic` maps an input to its dynamic dimensions by axis.
    """

    name: str
    factory: str
    summary: str
    facts: ModelFacts
    dynamic: dict[str, dict[int, str]]


def _entry(
    name: str,
    summary: str,
    dynamic: dict[str, dict[int, str]],
    ranges: dict[str, tuple[int, int]],
    example: Mapping[str, int],
) -> ZooEntry:
    factory = f"edgesweep.models.zoo.{name.replace('-', '_')}:build"
    return ZooEntry(name, factory, summary, ModelFacts(name, tuple(ranges), ranges, dict(example)), dynamic)


_ENTRIES = (
    _entry(
        "mobile-cnn",
        "image classifier: inverted residuals, squeeze-and-excitation, hard swish",
        {"image": {0: "batch", 2: "height", 3: "width"}},
        {"batch": (1, 8), "height": (96, 320), "width": (96, 320)},
        {"batch": 1, "height": 224, "width": 224},
    ),
    _entry(
        "text-encoder",
        "transformer encoder: token embeddings, attention mask, four layers of 256",
        {"input_ids": {0: "batch", 1: "seq"}, "attention_mask": {0: "batch", 1: "seq"}},
        {"batch": (1, 8), "seq": (8, 256)},
        {"batch": 1, "seq": 64},
    ),
    _entry(
        "keyword-spotter",
        "recurrent speech classifier: a convolutional front and a GRU over time",
        {"mel": {0: "batch", 1: "time"}},
        {"batch": (1, 8), "time": (20, 200)},
        {"batch": 1, "time": 100},
    ),
    _entry(
        "detector",
        "object detector: a feature pyramid with boxes and scores of three scales joined",
        {"image": {0: "batch", 2: "height", 3: "width"}},
        {"batch": (1, 8), "height": (96, 320), "width": (96, 320)},
        {"batch": 1, "height": 192, "width": 192},
    ),
    _entry(
        "fourier-mixer",
        "token mixer by Fourier transform: an operator that only some exports can express",
        {"tokens": {0: "batch", 1: "seq"}},
        {"batch": (1, 8), "seq": (8, 256)},
        {"batch": 1, "seq": 64},
    ),
)

ZOO: dict[str, ZooEntry] = {entry.name: entry for entry in _ENTRIES}


def find_entry(name: str) -> ZooEntry:
    """The built-in model `name`.

    Raises:
        EdgesweepError: `model_unusable`, naming the nearest built-in model or all of them.
    """
    entry = ZOO.get(name)
    if entry is None:
        close = difflib.get_close_matches(name, ZOO, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"they are: {', '.join(ZOO)}"
        raise EdgesweepError("model_unusable", f"there is no built-in model '{name}'; {hint}")
    return entry
