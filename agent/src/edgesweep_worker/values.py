"""What a session is fed and what it gives back where that is more than numpy arrays: text, sequences, optional values.

An item of the sequence `x` is called `x[0]` and so on, and `x[]` stands for an empty one; an optional value that is missing
has no file at all. Types that numpy lacks are told in `foreign`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Iterable, Mapping

import numpy as np

from edgesweep_worker import foreign
from edgesweep_worker.compare import Reference, Sample

_ITEM = re.compile(r"\[\d*\]$")


def base_name(name: str) -> str:
    """The name of the model's own input or output: `x` of `x[3]`."""
    return _ITEM.sub("", name)


def is_plain(kinds: Iterable[str]) -> bool:
    """Whether values of all these types are numpy arrays of numbers."""
    return all(
        kind.startswith("tensor(") and kind != "tensor(string)" and foreign.element_type(kind) is None for kind in kinds
    )


def feeds(ort: Any, session: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What `session` takes in the place of `arrays`: the same, but for text, sequences and types that numpy lacks.

    Raises:
        TrialFailed: element_type_unsupported.
    """
    kinds = {arg.name: arg.type for arg in session.get_inputs()}
    if is_plain(kinds.values()):
        return dict(arrays)
    fed: dict[str, Any] = {
        name: _feed(ort, array, kinds.get(name, "")) for name, array in arrays.items() if name in kinds
    }
    for name, kind in kinds.items():
        if name not in fed and not kind.startswith("tensor("):
            items = _items(name, arrays)
            fed[name] = None if items is None else [_feed(ort, item, "") for item in items]
    return fed


def flat(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs with the items of sequences under names of their own, and without what is optional and missing."""
    found: dict[str, Any] = {}
    for name, value in outputs.items():
        if isinstance(value, list):
            found.update({f"{name}[{index}]": _array(item) for index, item in enumerate(value)})
            if not value:
                found[f"{name}[]"] = np.empty(0, dtype=np.float32)
        elif value is not None:
            found[name] = _array(value)
    return found


def decoded(references: Mapping[str, Reference], kinds: Mapping[str, str]) -> dict[str, Reference]:
    """References as the outputs are given, by the types of the outputs."""
    return {name: _decoded(given, foreign.element_type(kinds.get(name, ""))) for name, given in references.items()}


def _decoded(given: Reference, kind: foreign.ElementType | None) -> Reference:
    if kind is None:
        return given
    if isinstance(given, Sample):
        return dataclasses.replace(given, values=foreign.decode(np.asarray(given.values), kind))
    return foreign.decode(np.asarray(given), kind)


def _feed(ort: Any, array: Any, kind: str) -> Any:
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype.kind in "US":
        return array.astype(object)
    element = foreign.element_type(kind)
    return array if element is None else foreign.to_value(ort, array, element)


def _items(name: str, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """The items of a sequence in order; None when there is nothing of that name."""
    if f"{name}[]" in arrays:
        return []
    found = []
    while f"{name}[{len(found)}]" in arrays:
        found.append(arrays[f"{name}[{len(found)}]"])
    return found or None


def _array(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) or not np.isscalar(value) else np.asarray(value)
