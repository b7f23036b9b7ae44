"""Every cause that a cell can end with: those of the catalogue, then the user's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgesweep.errors import CAUSES
from edgesweep.failures.rules import LOCAL, RuleBook


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause as it is listed; `stages` are empty where it may end any."""

    code: str
    stages: tuple[str, ...]
    stable: bool
    text: str
    remedy: str
    link: str

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self) | {"stages": list(self.stages)}


def all_causes(rules: RuleBook) -> tuple[Cause, ...]:
    """The catalogue in its own order and the own causes of `rules`, each once."""
    causes = {
        entry.code: Cause(entry.code, entry.stages, entry.stable, entry.text, entry.remedy, entry.link)
        for entry in CAUSES.values()
    }
    for rule in rules.rules:
        if rule.cause.startswith(LOCAL):
            causes.setdefault(rule.cause, Cause(rule.cause, (), rule.stable, rule.text, rule.remedy, rule.link))
    return tuple(causes.values())
