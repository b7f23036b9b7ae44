"""The hint after an unknown word: the nearest word that would do, or all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, offered: Iterable[str]) -> str | None:
    """The offered word that `word` was most likely meant to be, if one is near; upper and lower case count as equal."""
    by_lower = {candidate.lower(): candidate for candidate in offered}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def hint(word: str, offered: Iterable[str]) -> str:
    """`, did you mean 'x'?`, or `; offered: a, b, c` where nothing is near; empty when nothing is offered."""
    words = list(offered)
    near = nearest(word, words)
    if near is not None:
        return f", did you mean '{near}'?"
    return f"; offered: {', '.join(words)}" if words else ""
