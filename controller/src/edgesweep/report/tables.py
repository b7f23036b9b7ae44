"""The terminal's tables of a result document. They adapt to the width they get, at most 100 columns off a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.agreement_text import HEADING, agreement_sentences
from edgesweep.report.facts import beside_the_median, peak_memory
from edgesweep.report.known import FIXED, KNOWN, known_counts, known_sentences, known_state
from edgesweep.report.matrix import Block, matrix_blocks
from edgesweep.report.outcomes import (
    OUTCOMES,
    Cell,
    Doc,
    Finding,
    group_findings,
    outcome_counts,
    outcome_of,
    place_of,
    run_seconds,
    session_of,
    verdict_counts,
    when,
)
from edgesweep.report.predictions import is_skipped_as_predicted, prediction_sentences
from edgesweep.report.reasons import Note, notes_of

WIDEST_OFF_TERMINAL = 100
CELLS_PER_FINDING = 6
NOTED_CELLS = 12
#: Stands in the matrix for a cell that was skipped because it would not load.
PREDICTED = "predicted"
_FIGURES_WIDTH = 48

STYLES = {
    "pass": "green",
    "fallback": "yellow",
    "failed": "bold red",
    "skipped": "dim",
    PREDICTED: "dim",
    "lost": "magenta",
    KNOWN: "dim",
    FIXED: "bold green",
    "unfinished": "cyan",
    "trusted": "green",
    "doubtful": "yellow",
    "invalid": "red",
}
"""Colours that go with the words; never instead of them."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A renderable that is built for the width that it gets, so that nothing is cut off."""

    build: Callable[[int], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Builds for the console's width, held to 100 columns where nobody can resize it."""
        width = options.max_width if console.is_terminal else min(options.max_width, WIDEST_OFF_TERMINAL)
        yield from console.render(self.build(width), options.update(max_width=width))


def styled(word: str, text: str | None = None) -> Text:
    """An outcome or a verdict as a coloured word (or as `text` in the word's colour)."""
    return Text(word if text is None else text, style=STYLES.get(word, ""))


def plain_table() -> Table:
    """An empty table as all of them look: a rule under its head and no frame."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)


def heading(text: str) -> Text:
    """The head of a part."""
    return Text(text, style="bold underline")


# Matrix


def matrix_table(doc: Doc) -> RenderableType:
    """The outcomes: per device, runtime and provider chain, models and variants down, opsets across."""
    blocks = matrix_blocks(doc)
    several = any(len(cells) > 1 for block in blocks for cells in block.cells.values())

    def build(width: int) -> RenderableType:
        parts: list[RenderableType] = []
        for block in blocks:
            parts += [Text(), heading(block.title), *_matrix_of(block, width)]
        if several:
            note = "1/2 failed: one of the two shapes or sessions of that variant failed; a bare word stands for all of them"
            parts.append(Text(note, style="dim"))
        if any(map(is_skipped_as_predicted, doc["cells"])):
            note = f"{PREDICTED}: skipped, since the runtime's own limits say that it cannot load; see the findings"
            parts.append(Text(note, style="dim"))
        return Group(*parts)

    return Adaptive(build)


def _matrix_of(block: Block, width: int) -> Iterable[Table]:
    opsets = sorted({column.opset for column in block.columns})
    lines: list[tuple[str, dict[int, list[Cell]]]] = []
    for model in block.models:
        variants: dict[str, dict[int, list[Cell]]] = {}
        for column in block.columns:
            cells = block.cells.get((model, column))
            if cells:
                label = f"{column.exporter} {column.axes}" + (
                    "" if column.precision == "fp32" else f" {column.precision}"
                )
                variants.setdefault(label, {}).setdefault(column.opset, []).extend(cells)
        lines += [(model, {}), *((f"  {label}", by_opset) for label, by_opset in variants.items())]
    label_width = min(max(len(label) for label, _ in lines), max(16, width // 3))
    squares = [_square(cells) for _, by_opset in lines for cells in by_opset.values()]
    square_width = max([9, *(len(square) for square in squares)])
    fitting = max(1, (width - label_width - 1) // (square_width + 1))
    for start in range(0, len(opsets), fitting):
        table = plain_table()
        table.add_column("model, variant", width=label_width, overflow="fold")
        shown = opsets[start : start + fitting]
        for opset in shown:
            table.add_column(f"opset {opset}", width=square_width, no_wrap=True)
        for label, by_opset in lines:
            if by_opset:
                table.add_row(Text(label), *(_square(by_opset.get(opset, [])) for opset in shown))
            else:
                table.add_row(Text(label, style="bold"))
        yield table


def _square(cells: list[Cell]) -> Text:
    if not cells:
        return Text(".", style="dim")
    words = [PREDICTED if is_skipped_as_predicted(cell) else outcome_of(cell) for cell in cells]
    order = ["failed", "lost", "fallback", "unfinished", PREDICTED, "skipped", "pass"]
    worst = min(words, key=lambda word: order.index(word) if word in order else 0)
    share = "" if words.count(worst) == len(words) else f"{words.count(worst)}/{len(words)} "
    return styled(worst, share + worst)


# Results


def results_table(doc: Doc) -> RenderableType:
    """The numbers of every measured cell, with spread, n and verdict; the unit of a column is in its heading."""
    measured = [cell for cell in doc["cells"] if cell.get("latency_s")]
    if not measured:
        return Text("Nothing was measured.")
    time = units.time_unit(cell["latency_s"]["median"] for cell in measured)
    size = units.size_unit(peak_memory(cell) for cell in measured)
    places: dict[str, dict[str, list[Cell]]] = {}
    for cell in measured:
        places.setdefault(place_of(cell), {}).setdefault(cell["model"], []).append(cell)
    notes = notes_of(measured)
    longest = max(len(variant_text(cell)) + 2 for cell in measured)

    def build(width: int) -> RenderableType:
        parts: list[RenderableType] = []
        for place, models in places.items():
            table = _results_of(models, time, size, notes, label_width=max(20, min(longest, width - _FIGURES_WIDTH)))
            parts += [Text(), heading(place), table, *_beside(models)]
        return Group(*parts, *_legend(measured, notes))

    return Adaptive(build)


def _beside(models: dict[str, list[Cell]]) -> Iterable[Text]:
    """What a column has no room for, cell by cell."""
    noted = [
        f"{model} {variant_text(cell)}: {'; '.join(texts)}"
        for model, cells in models.items()
        for cell in cells
        if (texts := beside_the_median(cell))
    ]
    for line in noted[:NOTED_CELLS]:
        yield Text(line, overflow="fold")
    if len(noted) > NOTED_CELLS:
        yield Text(f"and {units.plural(len(noted) - NOTED_CELLS, 'cell')} more: see the report as HTML", style="dim")


def _legend(measured: list[Cell], notes: dict[str, Note]) -> Iterable[Text]:
    unique = {note.place: note for note in notes.values()}.values()
    lines = [f"[{note.place}] {units.plural(note.cells, 'cell')}: {note.text}" for note in unique]
    lines.append("± is the median absolute deviation, peak the steady memory over the loaded worker")
    lines.append("n is the number of samples: each is one inference, or the mean of a batch of short ones")
    needs = {need["p99"] for cell in measured if (need := cell["latency_s"].get("need") or {}).get("p99")}
    if needs:
        lines.append(f"n<{min(needs)}: a p99 needs {min(needs)} samples")
    if any(cell.get("same_as") for cell in measured):
        lines.append("= shares the measurement of a cell with an equal artifact")
    for line in lines:
        yield Text(line, style="dim", overflow="fold")


def _results_of(
    models: dict[str, list[Cell]], time: units.Unit, size: units.Unit, notes: dict[str, Note], *, label_width: int
) -> Table:
    table = plain_table()
    table.add_column("model, variant", overflow="fold", width=label_width)
    for head in (f"median\n{time.symbol}", f"±\n{time.symbol}", f"p99\n{time.symbol}", "n", f"peak\n{size.symbol}"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("trust", overflow="fold", min_width=12)
    for model, cells in models.items():
        table.add_row(Text(model, style="bold"))
        for cell in cells:
            table.add_row(Text(f"  {variant_text(cell)}"), *_figures(cell, time, size), _trust(cell, notes))
    return table


def _figures(cell: Cell, time: units.Unit, size: units.Unit) -> list[str]:
    latency = cell["latency_s"]
    mad = latency.get("mad")
    need = (latency.get("need") or {}).get("p99")
    p99 = latency.get("p99")
    return [
        time.show(latency["median"]),
        units.spread(None if mad is None else mad / time.size, latency["median"] / time.size),
        f"n<{need}" if p99 is None and need else time.show(p99),
        units.count(latency.get("n")),
        size.show(peak_memory(cell)),
    ]


def _trust(cell: Cell, notes: dict[str, Note]) -> Text:
    verdict = cell.get("verdict") or ""
    outcome = outcome_of(cell)
    text = styled(verdict)
    places = [str(notes[str(reason)].place) for reason in cell.get("reasons") or []]
    if places:
        text.append(f" [{' '.join(places)}]", style="dim")
    if cell.get("same_as"):
        text.append(" =", style="dim")
    for word in (outcome if outcome != "pass" else "", known_state(cell)):
        if word:
            text.append(" ").append_text(styled(word))
    return text


def variant_text(cell: Cell) -> str:
    """`dynamo-opset18-batch`, then what is not the default: precision, shape, session."""
    precision = "" if cell["precision"] == "fp32" else f"-{cell['precision']}"
    extras = [cell["shape"]] if cell["shape"] != "example" else []
    extras += [session_of(cell)] if session_of(cell) != "t1" else []
    return " ".join([f"{cell['exporter']}-opset{cell['opset']}-{cell['axes']}{precision}", *extras])


# Findings and the end


def findings(doc: Doc) -> RenderableType:
    """What did not pass, grouped by cause, each with its remedy and its cells; then what was predicted and what agrees."""
    groups = group_findings(doc)
    in_words = {
        "Predicted failures": prediction_sentences(doc["cells"]),
        "Known failures": known_sentences(doc["cells"]),
    }
    spotless = not groups and not any(in_words.values())
    in_words[HEADING] = agreement_sentences(doc)

    def build(width: int) -> RenderableType:
        parts: list[RenderableType] = [Text(), heading("Findings")] if groups else []
        for group in groups:
            parts += [Text(), *_finding(group, doc, width)]
        if spotless:
            parts.append(Text("No findings: every cell passes."))
        for title, sentences in in_words.items():
            if sentences:
                parts += [Text(), heading(title), *(Text(sentence, overflow="fold") for sentence in sentences)]
        return Group(*parts)

    return Adaptive(build)


def _finding(group: Finding, doc: Doc, width: int) -> Iterable[RenderableType]:
    amount = units.plural(len(group.cells), "cell")
    known = sum(known_state(cell) == KNOWN for cell in group.cells)
    amount += f", {known} known" if known else ""
    yield Text.assemble((group.title, STYLES.get(group.outcome, "")), f"  {amount}", overflow="fold")
    if group.text:
        yield Padding(Text(group.text), (0, 0, 0, 2))
    if group.remedy:
        yield Padding(Text(f"-> {group.remedy}", style="bold"), (0, 0, 0, 2))
    if group.link:
        yield Padding(Text(f"see {group.link}", style="dim", overflow="fold"), (0, 0, 0, 2))
    for line in group.operators:
        yield Padding(Text(line, overflow="fold"), (0, 0, 0, 4))
    left = CELLS_PER_FINDING
    for message, cells in group.by_message.items():
        if left <= 0:
            break
        if message and message != group.text:
            yield Padding(Text(message, overflow="fold"), (0, 0, 0, 4))
        for cell in cells[:left]:
            yield Text("\n".join(broken_name(cell["name"], width, indent=6)), style="dim", overflow="fold")
        left -= len(cells)
    if left < 0:
        more = f"and {-left} more: edgesweep report {doc['run']['id']} -o md"
        yield Padding(Text(more, style="dim"), (0, 0, 0, 6))


def broken_name(name: str, width: int, *, indent: int) -> list[str]:
    """A cell's name as lines of at most `width` columns, broken after its slashes where that is possible."""
    lines = [" " * indent]
    for segment in name.replace("/", "/\0").split("\0"):
        if len(lines[-1]) + len(segment) > width and lines[-1].strip():
            lines.append(" " * (indent + 2))
        lines[-1] += segment
    return lines


def summary_line(doc: Doc) -> RenderableType:
    """The end of it all: counts by outcome and by trust, the time it took, and the next command."""
    counts, verdicts = outcome_counts(doc), verdict_counts(doc)
    line = Text(f"\n{units.plural(len(doc['cells']), 'cell')}: ", style="bold", overflow="fold")
    line.append_text(Text(", ").join([styled(word, f"{amount} {word}") for word, amount in counts.items() if amount]))
    if any(verdicts.values()):
        shown = [styled(word, f"{amount} {word}") for word, amount in verdicts.items() if amount]
        line.append("; numbers: ").append_text(Text(", ").join(shown))
    known = known_counts(doc["cells"])
    if known:
        line.append(f"; {known}")
    took = run_seconds(doc)
    if took is not None:
        line.append(f"; took {units.duration(took)}")
    run = doc["run"]["id"]
    unfinished = counts["unfinished"] or counts["lost"]
    command = f"edgesweep run --resume {run}" if unfinished else f"edgesweep report {run} -o html"
    parts = [line, Text(f"Next: {command}", overflow="fold")]
    if not unfinished and len({variant_text(cell) for cell in doc["cells"]}) > 1:
        parts.append(Text(f"What runs where, and what to use: edgesweep compat matrix {run}", overflow="fold"))
    return Adaptive(lambda _width: Group(*parts))


# Runs and devices


def runs_table(document: Doc) -> RenderableType:
    """The list of runs, newest first."""
    table = plain_table()
    table.add_column("run", no_wrap=True)
    table.add_column("plan", overflow="fold")
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    table.add_column("outcomes", overflow="fold")
    for run in document["runs"]:
        started = when(run.get("started"))
        counts = dict(run.get("outcomes") or {})
        if run.get("open"):
            counts["unfinished"] = run["open"]
        ordered = [word for word in OUTCOMES if counts.get(word)] + [word for word in counts if word not in OUTCOMES]
        table.add_row(
            Text(run["id"]),
            Text(run["name"]),
            started.strftime("%Y-%m-%d %H:%M") if started else units.NOTHING,
            Text(str(run.get("state") or "")),
            units.count(run.get("cells")),
            Text(", ").join([styled(word, f"{counts[word]} {word}") for word in ordered]),
        )
    return Adaptive(lambda _width: table)
