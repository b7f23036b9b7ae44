"""Rules of the user: which cause a failure has whose words, without what changes from run to run, are known to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgesweep_proto.execution import Diagnosis

from edgesweep.errors import CAUSES, remedy_for

#: What the codes of a user's own causes begin with, so that none is taken for one of the catalogue.
LOCAL = "local:"

#: Characters of a message hash that are shown, and the fewest that name one.
SHORT_HASH = 12
LEAST_HASH = 8


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the rules file: failures of that `hash` (or the start of it), or whose normalised words hold `pattern`.

    `cause` is a code of the catalogue, or a `local:` one with a `text` and a `remedy` of its own. A rule that is not
    `stable` says that the failure is trouble of the lab and tells nothing of the model.
    """

    cause: str
    hash: str = ""
    pattern: str = ""
    text: str = ""
    remedy: str = ""
    stable: bool = True
    note: str = ""
    link: str = ""

    @property
    def name(self) -> str:
        """What the result document calls the rule: `hash 1a2b3c4d5e6f` or `pattern …`."""
        return f"hash {self.hash[:SHORT_HASH]}" if self.hash else f"pattern {self.pattern}"

    @property
    def advice(self) -> str:
        """What to try: the rule's own remedy, else the catalogue's."""
        return self.remedy or remedy_for(self.cause)

    def fits(self, diagnosis: Diagnosis) -> bool:
        """Whether this rule is about such a failure."""
        if self.hash:
            return diagnosis.message_hash.startswith(self.hash)
        return re.search(self.pattern, diagnosis.normalised) is not None


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules in the order of their file; a hash says more than a pattern and is asked first."""

    rules: tuple[Rule, ...] = ()

    def find(self, diagnosis: Diagnosis | None) -> Rule | None:
        """The first rule that fits; None for a failure that left no words."""
        if diagnosis is None or not diagnosis.message_hash:
            return None
        ordered = sorted(self.rules, key=lambda rule: not rule.hash)
        return next((rule for rule in ordered if rule.fits(diagnosis)), None)


#: No rules at all: every cell is told by the catalogue alone.
NO_RULES = RuleBook()


def is_stable(cause: str) -> bool:
    """Whether the catalogue takes `cause` for a finding about the model; a user's own cause is one unless it says not."""
    return cause not in CAUSES or CAUSES[cause].stable
