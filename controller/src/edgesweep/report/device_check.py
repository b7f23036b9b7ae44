"""The findings of `edgesweep device check` as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.tables import Adaptive, plain_table

_STYLES = {"ok": "green", "advice": "yellow", "problem": "bold red"}


def check_table(name: str, findings: Sequence[dict[str, Any]]) -> RenderableType:
    """What was looked at, how it is and what to do, and in the last line whether the board is fit."""

    def build(_width: int) -> RenderableType:
        table = plain_table()
        table.add_column("what", no_wrap=True)
        table.add_column("level", no_wrap=True)
        table.add_column("read, and what to do", overflow="fold")
        for finding in findings:
            level = finding["level"]
            said = Text(finding["read"])
            if finding["remedy"]:
                said.append(f"\n-> {finding['remedy']}", style="bold")
            table.add_row(Text(finding["subject"]), Text(level, style=_STYLES.get(level, "")), said)
        return Group(table, Text(), _last_line(name, findings))

    return Adaptive(build)


def _last_line(name: str, findings: Sequence[dict[str, Any]]) -> Text:
    counts = Counter(finding["level"] for finding in findings)
    told = ", ".join(
        units.plural(counts[level], word) if level == "problem" else f"{counts[level]} {word}"
        for level, word in (("problem", "problem"), ("advice", "pieces of advice"))
        if counts[level]
    )
    if counts["problem"]:
        return Text(f"{name} is not fit to measure on: {told}", style="bold red")
    return Text(f"{name} is fit to measure on{f'; {told}' if told else ''}", style="green")
