"""An export matrix as one HTML file: no network, light and dark, in the look of the report of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from edgesweep.report import units
from edgesweep.report.exports.blocks import (
    MEANINGS,
    Block,
    Findings,
    blocks_of,
    dimensions_of,
    findings_of,
    mark_of,
    note_of,
)
from edgesweep.report.exports.document import other_domains
from edgesweep.report.exports.summary import sentence
from edgesweep.report.facts import host_text
from edgesweep.report.html import MATRIX_COLUMNS, breakable, finding_views, template
from edgesweep.report.known import known_sentences
from edgesweep.report.outcomes import OUTCOMES, Cell, Doc, outcome_of, run_seconds, when


@dataclass(frozen=True, slots=True)
class Row:
    """A variant as a line of the list; all texts ready to print."""

    id: str
    name: Markup
    outcome: str
    mark: str
    cause: str
    finding: str
    produced: dict[str, Any] | None
    asked: int
    differs: bool
    dimensions: str
    domains: str
    error: str
    sizes: str
    seconds: str
    note: str


def render_html(doc: Doc) -> str:
    """The whole matrix as the text of one HTML file."""
    findings = findings_of(doc)
    letters = {entry.letter: f"f{place}" for place, entry in enumerate(findings.entries)}
    anchors = {name: letters[letter] for name, letter in findings.letter_of.items()}
    row_ids = {cell["name"]: f"c{place}" for place, cell in enumerate(doc["cells"])}
    html: str = template("matrix.html.j2").render(
        run=doc["run"],
        state=doc["run"]["state"],
        started=when(doc["run"]["started"]),
        took=run_seconds(doc),
        host=host_text(doc["run"]["host"]),
        sentence=sentence(doc),
        summary=doc["summary"],
        counts={**doc["summary"]["outcomes"], "unfinished": doc["summary"]["unfinished"]},
        outcomes=OUTCOMES,
        meanings=MEANINGS,
        blocks=[_block(block, findings, row_ids, anchors) for block in blocks_of(doc)],
        findings=_findings(findings),
        known=known_sentences(doc["cells"], "variant"),
        rows=[_row(cell, row_ids, anchors) for cell in doc["cells"]],
        row_ids=row_ids,
        size_unit=units.size_unit((cell["produced"] or {}).get("size_bytes") for cell in doc["cells"]),
    )
    return html


def _block(block: Block, findings: Findings, row_ids: dict[str, str], anchors: dict[str, str]) -> dict[str, Any]:
    def square(cell: Cell | None) -> dict[str, str] | None:
        if cell is None:
            return None
        outcome = outcome_of(cell)
        produced = cell["produced"]
        differs = produced is not None and produced["opset"] != cell["opset"]
        if outcome == "pass":
            say = f"{units.count(produced['nodes'])} nodes" if produced else ""
        else:
            say = f"produced {produced['opset']}" if differs and produced else str(cell["cause"] or "")
        return {
            "outcome": outcome,
            "mark": mark_of(cell),
            "letter": findings.letter_of.get(cell["name"], ""),
            "say": say,
            "href": f"#{row_ids[cell['name']]}" if outcome == "pass" else f"#{anchors[cell['name']]}",
        }

    tables = []
    for start in range(0, len(block.opsets), MATRIX_COLUMNS):
        opsets = block.opsets[start : start + MATRIX_COLUMNS]
        rows = [(line.label, [square(line.cells.get(opset)) for opset in opsets]) for line in block.lines]
        tables.append({"opsets": opsets, "rows": rows})
    return {"model": block.model, "tables": tables}


def _findings(findings: Findings) -> list[dict[str, Any]]:
    views = finding_views([entry.finding for entry in findings.entries])
    return [{**view, "letter": entry.letter} for view, entry in zip(views, findings.entries, strict=True)]


def _row(cell: Cell, row_ids: dict[str, str], anchors: dict[str, str]) -> Row:
    outcome = outcome_of(cell)
    produced = cell["produced"]
    error = (cell["numerics"] or {}).get("max_absolute_error")
    agreed = sum(size["agreed"] for size in cell["proof"])
    return Row(
        id=row_ids[cell["name"]],
        name=breakable(cell["name"]),
        outcome=outcome,
        mark=mark_of(cell),
        cause=cell["cause"] or "",
        finding=anchors.get(cell["name"], ""),
        produced=produced,
        asked=cell["opset"],
        differs=bool(produced and produced["opset"] != cell["opset"]),
        dimensions=dimensions_of(cell) if produced else "",
        domains=", ".join(other_domains(produced)) if produced else "",
        error=units.NOTHING if error is None else f"{error:.1e}",
        sizes=f"{agreed} of {len(cell['proof'])}" if cell["proof"] else units.NOTHING,
        seconds="cached" if cell["cached"] else units.duration(cell["seconds"]),
        note=note_of(cell),
    )
