"""Choosing cells by words of their names, as pytest's `-k` does, and by device."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from edgesweep.errors import EdgesweepError
from edgesweep.plan.cell import Cell

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_Test = Callable[[str], bool]


def select(cells: Sequence[Cell], expression: str = "", devices: Sequence[str] = ()) -> tuple[Cell, ...]:
    """The cells that fit both, in order.

    Args:
        cells: What to choose from.
        expression: Words joined by `and`, `or`, `not` and parentheses; a word fits a cell whose name holds it, in upper
            or lower case. Empty: every cell fits.
        devices: Globs over the device's name; a cell fits when one of them does. Empty: every device fits.

    Raises:
        EdgesweepError: `usage` when the expression cannot be read.
    """
    fits = matcher(expression)
    return tuple(
        cell
        for cell in cells
        if (not devices or any(fnmatchcase(cell.device, glob) for glob in devices)) and fits(cell.name)
    )


def matcher(expression: str) -> Callable[[str], bool]:
    """Whether a name fits the expression, as `select` reads it; an empty one fits every name.

    Raises:
        EdgesweepError: `usage` when the expression cannot be read.
    """
    test = _Parser(expression).parse() if expression.strip() else (lambda _name: True)
    return lambda name: test(name.lower())


class _Parser:
    """Recursive descent over `or` < `and` < `not` < word or parentheses."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = _TOKEN.findall(expression)
        self._next = 0

    def parse(self) -> _Test:
        try:
            test = self._either()
        except RecursionError:
            raise self._error("it is nested too deeply") from None
        if self._peek() is not None:
            raise self._error(f"'{self._peek()}' is unexpected; join words by and or or")
        return test

    def _either(self) -> _Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return lambda name: any(test(name) for test in tests)

    def _both(self) -> _Test:
        tests = [self._single()]
        while self._take("and"):
            tests.append(self._single())
        return lambda name: all(test(name) for test in tests)

    def _single(self) -> _Test:
        if self._take("not"):
            test = self._single()
            return lambda name: not test(name)
        if self._take("("):
            test = self._either()
            if not self._take(")"):
                raise self._error("a parenthesis is not closed")
            return test
        token = self._peek()
        if token is None:
            raise self._error("it ends where a word should stand")
        if token in {"and", "or", ")"}:
            raise self._error(f"a word should stand before '{token}'")
        self._next += 1
        word = token.lower()
        return lambda name: word in name

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _error(self, why: str) -> EdgesweepError:
        return EdgesweepError(
            "usage",
            f"the expression '{self._expression}' cannot be read: {why}",
            remedy="write it like -k 'dynamo and not (opset13 or static)'",
        )
