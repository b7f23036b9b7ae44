"""The story of a cell as data: one JSON object (docs/compat.md)."""

from __future__ import annotations

from edgesweep.report.compat.document import SCHEMA_VERSION, run_of
from edgesweep.report.compat.neighbours import Neighbour, nearest_passing
from edgesweep.report.compat.story import CellStory
from edgesweep.report.plain_data import Json, plain


def story_document(story: CellStory) -> Json:
    """The story; `cell` is the whole cell as in the result document."""
    cell = story.cell
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run_of({"run": story.run}),
        "name": cell["name"],
        "outcome": cell.get("outcome"),
        "stage": cell.get("stage"),
        "cause": story.cause,
        "meaning": story.meaning,
        "message": story.message,
        "remedy": story.remedy,
        "link": story.link,
        "facts": [plain(fact) for fact in story.facts],
        "stages": [{"stage": stage, "mark": mark.value} for stage, mark in story.stages.items()],
        "parts": [plain(part) for part in story.parts],
        "words": list(story.words),
        "neighbours": [_neighbour(near) for axis in story.axes for near in axis.neighbours],
        "nearest_passing": [_neighbour(near) for near in nearest_passing(story.axes)],
        "nearest_here": story.here["name"] if story.here else None,
        "next": story.next,
        "cell": cell,
    }


def _neighbour(near: Neighbour) -> Json:
    return {
        "axis": near.axis,
        "value": near.value,
        "cell": near.cell["name"],
        "outcome": near.cell.get("outcome"),
        "cause": near.cell.get("cause") or "",
        "median_s": (near.cell.get("latency_s") or {}).get("median"),
    }
