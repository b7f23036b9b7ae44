"""A matrix as people read it: per model, ways of exporting down and opsets across, with every finding under a letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesweep.report import units
from edgesweep.report.exports.document import other_domains
from edgesweep.report.known import FIXED, known_state
from edgesweep.report.outcomes import OUTCOMES, UNFINISHED, Cell, Doc, Finding, group_findings, outcome_of

MEANINGS = {
    "pass": "exported as asked, and proven against torch at every size",
    "failed": "did not come through: the finding under its letter says where and why",
    "skipped": "planned but not exported, for the reason given",
    "lost": "the host failed, not the model: start the matrix again",
    UNFINISHED: "its turn has not come: the matrix goes on, or was cut short",
}

#: The letters of the alphabet, then `aa`, `ab`, …
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_A_RANGE = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One way of exporting a model, at every opset: `dynamo batch`, then what is not the default."""

    label: str
    cells: dict[int, Cell]


@dataclass(frozen=True, slots=True)
class Block:
    """One model: its lines in planned order, and all opsets in order of size."""

    model: str
    lines: tuple[Line, ...]
    opsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Produced:
    """Variants of one line whose files have the same facts, as short texts: `opsets` is `20, 23`, or `13 →18`."""

    mark: str
    outcome: str
    opsets: str
    ir_version: str
    dimensions: str
    domains: str
    nodes: str
    size: str
    seconds: str
    cached: str


@dataclass(frozen=True, slots=True)
class Lettered:
    """A finding and the letter that stands for it in the matrix."""

    letter: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Told:
    """Variants of one line that ended alike: the model, the line's label, the opsets, and what else is to be said."""

    model: str
    label: str
    opsets: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings of a matrix, and the letter of each variant that did not pass."""

    entries: tuple[Lettered, ...]
    letter_of: dict[str, str] = field(default_factory=dict)


def blocks_of(doc: Doc) -> list[Block]:
    """The matrix by model, in planned order."""
    models: dict[str, dict[str, dict[int, Cell]]] = {}
    for cell in doc["cells"]:
        models.setdefault(cell["model"], {}).setdefault(label_of(cell), {})[cell["opset"]] = cell
    return [
        Block(
            model,
            tuple(Line(label, cells) for label, cells in lines.items()),
            tuple(sorted({opset for cells in lines.values() for opset in cells})),
        )
        for model, lines in models.items()
    ]


def label_of(cell: Cell) -> str:
    """`dynamo batch`, then the precision, IR cap and optimiser that are not the default."""
    words = [cell["exporter"], cell["axes"]]
    words += [cell["precision"]] if cell["precision"] != "fp32" else []
    words += [f"ir{cell['ir_version']}"] if cell["ir_version"] is not None else []
    words += [cell["optimiser"]] if cell["optimiser"] else []
    return " ".join(words)


def findings_of(doc: Doc) -> Findings:
    """What did not pass, grouped by cause, under letters."""
    entries = []
    letter_of: dict[str, str] = {}
    for place, finding in enumerate(group_findings(doc)):
        if finding.outcome == UNFINISHED:
            finding.remedy = "start the same matrix again: what is exported comes from the cache"
            finding.text = MEANINGS[UNFINISHED]
        entries.append(Lettered(letter(place), finding))
        letter_of.update((cell["name"], letter(place)) for cell in finding.cells)
    return Findings(tuple(entries), letter_of)


def told_of(finding: Finding) -> dict[str, list[Told]]:
    """The finding's variants by what was said of them, with `opset N` where only the opset asked for differs."""
    grouped: dict[str, dict[tuple[str, str, str], list[int]]] = {}
    for message, cells in finding.by_message.items():
        for cell in cells:
            pattern = re.sub(rf"\bopset {cell['opset']}\b", "opset N", message)
            key = (cell["model"], label_of(cell), note_of(cell))
            grouped.setdefault(pattern, {}).setdefault(key, []).append(cell["opset"])
    return {
        pattern: [Told(model, label, opsets_text(opsets), note) for (model, label, note), opsets in lines.items()]
        for pattern, lines in grouped.items()
    }


def note_of(cell: Cell) -> str:
    """What else is to be said of a variant: the honest one, and whether its failure is known or new."""
    notes = [f"see opset {cell['produced']['opset']}"] if cell.get("see") else []
    fixed = "fixed, and still listed as a " if known_state(cell) == FIXED else ""
    notes += [f"{fixed}known failure: {cell['known']}"] if cell.get("known") else []
    notes += ["new: it passed in the matrix before"] if cell.get("new") else []
    return "; ".join(notes)


def square_of(cell: Cell, letter: str = "") -> str:
    """`✓`, `✗ a`, or `✗ a →18` where the file holds another opset than the one asked for."""
    produced = cell.get("produced")
    other = f"→{produced['opset']}" if produced and produced["opset"] != cell["opset"] else ""
    return " ".join(filter(None, [mark_of(cell), letter, other]))


def mark_of(cell: Cell) -> str:
    """The mark of the variant's outcome."""
    return OUTCOMES[outcome_of(cell)].mark


def produced_of(line: Line) -> list[Produced]:
    """The files of a line, neighbours with the same facts as one; variants without a file are left out."""
    runs: list[tuple[tuple[str, ...], list[Cell]]] = []
    for opset in sorted(line.cells):
        cell = line.cells[opset]
        facts = _facts(cell) if cell.get("produced") else None
        if facts is not None and runs and runs[-1][0] == facts:
            runs[-1][1].append(cell)
        elif facts is not None:
            runs.append((facts, [cell]))
    return [_as_produced(facts, cells) for facts, cells in runs]


def _facts(cell: Cell) -> tuple[str, ...]:
    produced = cell["produced"]
    return (
        mark_of(cell),
        outcome_of(cell),
        "" if produced["opset"] == cell["opset"] else f" →{produced['opset']}",
        str(produced["ir_version"]),
        dimensions_of(cell),
        ", ".join(other_domains(produced)),
        units.count(produced["nodes"]),
        units.size(produced["size_bytes"]),
    )


def _as_produced(facts: tuple[str, ...], cells: Sequence[Cell]) -> Produced:
    mark, outcome, got, ir_version, dimensions, domains, nodes, size = facts
    return Produced(
        mark,
        outcome,
        opsets_text(cell["opset"] for cell in cells) + got,
        ir_version,
        dimensions,
        domains,
        nodes,
        size,
        seconds_text([cell["seconds"] for cell in cells]),
        _cached_text(sum(cell["cached"] for cell in cells), len(cells)),
    )


def _cached_text(cached: int, total: int) -> str:
    if not cached:
        return ""
    return "yes" if cached == total else f"{cached} of {total}"


def dimensions_of(cell: Cell) -> str:
    """The proven dynamic dimensions, and what the file itself claims beyond them."""
    produced = cell["produced"]
    proven = {name: names for name, names in produced["dynamic"].items() if names}
    claimed = {name: [size for size in shape if not size.isdigit()] for name, shape in produced["declared"].items()}
    claimed = {name: names for name, names in claimed.items() if len(names) > len(proven.get(name, ()))}
    nothing = "static" if cell["axes"] == "static" or cell["outcome"] == "pass" else "not proven"
    told = _by_input(proven) or nothing
    return f"{told}; file claims {_by_input(claimed)}" if claimed else told


def _by_input(names: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(dimensions)}" for name, dimensions in names.items())


def opsets_text(opsets: Iterable[int]) -> str:
    """`13, 17-23`: neighbours as a range."""
    runs: list[list[int]] = []
    for opset in sorted(opsets):
        if runs and runs[-1][-1] == opset - 1:
            runs[-1].append(opset)
        else:
            runs.append([opset])
    parts = [f"{run[0]}-{run[-1]}" if len(run) >= _A_RANGE else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


def seconds_text(seconds: Sequence[float]) -> str:
    """`1.2 s`, or `0.8-1.4 s` over several exports."""
    low, high = f"{min(seconds):.1f}", f"{max(seconds):.1f}"
    return f"{high} s" if low == high else f"{low}-{high} s"


def letter(place: int) -> str:
    """The letters of the alphabet for the first 26 findings, then `aa`, `ab` and so on."""
    first, last = divmod(place, len(_LETTERS))
    return (_LETTERS[first - 1] if first else "") + _LETTERS[last]
