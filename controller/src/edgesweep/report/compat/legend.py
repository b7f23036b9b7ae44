"""What stands beside a compatibility matrix: findings under letters, columns under numbers, the word for a square."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edgesweep.report import units
from edgesweep.report.compat.matrix import DISAGREES, PARTIAL, WORST_FIRST, CompatMatrix, Place, Square
from edgesweep.report.exports.blocks import letter
from edgesweep.report.outcomes import OUTCOMES, VERDICTS, Doc, Finding, group_findings, outcome_counts
from edgesweep.report.predictions import is_skipped_as_predicted

#: Stands for a square whose cells were skipped because they would not load.
PREDICTED = "predicted"
#: What the remarks on a pass mean.
REMARKS = {
    PARTIAL: "some nodes ran on another provider than the one asked for first",
    DISAGREES: "its outputs lie farther from another place's than the arithmetic allows",
}
MARKS = {word: meaning.mark for word, meaning in OUTCOMES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding under its letter, and the numbers of the columns where it was made."""

    letter: str
    finding: Finding
    columns: tuple[int, ...]

    @property
    def known(self) -> int:
        """How many of its cells the plan calls known failures."""
        return sum("known" in (cell.get("tags") or []) for cell in self.finding.cells)


@dataclass(frozen=True, slots=True)
class Legend:
    """All findings, and the letter of each cell that does not pass."""

    entries: tuple[Entry, ...]
    letter_of: dict[str, str]

    def letter(self, square: Square) -> str:
        """The letter of the square's finding; empty for a pass."""
        return self.letter_of.get(square.worst["name"], "")


@dataclass(frozen=True, slots=True)
class Column:
    """A place under its number, with its squares counted by outcome."""

    number: int
    place: Place
    counts: dict[str, int] = field(hash=False)

    @property
    def tally(self) -> str:
        """`12 of 40 pass, 8 failed, 20 skipped`, variants by outcome."""
        total = sum(self.counts.values())
        others = [f"{amount} {word}" for word, amount in self.counts.items() if amount and word != "pass"]
        passes = self.counts.get("pass", 0)
        return ", ".join(
            [f"{passes} of {units.plural(total, 'variant')} {'passes' if total == 1 else 'pass'}", *others]
        )


def legend_of(matrix: CompatMatrix) -> Legend:
    """The findings of the matrix, most serious and largest first."""
    numbers = {place: number for number, place in enumerate(matrix.places, start=1)}
    column_of = {cell["name"]: numbers[square.place] for square in matrix.squares.values() for cell in square.cells}
    entries = []
    letters: dict[str, str] = {}
    for place, finding in enumerate(group_findings(matrix.doc)):
        columns = tuple(sorted({column_of[cell["name"]] for cell in finding.cells}))
        entries.append(Entry(letter(place), finding, columns))
        letters.update((cell["name"], letter(place)) for cell in finding.cells)
    return Legend(tuple(entries), letters)


def columns_of(matrix: CompatMatrix) -> list[Column]:
    """The columns in planned order, numbered from one."""
    columns = []
    for number, place in enumerate(matrix.places, start=1):
        counted = Counter(square.outcome for square in matrix.at(place))
        columns.append(Column(number, place, {word: counted[word] for word in reversed(WORST_FIRST) if counted[word]}))
    return columns


def short_names(matrix: CompatMatrix, form: str) -> dict[str, str]:
    """The columns' numbers in `form`, by the name of the place: for tables that stand beside the list of the columns."""
    return {column.place.name: form.format(column.number) for column in columns_of(matrix)}


def word_of(square: Square) -> str:
    """The outcome as shown: `predicted` for what was skipped because it would not load."""
    return PREDICTED if is_skipped_as_predicted(square.worst) else square.outcome


def mark_of(square: Square) -> str:
    """The mark of the outcome."""
    return MARKS[square.outcome]


def said_of(square: Square) -> str:
    """The outcome and its cause in a word or two: `pass`, `pass, partial`, `opset_unsupported`, `1/2 oom`."""
    said = square.cause or ", ".join([square.outcome, *square.remarks])
    if word_of(square) == PREDICTED:
        said = f"{PREDICTED} {said}"
    elif square.outcome in {"lost", "skipped"} and square.cause:
        said = f"{square.outcome}: {said}"
    return " ".join(filter(None, [square.share, said]))


def time_of(square: Square, *, words: bool = False) -> str:
    """`1.23 ms`, with the mark or the word of its verdict unless it is trusted; empty without a number."""
    cell = square.measured
    if cell is None:
        return ""
    verdict = str(cell.get("verdict") or "")
    known = verdict in VERDICTS and verdict != "trusted"
    mark = f" {verdict if words else VERDICTS[verdict].mark}" if known else ""
    return f"{units.seconds(cell['latency_s']['median'])}{mark}"


def sentence(matrix: CompatMatrix) -> str:
    """What the matrix comes to: variants, places, and how many of their pairs run."""
    if not matrix.squares:
        return "The run has no cell."
    running = sum(square.runs for square in matrix.squares.values())
    everywhere: dict[str, bool] = {}
    for square in matrix.squares.values():
        everywhere[square.row.name] = everywhere.get(square.row.name, True) and square.runs
    amount = sum(everywhere.values())
    models = {square.row.model for square in matrix.squares.values()}
    return (
        f"{units.plural(len(models), 'model')}, {units.plural(len(everywhere), 'variant')}, "
        f"{units.plural(len(matrix.places), 'place')}: {running:,} of {units.plural(len(matrix.squares), 'pair')} run; "
        f"{units.plural(amount, 'variant')} {'runs' if amount == 1 else 'run'} at every place."
    )


def counts_of(matrix: CompatMatrix) -> Doc:
    """Cells by outcome."""
    return outcome_counts(matrix.doc)
