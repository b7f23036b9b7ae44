"""The words of failed trials that are stored, by their hash."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesweep_proto.trial import TrialOutcome
from sqlalchemy import Connection, select

from edgesweep.store.tables import CellRow, RunRow, TrialRow


@dataclass(slots=True)
class StoredMessage:
    """All stored failures with words that normalise to the same; `message`, `evidence` and `cause` are the newest one's."""

    hash: str
    normalised: str
    cause: str
    stage: str
    message: str
    evidence: str
    cells: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def find_messages(connection: Connection, prefix: str = "") -> tuple[StoredMessage, ...]:
    """Stored failures whose message hash begins with `prefix`, those of the newest run first."""
    told = TrialRow.figures["result"]["diagnosis"]
    hash_of = told["message_hash"].as_string()
    rows = connection.execute(
        select(
            hash_of.label("hash"),
            told["normalised"].as_string().label("normalised"),
            TrialRow.cause,
            TrialRow.stage,
            TrialRow.message,
            TrialRow.evidence,
            CellRow.name,
            TrialRow.run_id,
        )
        .join(CellRow, CellRow.id == TrialRow.cell_id)
        .join(RunRow, RunRow.id == TrialRow.run_id)
        .where(TrialRow.outcome == TrialOutcome.FAILED.value, hash_of.startswith(prefix), hash_of != "")
        .order_by(RunRow.started.desc(), TrialRow.id)
    ).mappings()
    found: dict[str, StoredMessage] = {}
    for row in rows:
        known = found.setdefault(
            row["hash"],
            StoredMessage(*(row[name] for name in ("hash", "normalised", "cause", "stage", "message", "evidence"))),
        )
        for listed, value in ((known.cells, row["name"]), (known.runs, row["run_id"])):
            if value not in listed:
                listed.append(value)
    return tuple(found.values())
