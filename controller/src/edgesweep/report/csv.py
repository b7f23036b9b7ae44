"""The result document as tidy long CSV: one row per cell and metric, with its unit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from edgesweep.report.known import known_state
from edgesweep.report.outcomes import Cell, Doc, outcome_of, session_of

#: What identifies and qualifies every row, so that a filter needs no second table.
LABELS = (
    "run",
    "cell",
    "device",
    "model",
    "exporter",
    "opset",
    "axes",
    "precision",
    "runtime",
    "providers",
    "shape",
    "threads",
    "session",
    "outcome",
    "stage",
    "cause",
    "verdict",
    "same_as",
    "predicted",
    "prediction",
    "known",
)
COLUMNS = (*LABELS, "metric", "value", "unit")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a cell: its name in the table, where it stands in the document, and its unit (empty: a count)."""

    name: str
    path: tuple[str, ...]
    unit: str


METRICS = (
    *(
        Metric(f"latency_{name}", ("latency_s", name), "s")
        for name in ("median", "p10", "p90", "p95", "p99", "mean", "min", "mad")
    ),
    Metric("latency_n", ("latency_s", "n"), ""),
    Metric("latency_ci95_low", ("latency_s", "ci95", "0"), "s"),
    Metric("latency_ci95_high", ("latency_s", "ci95", "1"), "s"),
    Metric("latency_half_width", ("latency_s", "half_width"), ""),
    Metric("throughput_inferences", ("throughput_per_s", "inferences"), "1/s"),
    Metric("throughput_items", ("throughput_per_s", "items"), "1/s"),
    *(
        Metric(f"memory_{name}", ("memory_bytes", name), "B")
        for name in ("session_peak", "first_run_peak", "steady_peak", "retained")
    ),
    *(
        Metric(f"arena_{name}", ("memory_bytes", "arena", name), "B")
        for name in ("in_use_peak", "requested_peak", "held_first_run", "held")
    ),
    *(
        Metric(f"cold_start_{name}", ("cold_start_s", name), "s")
        for name in ("import", "provider_load", "session", "first_run", "second_run")
    ),
    Metric("compile", ("compile", "seconds"), "s"),
    Metric("compile_rebuilds", ("compile", "rebuilds"), ""),
    Metric("sustained_ratio", ("sustained", "ratio"), ""),
    Metric("energy_per_inference", ("energy", "joules_per_inference"), "J"),
    Metric("harness_floor", ("harness_floor_s",), "s"),
    Metric("max_absolute_error", ("numerics", "max_absolute_error"), ""),
    Metric("max_relative_error", ("numerics", "max_relative_error"), ""),
    Metric("artifact_size", ("produced", "size_bytes"), "B"),
    Metric("artifact_nodes", ("produced", "nodes"), ""),
    Metric("artifact_opset", ("produced", "opset"), ""),
    Metric("artifact_ir_version", ("produced", "ir_version"), ""),
    Metric("export_time", ("export", "seconds"), "s"),
    *(
        Metric(name, ("environment", "accounting", name), "")
        for name in ("runqueue_share", "foreign_cores", "steal_share", "pressure_share")
    ),
)


def render_csv(doc: Doc) -> str:
    """The table with a header line, in planned order; a cell without any figure has one row without a metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in doc["cells"]:
        labels = _labels(doc, cell)
        figures = list(_figures(cell)) or [("", "", "")]
        writer.writerows((*labels, *figure) for figure in figures)
    return text.getvalue()


def _labels(doc: Doc, cell: Cell) -> tuple[str, ...]:
    prediction = cell.get("prediction") or {}
    own = {
        **cell,
        "predicted": prediction.get("cause"),
        "prediction": prediction.get("state"),
        "known": known_state(cell),
        "run": doc["run"]["id"],
        "cell": cell["name"],
        "providers": "+".join(cell["providers"]),
        "session": session_of(cell),
        "outcome": outcome_of(cell),
    }
    return tuple("" if own.get(name) is None else str(own[name]) for name in LABELS)


def _figures(cell: Cell) -> Iterator[tuple[str, str, str]]:
    for metric in METRICS:
        value = _find(cell, metric.path)
        if value is not None:
            yield metric.name, repr(value), metric.unit
    for share in (cell.get("placement") or {}).get("shares") or []:
        yield f"nodes_{share['provider']}", repr(share["nodes"]), ""
        if share.get("time_share") is not None:
            yield f"time_share_{share['provider']}", repr(share["time_share"]), ""


def _find(cell: Cell, path: tuple[str, ...]) -> float | int | None:
    value = cell
    for step in path:
        if isinstance(value, list):
            value = value[int(step)]
        elif isinstance(value, dict):
            value = value.get(step)  # type: ignore[assignment]
        else:
            return None
    return value  # type: ignore[return-value]
