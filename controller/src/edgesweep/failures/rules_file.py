"""The file behind the rules: its schema, its faults by line, and entries added without losing people's comments."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from edgesweep.config_file import commented_yaml, write_config
from edgesweep.did_you_mean import hint
from edgesweep.errors import CAUSES, EdgesweepError
from edgesweep.failures.rules import LEAST_HASH, LOCAL, Rule, RuleBook, is_stable
from edgesweep.plan.yaml_file import YamlFile, read_yaml_file

VERSION = 1

_HASH = re.compile(rf"[0-9a-f]{{{LEAST_HASH},64}}")
_OWN = re.compile(rf"{LOCAL}[a-z0-9][a-z0-9_-]*")


def read_rules(path: Path) -> RuleBook:
    """The rules in `path`; a file that does not exist, or is empty, has none.

    Raises:
        EdgesweepError: `config_invalid` with file, line and column.
    """
    if not path.exists():
        return RuleBook()
    file, _ = read_yaml_file(path, code="config_invalid")
    if file.data is None:
        return RuleBook()
    _refuse_other_version(file)
    try:
        rows = _RulesFile.model_validate(file.data).rules
    except ValidationError as error:
        raise EdgesweepError("config_invalid", _complaint(error, file)) from error
    twice = [name for name, count in Counter(row.hash or row.pattern for row in rows).items() if count > 1]
    if twice:
        last = max(place for place, row in enumerate(rows) if (row.hash or row.pattern) == twice[0])
        raise EdgesweepError("config_invalid", file.say(("rules", last), f"two rules are about {twice[0]}"))
    return RuleBook(tuple(row.rule() for row in rows))


def rule_of(**given: Any) -> Rule:
    """A checked rule from the words of a command; what is not given, or None, takes its default.

    Raises:
        EdgesweepError: `usage` with the reason.
    """
    try:
        return _RuleRow.model_validate({key: value for key, value in given.items() if value is not None}).rule()
    except ValidationError as error:
        raise EdgesweepError("usage", _sentence(error.errors(include_url=False)[0])) from error


def add_rule(path: Path, rule: Rule) -> bool:
    """Write `rule` into `path`, all or nothing, in the place of one about the same; comments stay.

    Returns:
        Whether another rule about the same was replaced.

    Raises:
        EdgesweepError: `config_invalid` when the file in place is broken or cannot be written.
    """
    read_rules(path)
    document = (commented_yaml().load(path.read_text("utf-8")) if path.exists() else None) or CommentedMap(
        {"version": VERSION}
    )
    rows = document.get("rules") or CommentedSeq()
    document["rules"] = rows
    entry = CommentedMap(_plain(rule))
    same = [place for place, row in enumerate(rows) if _about_the_same(row, rule)]
    if same:
        rows[same[0]] = entry
    else:
        rows.append(entry)
    write_config(path, document)
    return bool(same)


def _about_the_same(row: Any, rule: Rule) -> bool:
    known = str(row.get("hash", ""))
    if rule.hash and known:
        return known.startswith(rule.hash) or rule.hash.startswith(known)
    return bool(rule.pattern) and row.get("pattern") == rule.pattern


def _plain(rule: Rule) -> dict[str, Any]:
    """The keys of the entry that say something."""
    words = {key: getattr(rule, key) for key in ("hash", "pattern", "cause", "text", "remedy", "note", "link")}
    kept = {key: value for key, value in words.items() if value}
    return kept if rule.stable == is_stable(rule.cause) else kept | {"stable": rule.stable}


class _RuleRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    hash: str = ""
    pattern: str = ""
    cause: str
    text: str = ""
    remedy: str = ""
    stable: bool | None = None
    note: str = ""
    link: str = ""

    @field_validator("hash")
    @classmethod
    def _check_hash(cls, value: str) -> str:
        if value and not _HASH.fullmatch(value):
            raise ValueError(f"a hash is {LEAST_HASH} to 64 of the digits 0 to 9 and a to f, and {value!r} is not")
        return value

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"the pattern is no regular expression: {error}") from error
        return value

    @field_validator("cause")
    @classmethod
    def _check_cause(cls, value: str) -> str:
        if value in CAUSES or _OWN.fullmatch(value):
            return value
        if value.startswith(LOCAL):
            raise ValueError(f"an own cause is {LOCAL} and small letters, digits, - and _, and {value!r} is not")
        near = hint(value, CAUSES) if len(hint(value, CAUSES)) < 80 else ""  # noqa: PLR2004 - a whole catalogue helps nobody
        raise ValueError(
            f"there is no cause {value!r}{near or '; see `edgesweep failure list`, or call it local:NAME'}"
        )

    @field_validator("link")
    @classmethod
    def _check_link(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError(f"a link begins with https:// or http://, and {value!r} does not")
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> _RuleRow:
        if bool(self.hash) == bool(self.pattern):
            raise ValueError("a rule needs a hash or a pattern, and not both")
        own = self.cause.startswith(LOCAL)
        if own and not (self.text and self.remedy):
            raise ValueError(f"{self.cause} is not in the catalogue: give it a text and a remedy")
        if not own and (self.text or self.remedy):
            raise ValueError(
                f"text and remedy are for an own cause such as local:NAME; those of {self.cause} are known"
            )
        return self

    def rule(self) -> Rule:
        stable = is_stable(self.cause) if self.stable is None else self.stable
        return Rule(self.cause, self.hash, self.pattern, self.text, self.remedy, stable, self.note, self.link)


class _RulesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1]
    rules: list[_RuleRow] = Field(default_factory=list)


def _refuse_other_version(file: YamlFile) -> None:
    version = file.data.get("version") if isinstance(file.data, dict) else None
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        sentence = f"version {version} is newer than this Edgesweep knows ({VERSION})"
        remedy = "install the version of Edgesweep that wrote it, or newer"
        raise EdgesweepError("config_invalid", file.say(("version",), sentence), remedy=remedy)


def _complaint(error: ValidationError, file: YamlFile) -> str:
    """The first fault with its place; a misspelt key explains a missing one better than the other way round."""
    faults = error.errors(include_url=False)
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    return file.say(fault["loc"], _sentence(fault), key=fault["type"] == "extra_forbidden")


def _sentence(fault: Any) -> str:
    place = fault["loc"]
    if fault["type"] == "extra_forbidden":
        model = _RuleRow if len(place) > 1 else _RulesFile
        return f"unknown key {str(place[-1])!r}{hint(str(place[-1]), model.model_fields)}"
    if fault["type"] == "missing":
        return f"the key {place[-1]!r} is missing" if place else "a mapping with version and rules is wanted"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    if not place:
        return "the file is not a mapping with the keys version and rules"
    return f"{place[-1]}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
