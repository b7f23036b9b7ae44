"""What is wrong with a plan, in sentences with file, line and column: the last step of every failed validation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edgesweep.did_you_mean import hint, nearest
from edgesweep.plan.fields import describe
from edgesweep.plan.measuring import MeasureSection, SessionSection
from edgesweep.plan.placement import PlacementSection
from edgesweep.plan.schema import Chain, ExportOverride, ExportSection, ModelEntry, PlanFile, Trouble
from edgesweep.plan.verify import Allowance, VerifySection
from edgesweep.plan.yaml_file import YamlFile

#: The section that stands at a path of keys (list positions and pydantic's own words left out).
SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): PlanFile,
    ("models",): ModelEntry,
    ("models", "export"): ExportOverride,
    ("models", "verify"): VerifySection,
    ("models", "verify", "providers"): Allowance,
    ("export",): ExportSection,
    ("providers",): Chain,
    ("session",): SessionSection,
    ("measure",): MeasureSection,
    ("placement",): PlacementSection,
    ("verify",): VerifySection,
    ("verify", "providers"): Allowance,
    ("exclude",): Trouble,
    ("exclude", "providers"): Chain,
    ("known_failures",): Trouble,
    ("known_failures", "providers"): Chain,
}

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "invalid-json-value": "plain data (text, numbers, lists, mappings)",
    "finite_number": "a finite number",
}

Path = tuple[str | int, ...]


def complain(error: ValidationError, file: YamlFile | None, origin: str = "") -> str:
    """One line per thing that is wrong, in the order of the file.

    Args:
        error: What pydantic found.
        file: The file that was validated; None for data that no file holds.
        origin: What to call the data where there is no file.
    """
    details = [detail for detail in error.errors(include_url=False) if not _follows_from_others(detail)]
    # A plan of another version may well have other keys: what it has besides is no news.
    version = [detail for detail in details if detail["loc"] == ("version",) and detail["type"] != "missing"]
    lines: list[str] = []
    for detail in version or details:
        complaint = _complaint(detail)
        path = complaint.about if file is None else file.there(complaint.about)
        sentence = f"{dotted(path)}: {complaint.sentence}" if path else complaint.sentence
        if file is None:
            lines.append(f"{origin}: {sentence}")
        else:
            lines.append(file.say(complaint.path, sentence, key=complaint.at_key))
    return "\n".join(dict.fromkeys(sorted(lines, key=_place_in_file)))


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What is wrong at `path` (at the key itself with `at_key`), said of the value at `about`."""

    path: Path
    sentence: str
    about: Path
    at_key: bool = False


def _follows_from_others(detail: ErrorDetails) -> bool:
    """Whether a list is only called short since its entries are wrong, which is said of each of them."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _place_in_file(line: str) -> tuple[int, int]:
    found = re.search(r":(\d+):(\d+): ", line)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _complaint(detail: ErrorDetails) -> _Complaint:
    context = detail.get("ctx", {})
    path: Path = context.get("at") or _without_branches(detail["loc"])
    if path and path[-1] == "[key]":
        path = path[:-1]
        return _Complaint(path, _about_key(detail, str(path[-1])), path[:-1], at_key=True)
    if detail["type"] == "extra_forbidden":
        return _Complaint(path, _unknown_key(path), (), at_key=True)
    if detail["type"] == "missing":
        return _Complaint(path, _missing_key(path), ())
    return _Complaint(path, _about_value(detail), path)


def _without_branches(place: Path) -> Path:
    """Leaves out the branch of a union that pydantic names where a key takes either a word or something longer."""
    match place:
        case ("providers", str(), *rest):
            return ("providers", *rest)
        case ("shapes", int(index), str(), *rest):
            return ("shapes", index, *rest)
    return place


def _about_value(detail: ErrorDetails) -> str:
    value, kind = detail["input"], detail["type"]
    if kind == "plan":
        return str(detail["ctx"]["sentence"])
    if kind in _EXPECTED:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        return f"expected {_EXPECTED[kind]}, found {describe(value)}{quotes}"
    if kind == "literal_error":
        offered = _quoted_words(str(detail["ctx"]["expected"]))
        if isinstance(value, str):
            return f"unknown word '{value}'{hint(value, offered)}"
        return f"expected one of {', '.join(offered)}, found {describe(value)}"
    if kind in {"greater_than_equal", "greater_than", "less_than_equal"}:
        return _bound(detail)
    return "it needs at least one entry" if kind == "too_short" else detail["msg"]


def _about_key(detail: ErrorDetails, key: str) -> str:
    if detail["type"] == "literal_error":
        return f"unknown key '{key}'{hint(key, _quoted_words(str(detail['ctx']['expected'])))}"
    return _about_value(detail)


def _quoted_words(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it, e.g. `export.opsets[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _unknown_key(path: Path) -> str:
    where, key = path[:-1], str(path[-1])
    parents = tuple(part for part in where if isinstance(part, str))
    # Below a mapping by provider stands its name, which is no key of the schema.
    section = SECTIONS[parents] if parents in SECTIONS else SECTIONS[parents[:-1]]
    keys = list(section.model_fields)
    beside = f" in {dotted(where)}" if where else ""
    near = nearest(key, keys)
    if near is None:
        elsewhere = _elsewhere(key, parents)
        if elsewhere:
            return f"unknown key '{key}'{beside}; it belongs under {elsewhere}"
    return f"unknown key '{key}'{beside}{hint(key, keys)}"


def _elsewhere(key: str, parents: tuple[str, ...]) -> str | None:
    """The top-level section that does have `key`."""
    for section in ("export", "session", "measure"):
        if (section,) != parents and key in SECTIONS[section,].model_fields:
            return section
    return None


def _missing_key(path: Path) -> str:
    match path:
        case ("version",):
            return "version is missing; write version: 1 as the first line"
        case ("models",):
            return "models is missing; name at least one, such as models: [{zoo: mobile-cnn}]"
    return f"{dotted(path[:-1])}: the key '{path[-1]}' is missing"


def _bound(detail: ErrorDetails) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most"}
    key, limit = next((key, limit) for key, limit in detail["ctx"].items() if key in words)
    return f"expected {words[key]} {limit:g}, found {detail['input']}"
