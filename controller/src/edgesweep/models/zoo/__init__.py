"""The models that come with Edgesweep, by name. Importing this imports no torch: the builders do, one file each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from edgesweep.errors import EdgesweepError
from edgesweep.models.source import ModelFacts


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One built-in model: where it is built, what it is like, and its facts, known without building it.

    `factory` is `package.module:callable`; `dynamic` maps an input to its dynamic dimensions by axis. `needs` are the
    packages beyond torch that building it takes, `extra` what a user installs to have them.
    """

    name: str
    factory: str
    summary: str
    facts: ModelFacts
    dynamic: dict[str, dict[int, str]]
    needs: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> str:
        """Which of the packages that it needs are not installed here, as a sentence; empty when all are."""
        absent = [package for package in self.needs if find_spec(package) is None]
        return f"{self.name} needs {' and '.join(absent)}: pip install '{self.extra}'" if absent else ""


def _entry(
    name: str,
    summary: str,
    dynamic: dict[str, dict[int, str]],
    ranges: dict[str, tuple[int, int]],
    example: Mapping[str, int],
) -> ZooEntry:
    factory = f"edgesweep.models.zoo.{name.replace('-', '_')}:build"
    return ZooEntry(name, factory, summary, ModelFacts(name, tuple(ranges), ranges, dict(example)), dynamic)


def _architecture(
    name: str,
    summary: str,
    dynamic: dict[str, dict[int, str]],
    ranges: dict[str, tuple[int, int]],
    example: Mapping[str, int],
) -> ZooEntry:
    factory = f"edgesweep.models.zoo.architectures.{name.replace('-', '_')}:build"
    facts = ModelFacts(name, tuple(ranges), ranges, dict(example))
    return ZooEntry(name, factory, summary, facts, dynamic, ("transformers",), "edgesweep[transformers]")


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
    _architecture(
        "bert",
        "BERT as transformers builds it: encoder with mask and text numbers, two layers of 128",
        {path: {0: "batch", 1: "seq"} for path in ("input_ids", "attention_mask", "token_type_ids")},
        {"batch": (1, 8), "seq": (8, 128)},
        {"batch": 1, "seq": 48},
    ),
    _architecture(
        "distilbert",
        "DistilBERT as transformers builds it: encoder with mask, two layers of 96",
        {path: {0: "batch", 1: "seq"} for path in ("input_ids", "attention_mask")},
        {"batch": (1, 8), "seq": (8, 128)},
        {"batch": 1, "seq": 48},
    ),
    _architecture(
        "vit",
        "Vision Transformer as transformers builds it: classifier with interpolated positions, two layers of 96",
        {"pixel_values": {0: "batch", 2: "height", 3: "width"}},
        {"batch": (1, 8), "height": (32, 128), "width": (32, 128)},
        {"batch": 1, "height": 64, "width": 64},
    ),
    _architecture(
        "whisper-encoder",
        "Whisper's audio encoder as transformers builds it, for one length of recording, two layers of 96",
        {"input_features": {0: "batch"}},
        {"batch": (1, 8)},
        {"batch": 1},
    ),
    _architecture(
        "llama-decoder",
        "Llama's decoder as transformers builds it: takes and returns its cache, two layers of 64",
        {
            "input_ids": {0: "batch", 1: "sequence"},
            "attention_mask": {0: "batch", 1: "sequence"},
            "past_mask": {0: "batch", 1: "past_sequence"},
            **{
                f"past.{layer}.{part}": {0: "batch", 2: "past_sequence"}
                for layer in (0, 1)
                for part in ("key", "value")
            },
        },
        {"batch": (1, 8), "sequence": (1, 32), "past_sequence": (1, 64)},
        {"batch": 1, "sequence": 4, "past_sequence": 24},
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
