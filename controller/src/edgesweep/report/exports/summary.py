"""A matrix in a sentence or two."""

from __future__ import annotations

from edgesweep.report.outcomes import Doc
from edgesweep.report.units import plural


def sentence(doc: Doc) -> str:
    """What passed, what did not, how many files are really different, and what came from the cache."""
    summary = doc["summary"]
    counts = {**summary["outcomes"], "unfinished": summary["unfinished"]}
    total = summary["cells"]
    others = [f"{amount} {word}" for word, amount in counts.items() if amount and word != "pass"]
    if others:
        parts = [f"{counts['pass']} of {plural(total, 'variant')} pass; {', '.join(others)}."]
    else:
        parts = ["The one variant passes." if total == 1 else f"All {total:,} variants pass."]
    if counts["pass"]:
        noun = plural(summary["artifacts"], "distinct artifact")
        parts.append(f"What passes comes down to {noun}.")
    if summary["cached"]:
        parts.append(f"{summary['cached']:,} came from the cache.")
    return " ".join(parts)
