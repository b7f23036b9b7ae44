"""A run's report as one small SVG: the outcomes of every variant, the latencies by model, the findings in words.

It stands by itself: no script, no font or picture from elsewhere, and nothing of the host that it was made on.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from edgesweep.report import charts, units
from edgesweep.report.matrix import Block, Column, matrix_blocks
from edgesweep.report.outcomes import (
    OUTCOMES,
    Cell,
    group_findings,
    outcome_counts,
    outcome_of,
    place_of,
    sentence,
)

WIDTH = 1040
"""Units of the picture from left to right; it scales to whatever it is shown in."""

_PAD = 28
_LABEL = 136
_SQUARE = 27
_HEADS = 78
_MOST_COLUMNS = 30
_STRIP = 46
_FINDINGS = 4
_LETTERS = 132
_WORST_FIRST = ("failed", "lost", "fallback", "unfinished", "skipped", "pass")
_INKS = {
    "pass": ("#006b4f", "#dcf1ea"),
    "fallback": ("#8a5300", "#fdeecb"),
    "failed": ("#a8321a", "#fbe0d8"),
    "skipped": ("#525a64", "#e8ebee"),
    "lost": ("#7a3d85", "#f3e2f5"),
    "unfinished": ("#315a8c", "#e0ebf8"),
}
_STYLE = """
text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#16191d}
.h{font-size:26px;font-weight:700}.b{font-weight:600}.s{fill:#5a636e;font-size:13px}.t{fill:#5a636e;font-size:11px}
.m{text-anchor:middle}.e{text-anchor:end}.line{stroke:#d9dde2}.grid{stroke:#e9ecef}
.dot circle{fill:#0b57a4;fill-opacity:.75}.ring circle{fill:none;stroke:#0b57a4;stroke-width:1.6}
.cross path{stroke:#0b57a4;stroke-width:1.6}
"""


class _Page:
    """Elements from the top down; `y` is where the next one may begin."""

    def __init__(self) -> None:
        self.parts: list[Markup] = []
        self.y = float(_PAD)

    def text(self, x: float, content: str, kind: str = "", *, dy: float = 0.0) -> None:
        """A line of text whose foot stands at `y + dy`."""
        self.parts.append(Markup('<text x="{}" y="{}" class="{}">{}</text>').format(x, self.y + dy, kind, content))

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "line") -> None:
        """A thin rule."""
        self.parts.append(Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, kind))

    def svg(self) -> str:
        """The whole picture, as tall as what is on it."""
        head = Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
            "<title>A report of Edgesweep</title><style>{2}</style>"
            '<rect x="0.5" y="0.5" width="{3}" height="{4}" rx="12" fill="#fff" stroke="#d9dde2"/>'
        ).format(WIDTH, round(self.y), Markup(_STYLE), WIDTH - 1, round(self.y) - 1)  # noqa: S704 - a literal above
        return str(head + Markup("\n").join(self.parts) + Markup("</svg>\n"))


def draw_report(doc: dict[str, Any]) -> str:
    """The picture of a result document; of several places (device, runtime, providers) the one with most cells."""
    page = _Page()
    _head(page, doc)
    blocks = matrix_blocks(doc)
    if blocks:
        block = max(blocks, key=lambda one: sum(map(len, one.cells.values())))
        others = f", 1 of {units.plural(len(blocks), 'place')}" if len(blocks) > 1 else ""
        _section(page, "Outcomes", f"{block.title}{others}")
        for columns in block.chunks(_MOST_COLUMNS):
            _matrix(page, block, columns)
        _legend(page, doc)
        _latencies(page, [cell for cells in block.cells.values() for cell in cells], block.title)
    _findings(page, doc)
    page.y += _PAD - 8
    return page.svg()


def _head(page: _Page, doc: dict[str, Any]) -> None:
    page.y += 18
    page.text(_PAD, doc["run"]["name"], "h")
    page.text(WIDTH - _PAD, f"run {doc['run']['id']}", "s e")
    page.y += 8
    for line in textwrap.wrap(sentence(doc), _LETTERS):
        page.y += 20
        page.text(_PAD, line)
    counts = outcome_counts(doc)
    total, x, room = max(1, sum(counts.values())), float(_PAD), WIDTH - 2 * _PAD
    page.y += 16
    for word, amount in counts.items():
        if amount:
            width = round(room * amount / total, 1)
            page.parts.append(
                Markup('<rect x="{}" y="{}" width="{}" height="10" fill="{}"/>').format(
                    x, page.y, max(1.0, width - 2), _INKS[word][0] if word in _INKS else "#525a64"
                )
            )
            x += width
    page.y += 10


def _section(page: _Page, title: str, note: str) -> None:
    page.y += 38
    page.parts.append(
        Markup('<text x="{}" y="{}"><tspan class="b">{}</tspan><tspan dx="10" class="s">{}</tspan></text>').format(
            _PAD, page.y, title, note
        )
    )
    page.y += 10


# Outcomes


def _matrix(page: _Page, block: Block, columns: Sequence[Column]) -> None:
    models = [model for model in block.models if any((model, column) in block.cells for column in columns)]
    left, top = _PAD + _LABEL, page.y
    bottom = top + _HEADS + _SQUARE * len(models)
    places = {column: left + _SQUARE * index for index, column in enumerate(columns)}
    for exporter, members in _runs(columns, lambda column: column.exporter):
        x = places[members[0]]
        page.text(x + len(members) * _SQUARE / 2, exporter, "b m", dy=14)
        page.line(x, top, x, bottom)
    for (_, opset), members in _runs(columns, lambda column: (column.exporter, column.opset)):
        x = places[members[0]]
        label = f"opset {opset}" if len(members) > 1 else str(opset)
        page.text(x + len(members) * _SQUARE / 2, label, "t m", dy=30)
        page.line(x, top + 20, x, bottom)
    for column, x in places.items():
        page.parts.append(
            Markup('<text class="t" transform="translate({} {})rotate(-90)">{}</text>').format(
                x + _SQUARE / 2 + 4, page.y + _HEADS - 5, column.axes
            )
        )
    page.y = top + _HEADS
    for model in models:
        page.line(_PAD, page.y, left + _SQUARE * len(columns), page.y)
        page.text(_PAD, model, dy=_SQUARE - 9)
        for column, x in places.items():
            cells = block.cells.get((model, column))
            if cells:
                page.parts.append(_square(cells, x, page.y))
        page.y += _SQUARE
    page.y += 8


def _runs(columns: Sequence[Column], key: Any) -> Iterable[tuple[Any, list[Column]]]:
    return ((value, list(members)) for value, members in groupby(columns, key))


def _square(cells: Sequence[Cell], x: float, y: float) -> Markup:
    words = [outcome_of(cell) for cell in cells]
    worst = min(words, key=lambda word: _WORST_FIRST.index(word) if word in _WORST_FIRST else 0)
    ink, ground = _INKS.get(worst, _INKS["unfinished"])
    mark = OUTCOMES[worst].mark if worst in OUTCOMES else "*"
    titles = "; ".join(f"{cell['name']}: {outcome_of(cell)} {cell.get('cause') or ''}".strip() for cell in cells)
    return Markup(
        '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" rx="4" fill="{}"/>'
        '<text x="{}" y="{}" class="m" style="fill:{}">{}</text></g>'
    ).format(titles, x + 2, y + 2, _SQUARE - 4, _SQUARE - 4, ground, x + _SQUARE / 2, y + _SQUARE - 9, ink, mark)


def _legend(page: _Page, doc: dict[str, Any]) -> None:
    page.y += 16
    x = float(_PAD)
    for word, amount in outcome_counts(doc).items():
        if amount:
            text = f"{OUTCOMES[word].mark if word in OUTCOMES else '*'} {amount} {word}"
            ink = _INKS.get(word, _INKS["unfinished"])[0]
            page.parts.append(
                Markup('<text x="{}" y="{}" class="b" style="fill:{}">{}</text>').format(x, page.y, ink, text)
            )
            x += 28 + 8.4 * len(text)


# Latencies


def _latencies(page: _Page, cells: Sequence[Cell], place: str) -> None:
    own = [cell for cell in cells if cell.get("latency_s") and not cell.get("same_as") and place_of(cell) == place]
    if not own:
        return
    unit = units.time_unit(cell["latency_s"]["median"] for cell in own)
    marks: dict[str, list[charts.Mark]] = {}
    for cell in own:
        median = cell["latency_s"]["median"]
        marks.setdefault(cell["model"], []).append(
            charts.Mark(cell["name"], median, median, median, cell.get("verdict") or "", cell["name"])
        )
    scale = charts.scale_for([charts.Panel("", marks)], unit)
    kinds = ", ".join(
        f"{mark} {word}"
        for word, mark in (("trusted", "●"), ("doubtful", "○"), ("invalid", "✕"))
        if any(cell.get("verdict") == word for cell in own)
    )
    axis = f"median latency in {unit.symbol}{', logarithmic' if scale.log else ''}"
    _section(page, "Latency", f"{axis}; one mark per measured variant: {kinds}")
    left, room = _PAD + _LABEL, WIDTH - 2 * _PAD - _LABEL

    def at(value: float) -> float:
        return round(left + room * scale.position(value) / 100, 1)

    bottom = page.y + 24 + _STRIP * len(marks)
    for tick in scale.ticks():
        page.text(at(tick), f"{tick:,.6g}", "t m", dy=14)
        page.line(at(tick), page.y + 20, at(tick), bottom, "grid")
    page.y += 24
    for model, group in marks.items():
        page.line(_PAD, page.y, WIDTH - _PAD, page.y)
        page.text(_PAD, model, dy=28)
        page.parts += [_mark(mark, at(mark.value / unit.size), page.y + 31) for mark in group]
        page.text(left + 4, _fastest([cell for cell in own if cell["model"] == model]), "t", dy=14)
        page.y += _STRIP
    page.line(_PAD, page.y, WIDTH - _PAD, page.y)


def _fastest(cells: Sequence[Cell]) -> str:
    usable = [cell for cell in cells if cell.get("verdict") != "invalid"]
    if not usable:
        return f"{units.plural(len(cells), 'number')}, none to be used: invalid"
    best = min(usable, key=lambda cell: cell["latency_s"]["median"])
    latency = best["latency_s"]
    figure = units.latency(latency["median"], latency.get("mad"), latency.get("n"))
    variant = f"{best['exporter']}-opset{best['opset']}-{best['axes']}"
    return f"fastest of {len(usable)} usable: {variant}  {figure} {best.get('verdict') or ''}".rstrip()


def _mark(mark: charts.Mark, x: float, y: float) -> Markup:
    if mark.text == "invalid":
        shape = Markup('<path d="M{} {}l8 8m0 -8l-8 8"/>').format(round(x - 4, 1), y - 4)
        kind = "cross"
    else:
        kind = "ring" if mark.text == "doubtful" else "dot"
        shape = Markup('<circle cx="{}" cy="{}" r="4.5"/>').format(x, y)
    return Markup('<g class="{}"><title>{}</title>{}</g>').format(kind, mark.title, shape)


# Findings


def _findings(page: _Page, doc: dict[str, Any]) -> None:
    findings = group_findings(doc)
    if not findings:
        return
    more = f"the first {_FINDINGS} of {len(findings)}" if len(findings) > _FINDINGS else ""
    _section(page, "Findings", more)
    for finding in findings[:_FINDINGS]:
        page.y += 6
        ink = _INKS.get(finding.outcome, _INKS["unfinished"])[0]
        page.parts.append(
            Markup('<rect x="{}" y="{}" width="4" height="38" rx="2" fill="{}"/>').format(_PAD, page.y, ink)
        )
        page.text(_PAD + 16, f"{finding.title}, {units.plural(len(finding.cells), 'cell')}", "b", dy=14)
        remedy = textwrap.shorten(finding.remedy or finding.text, _LETTERS, placeholder="…")
        page.text(_PAD + 16, remedy, "s", dy=33)
        page.y += 42
