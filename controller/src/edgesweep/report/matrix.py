"""The matrix models by variants of a result document: one block per device, runtime and provider chain."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgesweep.report.outcomes import Cell, Doc, place_title


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """A variant as a column: the same for every model."""

    exporter: str
    opset: int
    axes: str
    precision: str


@dataclass(frozen=True, slots=True)
class Block:
    """One matrix. `cells` holds, per model and column, the cells of all shapes and sessions; often just one."""

    device: str
    runtime: str
    providers: tuple[str, ...]
    models: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[tuple[str, Column], list[Cell]]

    @property
    def title(self) -> str:
        """`device · onnxruntime VERSION · provider+chain`."""
        return place_title(self.device, self.runtime, self.providers)

    def chunks(self, width: int) -> list[tuple[Column, ...]]:
        """The columns in tables of about `width` at most.

        One table where all fit; else every exporter by itself, cut between opsets into tables of about equal width.
        """
        if len(self.columns) <= width:
            return [self.columns]
        tables: list[tuple[Column, ...]] = []
        for exporter in dict.fromkeys(column.exporter for column in self.columns):
            families: dict[int, list[Column]] = {}
            for column in self.columns:
                if column.exporter == exporter:
                    families.setdefault(column.opset, []).append(column)
            own = list(families.values())
            needed = math.ceil(sum(map(len, own)) / width)
            fitting = max(1, width // max(map(len, own)))
            step = min(fitting, math.ceil(len(own) / needed))
            tables += [
                tuple(column for family in own[start : start + step] for column in family)
                for start in range(0, len(own), step)
            ]
        return tables


def column_of(cell: Cell) -> Column:
    """The column that a cell belongs to."""
    return Column(cell["exporter"], cell["opset"], cell["axes"], cell["precision"])


def matrix_blocks(doc: Doc) -> list[Block]:
    """All blocks in planned order. Models and axes keep planned order, exporters and opsets are sorted."""
    places: dict[tuple[str, str, tuple[str, ...]], list[Cell]] = {}
    for cell in doc["cells"]:
        places.setdefault((cell["device"], cell["runtime"], tuple(cell["providers"])), []).append(cell)
    return [_block(place, cells) for place, cells in places.items()]


def _block(place: tuple[str, str, tuple[str, ...]], members: list[Cell]) -> Block:
    cells: dict[tuple[str, Column], list[Cell]] = {}
    for cell in members:
        cells.setdefault((cell["model"], column_of(cell)), []).append(cell)
    axes = {name: index for index, name in enumerate(dict.fromkeys(cell["axes"] for cell in members))}
    exporters = {name: index for index, name in enumerate(dict.fromkeys(cell["exporter"] for cell in members))}
    columns = sorted(
        {column for _, column in cells},
        key=lambda column: (exporters[column.exporter], column.opset, axes[column.axes], column.precision),
    )
    models = tuple(dict.fromkeys(cell["model"] for cell in members))
    return Block(*place, models=models, columns=tuple(columns), cells=cells)
