"""The charts of a result document: its measured cells as marks, by place and by model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from edgesweep.report import charts, units
from edgesweep.report.facts import peak_memory
from edgesweep.report.outcomes import Cell, place_of, session_of

_MARKS_PER_PICTURE = 8
_VERDICT_SHAPE = {"trusted": "dot", "doubtful": "ring", "invalid": "cross"}


def _chart_panels(marks: Iterable[tuple[Cell, charts.Mark]]) -> list[charts.Panel]:
    panels: dict[str, charts.Panel] = {}
    for cell, mark in marks:
        panel = panels.setdefault(place_of(cell), charts.Panel(place_of(cell), {}))
        panel.groups.setdefault(cell["model"], []).append(mark)
    return list(panels.values())


def _label(cell: Cell) -> str:
    parts = [cell["exporter"], f"opset {cell['opset']}", cell["axes"]]
    parts += [cell["precision"]] if cell["precision"] != "fp32" else []
    parts += [cell["shape"]] if cell["shape"] != "example" else []
    parts += [session_of(cell)] if session_of(cell) != "t1" else []
    return " · ".join(parts)


def latency_chart(cells: list[Cell], row_ids: dict[str, str]) -> dict[str, Any] | None:
    """Median latency with p10 and p90 of every cell measured by itself; None when there is none."""
    own = [cell for cell in cells if cell.get("latency_s") and not cell.get("same_as")]
    unit = units.time_unit(cell["latency_s"]["median"] for cell in own)
    marks = []
    for cell in own:
        latency = cell["latency_s"]
        median, mad = latency["median"], latency.get("mad")
        low = latency["p10"] if latency.get("p10") is not None else median
        high = latency["p90"] if latency.get("p90") is not None else median
        text = f"{unit.show(median)} {unit.symbol}"
        text += "" if mad is None else f" ±{units.spread(mad / unit.size, median / unit.size)}"
        verdict = cell.get("verdict") or ""
        text += "" if verdict in {"trusted", ""} else f" {verdict}"
        shape = _VERDICT_SHAPE.get(verdict, "dot")
        title = f"{cell['name']} n={latency.get('n')}"
        mark = charts.Mark(_label(cell), median, low, high, text, title, shape, f"#{row_ids[cell['name']]}")
        marks.append((cell, mark))
    return _chart_view(marks, unit)


def memory_chart(cells: list[Cell], row_ids: dict[str, str]) -> dict[str, Any] | None:
    """Steady and highest peak memory of every cell measured by itself; None when there is none."""
    own = [(cell, steady) for cell in cells if not cell.get("same_as") and (steady := peak_memory(cell)) is not None]
    unit = units.size_unit(steady for _, steady in own)
    marks = []
    for cell, steady in own:
        memory = cell["memory_bytes"]
        peaks = [
            memory[key] for key in ("session_peak", "first_run_peak", "steady_peak") if memory.get(key) is not None
        ]
        highest = float(max([steady, *peaks]))
        text = f"{unit.show(steady)} {unit.symbol}"
        text += f", highest {unit.show(highest)} {unit.symbol}" if highest > steady else ""
        title = f"{cell['name']} by {memory.get('method') or 'unknown method'}"
        mark = charts.Mark(_label(cell), steady, steady, highest, text, title, "bar", f"#{row_ids[cell['name']]}")
        marks.append((cell, mark))
    return _chart_view(marks, unit)


def _chart_view(marks: list[tuple[Cell, charts.Mark]], unit: units.Unit) -> dict[str, Any] | None:
    if not marks:
        return None
    panels = _chart_panels(marks)
    scale = charts.scale_for(panels, unit)
    return {
        "unit": unit.symbol,
        "log": scale.log,
        "axis": charts.draw_axis(scale, unit),
        "panels": [
            {
                "title": panel.title,
                "groups": [
                    (model, _drawings(group, scale, unit, f"{model} on {panel.title}"))
                    for model, group in panel.groups.items()
                ],
            }
            for panel in panels
        ],
    }


def _drawings(marks: list[charts.Mark], scale: charts.Scale, unit: units.Unit, title: str) -> list[Markup]:
    """One group as pictures that follow each other without a gap: paper can be cut between them only."""
    starts = range(0, len(marks), _MARKS_PER_PICTURE)
    return [charts.draw_group(marks[start : start + _MARKS_PER_PICTURE], scale, unit, title) for start in starts]
