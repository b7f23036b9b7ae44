"""The terminal's view of an export matrix: a block per model, what the files hold, and the findings."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.exports.blocks import (
    MEANINGS,
    Block,
    Findings,
    Lettered,
    Produced,
    blocks_of,
    findings_of,
    produced_of,
    square_of,
    told_of,
)
from edgesweep.report.known import known_sentences
from edgesweep.report.outcomes import OUTCOMES, Cell, Doc, outcome_of, run_seconds
from edgesweep.report.tables import STYLES, Adaptive, heading, plain_table, styled

LINES_PER_FINDING = 10
_MOST_LABEL = 30
_MARK_WIDTH = 4
_GAP = 2
_HEAD = "exported with"
_WIDE = 90


def matrix_of_variants(doc: Doc) -> RenderableType:
    """The outcomes: per model, exporter, axes and precision down, opsets across."""
    blocks, findings = blocks_of(doc), findings_of(doc)

    def build(width: int) -> RenderableType:
        parts: list[RenderableType] = []
        for block in blocks:
            parts += [Text(), heading(block.model), *_outcomes_of(block, findings, width)]
        return Group(*parts, Text(), *_legend(doc))

    return Adaptive(build)


def _outcomes_of(block: Block, findings: Findings, width: int) -> Iterable[Table]:
    label_width = min(max(len(label) for label in (_HEAD, *(line.label for line in block.lines))), _MOST_LABEL)
    squares = {
        (line.label, opset): _square(cell, findings) for line in block.lines for opset, cell in line.cells.items()
    }
    square_width = max([8, *(len(square) for square in squares.values())])
    fitting = max(1, (width - label_width) // (square_width + _GAP))
    for start in range(0, len(block.opsets), fitting):
        shown = block.opsets[start : start + fitting]
        table = plain_table()
        table.add_column(_HEAD, width=label_width, overflow="fold")
        for opset in shown:
            table.add_column(f"opset {opset}", width=square_width, no_wrap=True)
        for line in block.lines:
            table.add_row(
                Text(line.label), *(squares.get((line.label, opset), Text(".", style="dim")) for opset in shown)
            )
        yield table


def _square(cell: Cell, findings: Findings) -> Text:
    return styled(outcome_of(cell), square_of(cell, findings.letter_of.get(cell["name"], "")))


def _legend(doc: Doc) -> Iterable[Text]:
    seen = dict.fromkeys(outcome_of(cell) for cell in doc["cells"])
    words = [f"{OUTCOMES[word].mark} {word}" for word in MEANINGS if word in seen]
    others = any(cell["produced"] and cell["produced"]["opset"] != cell["opset"] for cell in doc["cells"])
    words += ["a, b, …: the finding below"] if any(word != "pass" for word in seen) else []
    words += ["→18: the file holds opset 18"] if others else []
    yield Text("   ".join(words), style="dim", overflow="fold")


def produced_table(doc: Doc) -> RenderableType:
    """What the files hold, read back from them; variants of one line with the same facts share a row."""
    rows = [
        (block.model, [(line.label, files) for line in block.lines if (files := produced_of(line))])
        for block in blocks_of(doc)
    ]
    rows = [(model, lines) for model, lines in rows if lines]
    if not rows:
        return Text("No file was produced.")
    longest = _MARK_WIDTH + max(len(label) for _, lines in rows for label, _ in lines)
    every = [entry for _, lines in rows for _, files in lines for entry in files]

    def build(width: int) -> RenderableType:
        wide = width >= _WIDE
        domains = wide and any(entry.domains for entry in every)
        table = plain_table()
        table.add_column("file of", overflow="fold", width=min(longest, width // 3))
        table.add_column("opset", overflow="fold", min_width=6)
        table.add_column("IR", no_wrap=True)
        table.add_column("dynamic, proven", overflow="fold", min_width=10)
        if domains:
            table.add_column("other domains", overflow="fold", min_width=8)
        for head in ("nodes", "size", "export"):
            table.add_column(head, no_wrap=True, justify="right")
        cached = wide and any(entry.cached for entry in every)
        if cached:
            table.add_column("cached", no_wrap=True)
        for model, lines in rows:
            table.add_row(Text(model, style="bold"))
            for label, files in lines:
                for place, entry in enumerate(files):
                    table.add_row(*_produced_row("" if place else label, entry, domains=domains, cached=cached))
        return Group(Text(), heading("What the files hold"), table)

    return Adaptive(build)


def _produced_row(label: str, entry: Produced, *, domains: bool, cached: bool) -> list[Text]:
    row = [Text.assemble("  ", styled(entry.outcome, entry.mark), f" {label}")]
    row += [Text(entry.opsets, style=STYLES["failed"] if "→" in entry.opsets else "")]
    others = [] if domains or not entry.domains else [entry.domains]
    row += [Text(entry.ir_version), Text("; ".join([entry.dimensions, *others]))]
    row += [Text(entry.domains)] if domains else []
    row += [Text(entry.nodes), Text(entry.size), Text(entry.seconds)]
    return [*row, Text(entry.cached)] if cached else row


def variant_findings(doc: Doc) -> RenderableType:
    """What did not pass, grouped by cause, each with its remedy and its variants."""
    findings, known = findings_of(doc), known_sentences(doc["cells"], "variant")
    if not findings.entries and not known:
        return Text("\nNo findings: every variant passes.")

    def build(_width: int) -> RenderableType:
        parts: list[RenderableType] = [Text(), heading("Findings")] if findings.entries else []
        for entry in findings.entries:
            parts += [Text(), *_finding(entry, doc)]
        if known:
            parts += [Text(), heading("Known failures"), *(Text(told, overflow="fold") for told in known)]
        return Group(*parts)

    return Adaptive(build)


def _finding(entry: Lettered, doc: Doc) -> Iterable[RenderableType]:
    finding = entry.finding
    amount = units.plural(len(finding.cells), "variant")
    yield Text.assemble(
        (f"{entry.letter}  ", "bold"), (finding.title, STYLES.get(finding.outcome, "")), f"  {amount}", overflow="fold"
    )
    if finding.text:
        yield Padding(Text(finding.text), (0, 0, 0, 3))
    if finding.remedy:
        yield Padding(Text(f"-> {finding.remedy}", style="bold"), (0, 0, 0, 3))
    left = LINES_PER_FINDING
    for message, lines in told_of(finding).items():
        if left <= 0:
            break
        if message and message != finding.text:
            yield Padding(Text(message, overflow="fold"), (0, 0, 0, 5))
        for line in lines[:left]:
            text = f"{line.model}  {line.label}  opset {line.opsets}" + (f"  ({line.note})" if line.note else "")
            yield Padding(Text(text, style="dim", overflow="fold"), (0, 0, 0, 7))
        left -= len(lines)
    if left < 0:
        more = f"and {units.plural(-left, 'line')} more: edgesweep report {doc['run']['id']} -o md"
        yield Padding(Text(more, style="dim", overflow="fold"), (0, 0, 0, 7))


def matrix_summary(doc: Doc) -> RenderableType:
    """The end of it all: counts by outcome, distinct artifacts, the time it took, and the next command."""
    summary = doc["summary"]
    counts = {**summary["outcomes"], "unfinished": summary["unfinished"]}
    line = Text(f"\n{units.plural(summary['cells'], 'variant')}: ", style="bold", overflow="fold")
    line.append_text(Text(", ").join([styled(word, f"{amount} {word}") for word, amount in counts.items() if amount]))
    if counts["pass"]:
        line.append(f"; {units.plural(summary['artifacts'], 'distinct artifact')}")
    if summary["cached"]:
        line.append(f"; {summary['cached']} from the cache")
    took = run_seconds(doc)
    if took is not None:
        line.append(f"; took {units.duration(took)}")
    return Adaptive(lambda _width: Group(line, Text(f"Next: {_next(doc)}", overflow="fold")))


def _next(doc: Doc) -> str:
    if any(outcome_of(cell) in {"unfinished", "lost"} for cell in doc["cells"]):
        return "start the same matrix again; what is exported comes from the cache"
    failed = next((cell["name"] for cell in doc["cells"] if outcome_of(cell) == "failed"), None)
    return f"edgesweep export explain {failed}" if failed else f"edgesweep report {doc['run']['id']} -o html"
