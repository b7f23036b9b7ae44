"""Text as Markdown: tables, escaped lines and code. Everything is CommonMark with GitHub's tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Characters that Markdown or HTML would read; an underscore inside a word, as in a cause code, is text to both.
_MARKUP = re.compile(r"[\\`*\[\]<>|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LINE_START = re.compile(r"^[-+#=~]")


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[int] | set[int] = frozenset()
) -> str:
    """A table in GitHub's form; `right` names the columns of figures."""
    rule = ["---:" if index in right else "---" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def text(value: object) -> str:
    """`value` as one line of plain text: nothing in it is read as Markdown or HTML."""
    line = " ".join(str(value).split())
    return _LINE_START.sub(r"\\\g<0>", _MARKUP.sub(r"\\\g<0>", line))


def code(value: object) -> str:
    """`value` as code on one line, outside tables."""
    line = " ".join(str(value).split())
    fence = "``" if "`" in line else "`"
    return f"{fence} {line} {fence}" if fence == "``" else f"{fence}{line}{fence}"
