"""docs/verdicts.md and the rules hold the same reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import edgesweep.stats.rules

PAGE = Path(__file__).parents[3] / "docs" / "verdicts.md"
RULES = Path(edgesweep.stats.rules.__file__).parent
_REASON = re.compile(r"([a-z][A-Za-z/ ]+): ")


def names_in(source: str) -> Iterator[str]:
    """The names of all reasons in the texts of a module; docstrings are no reasons."""
    tree = ast.parse(source)
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values[1:]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented | inner:
            found = _REASON.match(node.value)
            if found:
                yield found[1]


def test_the_page_names_every_reason_and_no_other():
    named = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {name for path in RULES.glob("*.py") for name in names_in(path.read_text(encoding="utf-8"))}
    assert len(named) == len(set(named))
    assert set(named) == told
