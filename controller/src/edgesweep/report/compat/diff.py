"""What changed between two runs, cell by cell: a cell's name is its identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgesweep.report.diagnosis_words import short_hash
from edgesweep.report.facts import short_provider
from edgesweep.report.outcomes import UNFINISHED, Cell, Doc, outcome_of
from edgesweep.report.predictions import is_skipped_as_predicted

_UNKNOWN = "unknown"
_RAN = frozenset({"pass", "fallback"})
#: A provider whose share of the nodes changed by more has gained or lost some, though the artifact is another.
_MOVED_SHARE = 0.01
_SILENT = frozenset({"lost", UNFINISHED})


class Kind(StrEnum):
    """What became of a cell, most urgent first."""

    NEWLY_FAILING = "newly_failing"
    MOVED_TO_FALLBACK = "moved_to_fallback"
    NEWLY_PASSING = "newly_passing"
    CHANGED_CAUSE = "changed_cause"
    MOVED_PROVIDER = "moved_provider"
    NOT_TOLD = "not_told"
    NOT_RUN = "not_run"
    MISSING = "missing"
    ADDED = "added"


#: Kinds that make two runs differ for the worse.
WORSE = (Kind.NEWLY_FAILING, Kind.MOVED_TO_FALLBACK)


@dataclass(frozen=True, slots=True)
class Change:
    """A cell that differs: as it was, None where only the second run has it, and as it is, None where only the first does."""

    kind: Kind
    before: Cell | None
    after: Cell | None

    @property
    def cell(self) -> Cell:
        """The cell as it is or, where it is missing, as it was."""
        return self.after or self.before or {}

    @property
    def name(self) -> str:
        """The cell's name."""
        return str(self.cell["name"])

    @property
    def known(self) -> bool:
        """Whether the second run's plan calls it a known failure: it does not count then."""
        return "known" in ((self.after or {}).get("tags") or [])

    @property
    def fixed(self) -> bool:
        """Whether it passes, and the second run's plan still calls it a known failure."""
        return "fixed" in ((self.after or {}).get("tags") or [])


@dataclass(frozen=True, slots=True)
class CompatDiff:
    """Two runs held against each other.

    `same` is the number of cells that both have and that ended alike, `other_artifacts` of those of both that have
    another artifact than before.
    """

    before: Doc
    after: Doc
    changes: tuple[Change, ...]
    same: int
    other_artifacts: int

    def of(self, kind: Kind) -> list[Change]:
        """The changes of a kind, in planned order."""
        return [change for change in self.changes if change.kind is kind]

    @property
    def worse(self) -> list[Change]:
        """What failed or fell back newly and is no known failure."""
        return [change for change in self.changes if change.kind in WORSE and not change.known]


def compare_runs(before: Doc, after: Doc, keep: Callable[[str], bool] = lambda _name: True) -> CompatDiff:
    """What changed from one result document to the other, of the cells that `keep` takes by their name."""
    old = {cell["name"]: cell for cell in before["cells"] if keep(cell["name"])}
    new = {cell["name"]: cell for cell in after["cells"] if keep(cell["name"])}
    changes = []
    for name in dict.fromkeys([*new, *old]):
        kind = _kind(old.get(name), new.get(name))
        if kind is not None:
            changes.append(Change(kind, old.get(name), new.get(name)))
    order = list(Kind)
    changes.sort(key=lambda change: order.index(change.kind))
    both = len(old.keys() & new.keys())
    alike = both - sum(change.before is not None and change.after is not None for change in changes)
    others = sum(other_artifact(old.get(name), cell) for name, cell in new.items())
    return CompatDiff(before, after, tuple(changes), alike, others)


def _kind(before: Cell | None, after: Cell | None) -> Kind | None:  # noqa: PLR0911 - a line per kind
    if before is None:
        return Kind.ADDED
    if after is None:
        return Kind.MISSING
    was, became = _end(before), _end(after)
    if became in _SILENT:
        return None if was in _SILENT else Kind.NOT_TOLD
    if became == "skipped":
        return None if was in _SILENT | {"skipped"} else Kind.NOT_RUN
    if was in _SILENT | {"skipped"}:
        return Kind.ADDED
    if became == "failed" and was in _RAN:
        return Kind.NEWLY_FAILING
    if became == "fallback" and was == "pass":
        return Kind.MOVED_TO_FALLBACK
    if became == "pass" and was != "pass":
        return Kind.NEWLY_PASSING
    if _why(before) != _why(after):
        return Kind.CHANGED_CAUSE
    return Kind.MOVED_PROVIDER if placement_moved(before, after) else None


def _end(cell: Cell) -> str:
    """The outcome; a cell that was skipped because it would not load counts as failed, as it would have."""
    return "failed" if is_skipped_as_predicted(cell) else outcome_of(cell)


def _why(cell: Cell) -> tuple[str, Any, Any, str]:
    """Outcome, stage and cause, whether it was tried or predicted, and which words where nobody knows them."""
    cause = cell["prediction"]["cause"] if is_skipped_as_predicted(cell) else cell.get("cause") or ""
    return _end(cell), cell.get("stage"), cause, short_hash(cell) if cause == _UNKNOWN else ""


def end_words(cell: Cell | None) -> str:
    """How a cell ended: `failed at load: opset_unsupported`; where and why only where that says something."""
    if cell is None:
        return "not planned"
    if is_skipped_as_predicted(cell):
        return f"predicted {cell['prediction']['cause']}"
    outcome = outcome_of(cell)
    where = f" at {cell['stage']}" if cell.get("stage") and outcome in {"failed", "fallback"} else ""
    words = f" {short_hash(cell)}" if cell.get("cause") == _UNKNOWN else ""
    return f"{outcome}{where}" + (f": {cell['cause']}{words}" if cell.get("cause") else "")


def placement_moved(before: Cell, after: Cell) -> bool:
    """Whether nodes run on other providers than before, as far as both runs read that in the same way.

    Of one artifact each node counts; of two, which cannot be held against each other node by node, the share of each
    provider does. Where one provider has every node in both runs, nothing has moved.
    """
    was, became = before.get("placement"), after.get("placement")
    if not was or not became or was.get("method") != became.get("method"):
        return False
    old, new = _shares(was), _shares(became)
    if len(old) == len(new) == 1 and old.keys() == new.keys():
        return False
    if not other_artifact(before, after):
        return was.get("hash") != became.get("hash") or _nodes(was) != _nodes(became)
    return any(abs(old.get(name, 0) - new.get(name, 0)) > _MOVED_SHARE for name in old | new)


def other_artifact(before: Cell | None, after: Cell | None) -> bool:
    """Whether both runs know the cell's artifact, and it is not the same."""
    digests = [((cell or {}).get("produced") or {}).get("digest") for cell in (before, after)]
    return None not in digests and digests[0] != digests[1]


def changed_states(before: Doc, after: Doc) -> dict[str, int]:
    """How many cells of both runs ran with another `build`, `driver`, `engine_hash` or `power_mode` than before."""
    old = {cell["name"]: cell.get("state") or {} for cell in before["cells"]}
    counts: Counter[str] = Counter()
    for cell in after["cells"]:
        was, became = old.get(cell["name"]), cell.get("state")
        if was and became:
            counts.update(key for key in became if key != "digest" and became[key] != was.get(key))
    return dict(counts)


def _shares(placement: Doc) -> dict[str, float]:
    """The share of the nodes of each provider that has any."""
    nodes = {name: amount for name, amount in _nodes(placement).items() if amount}
    return {name: amount / sum(nodes.values()) for name, amount in nodes.items()}


def placement_words(cell: Cell | None) -> str:
    """`openvino 60, cpu 5`: nodes by provider."""
    nodes = _nodes((cell or {}).get("placement") or {})
    return ", ".join(f"{short_provider(name)} {amount}" for name, amount in nodes.items()) or "not known"


def _nodes(placement: Doc) -> dict[str, int]:
    return {share["provider"]: share["nodes"] for share in placement.get("shares") or []}
