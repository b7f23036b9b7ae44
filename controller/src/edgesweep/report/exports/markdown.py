"""An export matrix as Markdown, for a pull request or a chat: words, not colours, and no HTML."""

from __future__ import annotations

from collections.abc import Iterator

from edgesweep.report import units
from edgesweep.report.exports.blocks import (
    Block,
    Findings,
    blocks_of,
    findings_of,
    mark_of,
    produced_of,
    square_of,
    told_of,
)
from edgesweep.report.exports.summary import sentence
from edgesweep.report.known import known_sentences
from edgesweep.report.markdown_text import code, table, text
from edgesweep.report.outcomes import Cell, Doc, outcome_of, run_seconds, when

_OPSETS = 10


def render_markdown(doc: Doc) -> str:
    """The matrix: summary, outcomes by model, what the files hold, and the findings by cause with remedy."""
    findings = findings_of(doc)
    parts = [*_head(doc), *_outcomes(doc, findings), *_files(doc), *_findings(findings), *_known(doc)]
    return "\n\n".join(parts) + "\n"


def _head(doc: Doc) -> Iterator[str]:
    run = doc["run"]
    yield f"# {text(run['name'])}: export matrix {code(run['id'])}"
    yield sentence(doc)
    started, took = when(run["started"]), run_seconds(doc)
    facts = [
        f"started {started:%Y-%m-%d %H:%M} UTC" if started else "",
        f"took {units.duration(took)}" if took is not None else f"state: {run['state']}",
        f"Edgesweep {run['controller_version']}" if run["controller_version"] else "",
        f"plan {code(run['plan_digest'][:12])}" if run["plan_digest"] else "",
    ]
    yield " · ".join(filter(None, facts))


def _outcomes(doc: Doc, findings: Findings) -> Iterator[str]:
    blocks = blocks_of(doc)
    if blocks:
        yield "## Matrix"
        yield "A letter names the finding below; an arrow gives the opset that the file really holds."
    for block in blocks:
        yield f"### {text(block.model)}"
        for start in range(0, len(block.opsets), _OPSETS):
            yield _outcome_table(block, block.opsets[start : start + _OPSETS], findings)


def _outcome_table(block: Block, opsets: tuple[int, ...], findings: Findings) -> str:
    header = ("exported with", *(f"opset {opset}" for opset in opsets))
    rows = [(text(line.label), *(_square(line.cells.get(opset), findings) for opset in opsets)) for line in block.lines]
    return table(header, rows)


def _square(cell: Cell | None, findings: Findings) -> str:
    if cell is None:
        return units.NOTHING
    mark = mark_of(cell)
    return text(square_of(cell, findings.letter_of.get(cell["name"], "")).replace(mark, outcome_of(cell), 1))


def _files(doc: Doc) -> Iterator[str]:
    rows = [
        (
            text(block.model),
            text(line.label),
            entry.outcome,
            text(entry.opsets),
            entry.ir_version,
            text(entry.dimensions),
            text(entry.domains) or units.NOTHING,
            entry.nodes,
            entry.size,
            entry.seconds,
            entry.cached or "no",
        )
        for block in blocks_of(doc)
        for line in block.lines
        for entry in produced_of(line)
    ]
    if rows:
        yield "## What the files hold"
        header = (
            "model", "exported with", "outcome", "opset", "IR", "dynamic, proven", "other domains", "nodes", "size",
            "export", "cached",
        )  # fmt: skip
        yield table(header, rows, right={7, 8, 9})


def _findings(findings: Findings) -> Iterator[str]:
    if findings.entries:
        yield "## What did not pass"
    for entry in findings.entries:
        finding = entry.finding
        amount = units.plural(len(finding.cells), "variant")
        yield f"### {entry.letter}. {text(finding.title)} ({amount})"
        if finding.text:
            yield text(finding.text[0].upper() + finding.text[1:]) + "."
        if finding.remedy:
            yield f"Remedy: {text(finding.remedy)}."
        lines = []
        for message, told in told_of(finding).items():
            lines += [f"- {text(message)}"] if message else []
            indent = "  " if message else ""
            lines += [
                f"{indent}- {code(line.model)} {text(line.label)}, opset {text(line.opsets)}"
                + (f" ({text(line.note)})" if line.note else "")
                for line in told
            ]
        yield "\n".join(lines)


def _known(doc: Doc) -> Iterator[str]:
    sentences = known_sentences(doc["cells"], "variant")
    if sentences:
        yield "## Known failures"
        yield "\n".join(f"- {text(sentence)}" for sentence in sentences)
