"""What a result document says on the plan's `known_failures`: which still fail, and which pass by now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgesweep.report.units import plural

Cell = dict[str, Any]

KNOWN, FIXED = "known", "fixed"


def known_state(cell: Cell) -> str:
    """`known` for a failure that the plan lists, `fixed` for a pass that it still lists, else empty.

    A variant of an export matrix is told in the same way as a cell.
    """
    if cell.get("known") is None:
        return ""
    return {"pass": FIXED, "failed": KNOWN, "fallback": KNOWN}.get(cell.get("outcome") or "", "")


def known_counts(cells: Iterable[Cell]) -> str:
    """`2 known failures, 1 fixed`; empty where there is neither."""
    states = [known_state(cell) for cell in cells]
    known, fixed = states.count(KNOWN), states.count(FIXED)
    parts = [plural(known, "known failure")] if known else []
    parts += [f"{fixed} fixed" if known else f"{plural(fixed, 'known failure')} fixed"] if fixed else []
    return ", ".join(parts)


def known_sentences(cells: Iterable[Cell], noun: str = "cell") -> list[str]:
    """One sentence per state and reason, what is fixed first: that calls for a change of the plan."""
    accounts: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        state = known_state(cell)
        if state:
            accounts.setdefault((state, str(cell.get("known") or "")), []).append(cell["name"])
    ordered = sorted(accounts.items(), key=lambda account: account[0][0] != FIXED)
    return [_sentence(state, reason, names, noun) for (state, reason), names in ordered]


def _sentence(state: str, reason: str, names: list[str], noun: str) -> str:
    why = f" ({reason})" if reason else ""
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    if state == FIXED:
        passes = "passes" if len(names) == 1 else "pass"
        listed = "a known failure" if len(names) == 1 else "known failures"
        return (
            f"fixed: {plural(len(names), noun)} {passes} that the plan lists as {listed}{why}: {names[0]}{others}; "
            "take the entry out of known_failures, so that a relapse counts again"
        )
    does = "does" if len(names) == 1 else "do"
    return f"known: {plural(len(names), noun)} {does} not pass, as the plan says{why}, which fail_on leaves out: {names[0]}{others}"
