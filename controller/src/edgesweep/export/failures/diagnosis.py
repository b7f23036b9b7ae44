"""An exporter's own words, pages of them, and the few lines in it that the user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ANSI = re.compile(r"\x1b\[[0-9;]*m|\[9\dm|\[0m")
_FRAME = re.compile(
    r'^[ ]*File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<where>\S+)(?:\n[ ]+(?P<code>[^\s^~].*))?', re.MULTILINE
)
#: Files that are the tools', not the model's: torch and its like, Python itself, and Edgesweep's callers of them.
_TOOLS = re.compile(
    r"^<|/(?:site|dist)-packages/(?:torch|functorch|onnx\w*|sympy|numpy)/|/python3\.\d+/(?!(?:site|dist)-packages/)"
    r"|/edgesweep/export/"
)
_CAUSED_BY = re.compile(r"Caused by: \((?P<file>\S+):(?P<line>\d+) in (?P<where>\S+)\)")
_GUARD = re.compile(
    r"Could not (?P<what>guard on|extract specialized integer from) data-dependent expression (?P<expression>.+?) \(unhinted"
)
_SPECIALISED = re.compile(
    r"You marked (?P<name>\w+) as dynamic but your code specialized it to be a constant \((?P<size>\d+)\)"
)
_CONSTRAINT = re.compile(
    r"^ *- (?P<words>Not all values of .+|The values of .+ must always be equal\.|.+ not in range .+)$", re.MULTILINE
)
_OUT_OF_RANGE = re.compile(r"ConstraintViolationError: (?P<words>\d+ not in range \[[^\]]*\])")
_FIXES = re.compile(r"^ *Suggested fixes:\n(?P<lines>(?:[ ]+\S.*\n?)+)", re.MULTILINE)
_CHECKS = re.compile(r"insert one of the following checks before this call:\n(?P<lines>(?:[ ]+\d+\. .*\n?)+)")
_OPERATORS = (
    re.compile(r"operator '(?P<name>[\w:.]+)'"),
    re.compile(r"No ONNX function found for <OpOverload\(op='(?P<name>[\w.:]+)'"),
    re.compile(r"No ONNX function found for (?P<name>[^\s<]+?)(?=[\s.,]|$)", re.MULTILINE),
    re.compile(r"UnsupportedOperatorException: (?P<name>[\w.:]+)"),
)
_WHY_NOT = re.compile(r"Failure message: (?P<words>.+)$", re.MULTILINE)
_ROOT = re.compile(
    r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)): (?P<words>.+)$", re.MULTILINE
)
_WARNED = re.compile(r"^the tracer warned: (?P<words>.+)$", re.MULTILINE)
_PASSED_ON = re.compile(r"^(?:The above exception was the direct cause|During handling of the above)", re.MULTILINE)
_MOST_CONSTRAINTS = 4
_MOST_WARNINGS = 3


def without_colours(text: str) -> str:
    """`text` without the terminal's colour codes, also where their escape character is lost."""
    return _ANSI.sub("", text)


def actionable(detail: str) -> tuple[str, ...]:
    """What the user can act on in an exporter's words, a sentence each, the most telling first.

    The line of the model's own code, the expression, dimension or operator that the exporter could not take, the
    constraints that it found, and what it suggests. Empty for words that hold none of it.
    """
    text = without_colours(detail)
    told = [
        *_place(text),
        *_guards(text),
        *_dimensions(text),
        *_operator(text),
        *_suggestions(text),
        *[f"the tracer warned: {_line(found['words'])}" for found in _WARNED.finditer(text)][:_MOST_WARNINGS],
    ]
    if not any(True for found in told if not found.startswith("your code")):
        told += _root(text)
    return tuple(dict.fromkeys(told))


def place_of(detail: str) -> str:
    """`models.py:12 in forward: if x.sum() > 0:`, the line of the model's own code, where the words name it."""
    frames = list(_FRAME.finditer(_innermost(detail)))
    # Before the first of a tool's frames stands whoever called the exporter, not the model.
    first = next((place for place, frame in enumerate(frames) if _TOOLS.search(frame["file"])), len(frames))
    frame = next((frame for frame in reversed(frames[first:]) if not _TOOLS.search(frame["file"])), None)
    if frame is not None:
        code = f": {_line(frame['code'])}" if frame["code"] else ""
        return f"{_short(frame['file'])}:{frame['line']} in {frame['where']}{code}"
    caused = _CAUSED_BY.search(detail)
    # Torch cuts the path there; what is left of its own files begins with a room of torch.
    if caused and not caused["file"].startswith(("_", "fx/", "export/")):
        return f"{_short(caused['file'])}:{caused['line']} in {caused['where']}"
    return ""


def specialised_in(detail: str) -> tuple[str, int] | None:
    """The dimension that torch made constant though it was asked to be dynamic, and its size."""
    found = _SPECIALISED.search(detail)
    return (found["name"], int(found["size"])) if found else None


def constraints_in(detail: str) -> tuple[str, ...]:
    """The conditions that torch found on dynamic dimensions and that the declared ranges break."""
    words = [_readable(found["words"]) for found in _CONSTRAINT.finditer(detail)]
    words += [found["words"] for found in _OUT_OF_RANGE.finditer(detail)]
    return tuple(dict.fromkeys(words))[:_MOST_CONSTRAINTS]


def suggestions_in(detail: str) -> tuple[str, ...]:
    """What torch says would help: its suggested fixes and checks, one each."""
    blocks = [*_FIXES.finditer(detail), *_CHECKS.finditer(detail)]
    lines = [line.strip() for block in blocks for line in block["lines"].splitlines()]
    return tuple(dict.fromkeys(re.sub(r"^\d+\. ", "", line) for line in lines if line))


def operator_in(detail: str) -> str:
    """The operator that has no ONNX form, as the exporter calls it; empty when none is named."""
    return next((found["name"] for pattern in _OPERATORS if (found := pattern.search(detail))), "")


def is_value_of_data(detail: str) -> bool:
    """Whether a Python number was wanted of a value of the input, where no branch was asked for."""
    found = _GUARD.search(detail)
    return found is not None and found["what"].startswith("extract")


def _place(text: str) -> Iterator[str]:
    place = place_of(text)
    if place:
        yield f"your code: {place}"


def _guards(text: str) -> Iterator[str]:
    for found in _GUARD.finditer(text):
        if found["what"] == "guard on":
            yield f"it branches on data: the condition {found['expression']} depends on the input's values"
        else:
            yield f"it needs a Python number of a value: {found['expression']} depends on the input's values"


def _dimensions(text: str) -> Iterator[str]:
    specialised = specialised_in(text)
    if specialised:
        yield f"dimension '{specialised[0]}' came out constant, always {specialised[1]}"
    yield from (f"constraint: {words}" for words in constraints_in(text))


def _operator(text: str) -> Iterator[str]:
    name = operator_in(text)
    if name:
        why = _WHY_NOT.search(text)
        yield f"operator without a translation: {name}" + (f" ({_line(why['words'])})" if why else "")


def _suggestions(text: str) -> Iterator[str]:
    yield from (f"torch suggests: {line}" for line in suggestions_in(text))


def _root(text: str) -> list[str]:
    """The innermost error's own first line: a traceback tells causes first."""
    found = _ROOT.search(text)
    return [f"{found['type'].rsplit('.', 1)[-1]}: {_line(found['words'])}"] if found else []


def _innermost(text: str) -> str:
    """The first traceback of a chain: the one that the others only pass on."""
    return _PASSED_ON.split(text, maxsplit=1)[0]


def _readable(words: str) -> str:
    """A constraint without torch's names for what has a name of its own: `batch = L['x'].size()[0]` is `batch`."""
    for name, source in re.findall(r"(\w+) = (L\['[^']+'\](?:\['[^']+'\])*\.size\(\)\[\d+\])", words):
        words = words.replace(f"{name} = {source}", name).replace(source, name)
    return _line(words)


def _short(path: str) -> str:
    """The last two parts of a path: enough to know the file, and no more of the host than that."""
    return "/".join(path.split("/")[-2:]) if "/site-packages/" in path else path.rsplit("/", 1)[-1]


def _line(text: str) -> str:
    return " ".join(text.split())
