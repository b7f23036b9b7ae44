"""What a result document says on the whole: counts, trust, the findings grouped by cause, and its one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from edgesweep.errors import CATALOGUE, link_of, remedy_for
from edgesweep.report.diagnosis_words import operator_lines, short_hash
from edgesweep.report.known import known_counts
from edgesweep.report.predictions import is_skipped_as_predicted, prediction_words
from edgesweep.report.units import plural

Doc = dict[str, Any]
Cell = dict[str, Any]

UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Word:
    """An outcome or a verdict as shown: a mark that needs no colour, and its meaning in one sentence."""

    mark: str
    meaning: str


OUTCOMES: dict[str, Word] = {
    "pass": Word("✓", "ran where it was asked to run, with the right outputs"),
    "fallback": Word("↷", "ran, but not on the execution provider that was asked for"),
    "failed": Word("✗", "did not come through: the stage and the cause say where and why; the finding is stable"),
    "skipped": Word("-", "planned but not run, for the reason given"),
    "lost": Word("?", "the lab failed, not the model: the device did not answer within the retry budget"),
    UNFINISHED: Word("…", "has no outcome yet: the run goes on, or was cut short"),
}

VERDICTS: dict[str, Word] = {
    "trusted": Word("●", "the number can be compared with other nights"),
    "doubtful": Word("○", "the number is honest, but the reasons given may have moved it"),
    "invalid": Word("✕", "do not use the number: the reasons say what disturbed it"),
}


@dataclass(slots=True)
class Finding:
    """All cells that ended alike: same outcome, stage and cause. `by_message` keeps what was said, cell by cell.

    `about` says what skipped cells were predicted to end with, and whether that is proven, or which words nobody knows.
    `link` is a page that tells what is known.
    """

    outcome: str
    stage: str
    cause: str
    text: str
    remedy: str
    about: str = ""
    link: str = ""
    by_message: dict[str, list[Cell]] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """The cells of the finding, in planned order within each message."""
        return [cell for cells in self.by_message.values() for cell in cells]

    @property
    def operators(self) -> list[str]:
        """The operators that were refused, each with its number of cells; empty where the cause is about none."""
        return operator_lines(self.cells) if self.cause == "unsupported_op" else []

    @property
    def title(self) -> str:
        """`failed at check: wrong_output`, the same words everywhere."""
        where = f" at {self.stage}" if self.stage and self.outcome in {"failed", "fallback"} else ""
        what = self.about or self.cause
        return f"{self.outcome}{where}: {what}" if what else f"{self.outcome}{where}"


def outcome_of(cell: Cell) -> str:
    """The cell's outcome; `unfinished` for none."""
    return str(cell.get("outcome") or UNFINISHED)


def outcome_counts(doc: Doc) -> dict[str, int]:
    """Cells by outcome, in the fixed order, zeros included."""
    counts = dict.fromkeys(OUTCOMES, 0)
    for cell in doc["cells"]:
        word = outcome_of(cell)
        counts[word] = counts.get(word, 0) + 1
    return counts


def verdict_counts(doc: Doc) -> dict[str, int]:
    """Measured cells by verdict, in the fixed order, zeros included."""
    counts = dict.fromkeys(VERDICTS, 0)
    for cell in doc["cells"]:
        if cell.get("verdict"):
            counts[cell["verdict"]] = counts.get(cell["verdict"], 0) + 1
    return counts


def group_findings(doc: Doc) -> list[Finding]:
    """Every cell that is not a pass, grouped by outcome, stage and cause; most serious outcome and largest group first.

    Cells that were skipped as predicted are grouped by what was predicted and by the cell that proved it, those that failed
    with words that nobody knows by these words.
    """
    order = ["failed", "fallback", "lost", "skipped", UNFINISHED]
    groups: dict[tuple[str, ...], Finding] = {}
    for cell in doc["cells"]:
        outcome = outcome_of(cell)
        if outcome == "pass":
            continue
        cause = cell.get("cause") or ""
        stage = cell.get("stage") or "" if outcome != UNFINISHED else ""
        text, message, about, by = _text(outcome, cause), cell.get("message") or "", "", ""
        if is_skipped_as_predicted(cell):
            about, by, message = prediction_words(cell), cell["prediction"]["by"], cell["prediction"]["message"]
            text += f"; {by} was tried and proved it" if by else ""
        elif cause == "unknown" and short_hash(cell):
            about = f"unknown {short_hash(cell)}"
        key = (outcome, stage, cause, about, by)
        if key not in groups:
            link = str(cell.get("link") or link_of(cause))
            groups[key] = Finding(outcome, stage, cause, text, remedy_of(doc, cell, outcome, cause), about, link)
        groups[key].by_message.setdefault(message, []).append(cell)
    ranked = {word: place for place, word in enumerate(order)}
    return sorted(groups.values(), key=lambda group: (ranked.get(group.outcome, len(order)), -len(group.cells)))


def _text(outcome: str, cause: str) -> str:
    if cause in CATALOGUE:
        return CATALOGUE[cause].text
    return OUTCOMES[outcome].meaning if outcome in OUTCOMES and not cause else ""


def remedy_of(doc: Doc, cell: Cell, outcome: str, cause: str) -> str:
    """What to do about a cell that ended with `outcome` and `cause`, its commands ready to be copied."""
    if outcome == UNFINISHED:
        return f"go on with `edgesweep run --resume {doc['run']['id']}`"
    remedy = cell.get("remedy") or remedy_for(cause)
    if cause == "unknown" and short_hash(cell):
        remedy = str(remedy).replace("learn HASH", f"learn {short_hash(cell)}")
    return with_run(str(remedy), doc["run"]["id"])


def with_run(remedy: str, run_id: str) -> str:
    """The remedy with the run's own id in the command that goes on with it, ready to be copied."""
    return remedy.replace("--resume RUN", f"--resume {run_id}") if run_id else remedy


def sentence(doc: Doc) -> str:
    """The run's outcome in words, e.g. for a report's head: what passed, what did not, what can be trusted."""
    counts = outcome_counts(doc)
    total = len(doc["cells"])
    if not total:
        return "The run has no cell."
    others = [f"{amount} {word}" for word, amount in counts.items() if amount and word != "pass"]
    if others:
        parts = [f"{counts['pass']} of {plural(total, 'cell')} pass; {', '.join(others)}."]
    else:
        parts = ["The one cell passes." if total == 1 else f"All {total:,} cells pass."]
    known = known_counts(doc["cells"])
    parts += [f"{known}."] if known else []
    verdicts = verdict_counts(doc)
    measured = sum(verdicts.values())
    shaky = [f"{amount} {word}" for word, amount in verdicts.items() if amount and word != "trusted"]
    if not measured:
        parts.append("Nothing was measured.")
    elif shaky:
        parts.append(f"Of {plural(measured, 'measured number')}, {verdicts['trusted']} trusted, {', '.join(shaky)}.")
    else:
        parts.append("Every measured number is trusted.")
    return " ".join(parts)


def when(value: float | str | None) -> datetime | None:
    """A moment of the document (Unix seconds, or ISO 8601) as an aware datetime in UTC."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(value, UTC)


def run_seconds(doc: Doc) -> float | None:
    """How long the run took by the wall clock, in seconds; None while it is not finished."""
    started, finished = when(doc["run"].get("started")), when(doc["run"].get("finished"))
    return (finished - started).total_seconds() if started and finished else None


def place_title(device: str, runtime: str, providers: Iterable[str]) -> str:
    """A device, a runtime and a provider chain as a heading: `pi5 · onnxruntime 1.23.2 · xnnpack+cpu`."""
    return f"{device} · onnxruntime {runtime} · {'+'.join(providers)}"


def place_of(cell: Cell) -> str:
    """Where a cell ran, as a heading."""
    return place_title(cell["device"], cell["runtime"], cell["providers"])


def session_of(cell: Cell) -> str:
    """The last segment of the cell's name, which holds the threads and all other session options."""
    return str(cell["name"].rsplit("/", 1)[-1])
