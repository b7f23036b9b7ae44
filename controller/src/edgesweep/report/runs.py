"""The list of runs as a document: `edgesweep runs -o json`."""

from __future__ import annotations

from collections.abc import Iterable

from edgesweep.report.document import SCHEMA_VERSION
from edgesweep.report.plain_data import Json, plain
from edgesweep.store.records import RunSummary


def build_runs(summaries: Iterable[RunSummary]) -> Json:
    """One JSON object: `schema_version` and `runs`, newest first; moments are Unix time."""
    newest_first = sorted(summaries, key=lambda summary: (summary.started, summary.id), reverse=True)
    return {"schema_version": SCHEMA_VERSION, "runs": [plain(summary) for summary in newest_first]}
