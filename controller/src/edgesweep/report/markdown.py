"""The result document as Markdown, for a pull request or a chat: words, not colours, and no HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgesweep.report import units
from edgesweep.report.agreement_text import HEADING, agreement_sentences
from edgesweep.report.facts import beside_the_median
from edgesweep.report.known import known_sentences, known_state
from edgesweep.report.markdown_text import code as _code
from edgesweep.report.markdown_text import table as _table
from edgesweep.report.markdown_text import text as _text
from edgesweep.report.matrix import Block, Column, matrix_blocks
from edgesweep.report.outcomes import (
    Cell,
    Doc,
    Finding,
    group_findings,
    outcome_counts,
    outcome_of,
    place_of,
    run_seconds,
    sentence,
    session_of,
    verdict_counts,
    when,
)
from edgesweep.report.predictions import is_skipped_as_predicted, prediction_sentences, prediction_words
from edgesweep.report.reasons import notes_of

_MATRIX_COLUMNS = 8
_CELLS_PER_MESSAGE = 5
_NOTED_CELLS = 20
_NOTHING = units.NOTHING


def render_markdown(doc: Doc) -> str:
    """The report: summary, matrix per place, results, findings by cause with remedy, device facts.

    Everything is CommonMark with GitHub's tables; text from models and boards is escaped.
    """
    parts = [
        *_head(doc),
        *_matrices(doc),
        *_results(doc),
        *_findings(doc),
        *_predictions(doc),
        *_known(doc),
        *_agreement(doc),
        *_devices(doc),
    ]
    return "\n\n".join(parts) + "\n"


def _head(doc: Doc) -> Iterator[str]:
    run = doc["run"]
    yield f"# {_text(run['name'])}: {_code(run['id'])}"
    yield sentence(doc)
    started, took = when(run["started"]), run_seconds(doc)
    facts = [
        f"started {started:%Y-%m-%d %H:%M} UTC" if started else "",
        f"took {units.duration(took)}" if took is not None else f"state: {run['state']}",
        f"Edgesweep {run['controller_version']}" if run["controller_version"] else "",
        f"plan {_code(run['plan_digest'][:12])}" if run["plan_digest"] else "",
    ]
    yield " · ".join(filter(None, facts))
    counts = [(word, str(amount)) for word, amount in outcome_counts(doc).items() if amount]
    counts += [(f"{word} (of the measured)", str(amount)) for word, amount in verdict_counts(doc).items() if amount]
    if counts:
        yield _table(("cells", "count"), counts, right={1})


def _matrices(doc: Doc) -> Iterator[str]:
    blocks = matrix_blocks(doc)
    if blocks:
        yield "## Matrix"
    for block in blocks:
        yield f"### {_text(block.title)}"
        for columns in block.chunks(_MATRIX_COLUMNS):
            header = ("model", *(_column(column) for column in columns))
            rows = [
                (_text(model), *(_matrix_entry(block, model, column) for column in columns)) for model in block.models
            ]
            yield _table(header, rows)


def _column(column: Column) -> str:
    precision = "" if column.precision == "fp32" else f" {column.precision}"
    return _text(f"{column.exporter} {column.opset} {column.axes}{precision}")


def _matrix_entry(block: Block, model: str, column: Column) -> str:
    """Each cell of the variant in words; where they differ, each with its shape and session."""
    cells = block.cells.get((model, column), [])
    words = [_word(cell) for cell in cells]
    if len(set(words)) > 1:
        words = [
            f"{_text(cell['shape'])} {_text(session_of(cell))}: {word}" for cell, word in zip(cells, words, strict=True)
        ]
    return "; ".join(dict.fromkeys(words)) or _NOTHING


def _word(cell: Cell) -> str:
    """How a cell ended: the median where it passed, with any doubt about it, else outcome and cause."""
    outcome = outcome_of(cell)
    foreseen = prediction_words(cell)
    if is_skipped_as_predicted(cell):
        return _text(f"{outcome}: {foreseen}")
    beside = ", ".join(filter(None, [foreseen, known_state(cell)]))
    foreseen = f" ({_text(beside)})" if beside else ""
    if outcome != "pass":
        return _text(f"{outcome}: {cell['cause']}" if cell.get("cause") else outcome) + foreseen
    median, verdict = (cell.get("latency_s") or {}).get("median"), cell.get("verdict")
    figure = f" {units.seconds(median)}" if median is not None else ""
    return f"pass{figure}{f' ({verdict})' if verdict and verdict != 'trusted' else ''}{foreseen}"


def _results(doc: Doc) -> Iterator[str]:
    measured = [cell for cell in doc["cells"] if cell.get("latency_s")]
    if not measured:
        return
    yield "## Results"
    yield (
        "Latency: median ± median absolute deviation of the samples, per inference. "
        "Memory: peak of the steady phase over the loaded worker."
    )
    yield _table(
        ("place", "model", "variant", "shape", "session", "latency", "95 % CI", "n", "p99", "memory", "verdict"),
        [_result(cell) for cell in measured],
        right={5, 6, 7, 8, 9},
    )
    beside = [(cell, texts) for cell in measured if (texts := beside_the_median(cell))]
    if beside:
        yield "Beside the median:"
        lines = [f"- {_code(cell['name'])}: {_text('; '.join(texts))}" for cell, texts in beside[:_NOTED_CELLS]]
        lines += [f"- and {units.plural(len(beside) - _NOTED_CELLS, 'cell')} more"] * (len(beside) > _NOTED_CELLS)
        yield "\n".join(lines)
    notes = {note.place: note for note in notes_of(measured).values()}
    if notes:
        yield "Why a number is not trusted:"
        common = sorted(notes.values(), key=lambda note: -note.cells)
        yield "\n".join(f"- {_text(note.text)} ({units.plural(note.cells, 'cell')})" for note in common)


def _result(cell: Cell) -> tuple[str, ...]:
    latency = cell["latency_s"]
    interval, need = latency.get("ci95"), (latency.get("need") or {}).get("p99")
    memory = (cell.get("memory_bytes") or {}).get("steady_peak")
    p99 = units.seconds(latency["p99"]) if latency.get("p99") is not None else f"needs n={need}" if need else _NOTHING
    # The whole reasons, with what to do, stand once below the table.
    heads = ", ".join(reason.split(":")[0] for reason in cell.get("reasons") or [])
    verdict = ": ".join(filter(None, [cell.get("verdict") or _NOTHING, heads]))
    if cell.get("same_as"):
        verdict += f"; measured once, as {cell['same_as']}"
    return (
        _text(place_of(cell)),
        _text(cell["model"]),
        _column(Column(cell["exporter"], cell["opset"], cell["axes"], cell["precision"])),
        _text(cell["shape"]),
        _text(session_of(cell)),
        units.latency(latency["median"], latency.get("mad")),
        f"{units.seconds(interval[0])} to {units.seconds(interval[1])}" if interval else _NOTHING,
        units.count(latency["n"]),
        p99,
        units.size(memory),
        _text(verdict),
    )


def _findings(doc: Doc) -> Iterator[str]:
    findings = group_findings(doc)
    if findings:
        yield "## What did not pass"
    for finding in findings:
        yield f"### {_text(finding.title)} ({units.plural(len(finding.cells), 'cell')})"
        if finding.text:
            yield _text(finding.text[0].upper() + finding.text[1:]) + "."
        if finding.remedy:
            yield f"Remedy: {_text(finding.remedy)}."
        if finding.link:
            yield f"What is known: <{finding.link}>"
        if finding.operators:
            yield "\n".join(f"- {_text(line)}" for line in finding.operators)
        yield "\n".join(_messages(finding))


def _predictions(doc: Doc) -> Iterator[str]:
    sentences = prediction_sentences(doc["cells"])
    if sentences:
        yield "## Predicted failures"
        yield "\n".join(f"- {_text(sentence)}" for sentence in sentences)


def _known(doc: Doc) -> Iterator[str]:
    sentences = known_sentences(doc["cells"])
    if sentences:
        yield "## Known failures"
        yield "\n".join(f"- {_text(sentence)}" for sentence in sentences)


def _agreement(doc: Doc) -> Iterator[str]:
    sentences = agreement_sentences(doc)
    if sentences:
        yield f"## {HEADING}"
        yield "\n".join(f"- {_text(sentence)}" for sentence in sentences)


def _messages(finding: Finding) -> Iterator[str]:
    for message, cells in finding.by_message.items():
        if message:
            yield f"- {_text(message)}"
        indent = "  " if message else ""
        yield from (f"{indent}- {_code(cell['name'])}" for cell in cells[:_CELLS_PER_MESSAGE])
        if len(cells) > _CELLS_PER_MESSAGE:
            yield f"{indent}- and {len(cells) - _CELLS_PER_MESSAGE} more"


def _devices(doc: Doc) -> Iterator[str]:
    if doc["devices"]:
        yield "## Devices"
        yield _table(
            ("device", "board", "processor", "memory", "system", "runtimes", "notes"),
            [_device(device) for device in doc["devices"]],
            right={3},
        )


def _device(device: dict[str, Any]) -> tuple[str, ...]:
    facts = device.get("facts") or {}
    cpus = f"{facts['cpu_count']} CPUs" if facts.get("cpu_count") else ""
    processor = ", ".join(filter(None, [facts.get("cpu_model"), cpus]))
    system = ", ".join(filter(None, [facts.get("machine"), facts.get("system"), facts.get("kernel")]))
    notes = [
        "shares its host with the controller" if device.get("colocated") else "",
        "emulated" if facts.get("emulated") else "",
        *(f"{key}={value}" for key, value in (device.get("labels") or {}).items()),
    ]
    return (
        _text(device["name"]),
        _text(facts.get("board") or _NOTHING),
        _text(processor or _NOTHING),
        units.size(facts.get("memory_total_bytes")),
        _text(system or _NOTHING),
        _text(", ".join(runtime["id"] for runtime in device.get("runtimes") or []) or _NOTHING),
        _text(", ".join(filter(None, notes)) or _NOTHING),
    )
