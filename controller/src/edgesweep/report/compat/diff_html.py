"""The difference of two runs as one HTML file, in the look of the matrix."""

from __future__ import annotations

from edgesweep.report.compat.diff import CompatDiff, Kind
from edgesweep.report.compat.diff_words import (
    WORDS,
    groups_of,
    next_of,
    note_of,
    remarks_of,
    remedy_of,
    runs_of,
    sentence,
)
from edgesweep.report.html import template
from edgesweep.report.outcomes import OUTCOMES


def render_html(diff: CompatDiff) -> str:
    """The whole difference as the text of one HTML file."""
    kinds = [
        {
            "id": kind.value,
            "told": WORDS[kind],
            "mark": OUTCOMES[WORDS[kind].outcome].mark,
            "remedy": remedy_of(kind, diff),
            "amount": len(diff.of(kind)),
            "groups": groups_of(diff, kind),
        }
        for kind in Kind
        if diff.of(kind)
    ]
    html: str = template("compat_diff.html.j2").render(
        before=diff.before["run"],
        after=diff.after["run"],
        sentence=sentence(diff),
        runs=list(runs_of(diff)),
        remarks=remarks_of(diff),
        kinds=kinds,
        worse=len(diff.worse),
        note_of=note_of,
        next=next_of(diff),
    )
    return html
