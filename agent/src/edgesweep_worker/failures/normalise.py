"""A runtime's words without what changes from board to board, and the hash of that: the same for the same trouble."""

from __future__ import annotations

import hashlib
import re

#: Longest normalised text kept, in characters, and what is looked at for it.
NORMALISED_LIMIT = 1000
_RAW_LIMIT = 6000

#: In this order: what holds a path goes before the numbers in it, what names a thing before its parts.
_REPLACED = tuple(
    (re.compile(regex), replacement)
    for regex, replacement in (
        # Colours, and the moment and place that a log line starts with.
        (r"\x1b\[[0-9;]*m", ""),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? ", ""),
        # Quoted names; an apostrophe inside a word is none.
        (r"(?<!\w)'[^'\n]*'(?!\w)", "<name>"),
        (r'"[^"\n]*"', "<name>"),
        (r"(?<!\w)`[^`'\n]*['`](?!\w)", "<name>"),
        # Names that stand in brackets or after a colon.
        (r"(?i)\b(node|parameter|arg|name|graph output|initializer|tensor named) ?\([^()\n]*\)", r"\1 <name>"),
        (r"(?i)\b(for input|initializer|input name|feed input name|friendly_name|hostname) ?[:=] ?(?!<name>)\S+", r"\1 <name>"),
        # Paths and addresses.
        (r"(?<![\w.+@%~<>-])(?:[A-Za-z]:)?[\w.+@%~<>-]*(?:[/\\]+[\w.+@%~<>-]+)+[/\\]?", "<path>"),
        (r"0[xX][0-9A-Fa-f]+", "<hex>"),
        (r"\b(?=[0-9A-Fa-f]*\d)(?=[0-9A-Fa-f]*[A-Fa-f])[0-9A-Fa-f]{8,}\b", "<hex>"),
        # Numbers that are no part of a word such as int64, and lists of them whatever their length.
        (r"(?<![A-Za-z\d])[-+]?\d+(?:\.\d+)*(?:[eE][-+]?\d+)?", "<n>"),
        (r"<n>(?:\s*[,x*]\s*<n>)+", "<n>"),
        (r"<n>(?:<n>)+", "<n>"),
        (r"\s+", " "),
    )
)  # fmt: skip


def normalise(text: str) -> str:
    """`text` without paths, hex addresses, numbers and quoted names, at most `NORMALISED_LIMIT` characters.

    Pure; what is normalised already stays as it is.
    """
    text = sound(text[:_RAW_LIMIT])
    while True:
        before = text
        for regex, replacement in _REPLACED:
            text = regex.sub(replacement, text)
        text = text.strip()[:NORMALISED_LIMIT].strip()
        if text == before:
            return text


def sound(text: str) -> str:
    """`text` as UTF-8 can carry it: a library's words may hold bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def message_hash(normalised: str) -> str:
    """SHA-256 of a normalised text, 64 hex digits; empty for an empty text."""
    return hashlib.sha256(normalised.encode("utf-8", "replace")).hexdigest() if normalised else ""
