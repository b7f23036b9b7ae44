"""What cells' diagnoses say in short: operators that were refused, and the hash of words that nobody knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edgesweep.failures.rules import SHORT_HASH
from edgesweep.report.plain_data import Json
from edgesweep.report.units import plural


def short_hash(cell: Json) -> str:
    """The start of a cell's message hash, as it is shown and typed; empty where its failure left no words."""
    return str((cell.get("diagnosis") or {}).get("message_hash") or "")[:SHORT_HASH]


def operator_lines(cells: Iterable[Json]) -> list[str]:
    """The operators that were refused, `ai.onnx Det(11) float16: 12 cells`, those of most cells first."""
    counts = Counter(filter(None, map(_operator, cells)))
    return [f"{name}: {plural(count, 'cell')}" for name, count in counts.most_common()]


def _operator(cell: Json) -> str:
    operator = (cell.get("diagnosis") or {}).get("operator")
    if not operator:
        return ""
    version = f"({operator['version']})" if operator["version"] is not None else ""
    return " ".join([operator["domain"], operator["name"] + version, "+".join(operator["types"])]).strip()
