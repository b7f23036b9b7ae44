"""What a result document says on predicted failures: in a few words per cell, and in a sentence per limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from edgesweep.report.units import plural

Doc = dict[str, Any]
Cell = dict[str, Any]


def prediction_words(cell: Cell) -> str:
    """`predicted opset_unsupported, proven`; empty for a cell that nothing was foreseen for.

    A cell that was skipped is proven by another one, or was not tried; one that was run tells for itself.
    """
    prediction = cell.get("prediction")
    if not prediction:
        return ""
    if is_skipped_as_predicted(cell):
        return f"predicted {prediction['cause']}, {'proven' if prediction['state'] == 'proven' else 'not tried'}"
    return "as predicted" if prediction["state"] == "proven" else f"not {prediction['cause']} as predicted"


def is_skipped_as_predicted(cell: Cell) -> bool:
    """Whether the cell was not run because it would not load."""
    return cell.get("outcome") == "skipped" and bool(cell.get("prediction"))


@dataclass(slots=True)
class _Account:
    """The cells of one device and runtime that one limit speaks against."""

    place: str
    cause: str
    limit: str
    proven: list[Cell] = field(default_factory=list)
    refuted: list[Cell] = field(default_factory=list)
    skipped: list[Cell] = field(default_factory=list)
    untried: list[Cell] = field(default_factory=list)

    def sentence(self) -> str:
        """What was foreseen, which cell tried it, and what became of the others."""
        head = f"{self.cause} on {self.place}, which takes up to {self.limit}"
        if not self.limit.startswith(("opset", "IR")):
            head = f"{self.cause} on {self.place}, which lacks the {self.limit}"
        parts = []
        if self.refuted:
            others = f" and {len(self.refuted) - 1} more" if len(self.refuted) > 1 else ""
            parts.append(f"refuted by {self.refuted[0]['name']}{others}, so that none was skipped for it")
        if self.proven:
            others = f" and {len(self.proven) - 1} more" if len(self.proven) > 1 else ""
            parts.append(f"{'came true for' if self.refuted else 'proven by'} {self.proven[0]['name']}{others}")
        if self.skipped:
            by = "" if self.proven else f", proven by {self.skipped[0]['prediction']['by']}"
            parts.append(f"{plural(len(self.skipped), 'cell')} skipped for it{by}")
        if self.untried:
            parts.append(f"{plural(len(self.untried), 'cell')} skipped without a try, as the plan says")
        return f"{head}: {'; '.join(parts)}"


def prediction_sentences(cells: Iterable[Cell]) -> list[str]:
    """One sentence per device, runtime, cause and limit that something was predicted for, in planned order."""
    accounts: dict[tuple[str, ...], _Account] = {}
    for cell in cells:
        prediction = cell.get("prediction")
        if not prediction:
            continue
        key = (cell["device"], cell["runtime"], prediction["cause"], prediction["limit"])
        place = f"{cell['device']}, onnxruntime {cell['runtime']}"
        account = accounts.setdefault(key, _Account(place, prediction["cause"], prediction["limit"]))
        skipped, state = is_skipped_as_predicted(cell), prediction["state"]
        if skipped:
            (account.skipped if state == "proven" else account.untried).append(cell)
        else:
            # Cells that share the measurement of another say what that one said.
            tried = account.proven if state == "proven" else account.refuted
            if not cell.get("same_as"):
                tried.append(cell)
    return [account.sentence() for account in accounts.values()]
