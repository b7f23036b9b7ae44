"""How inferences follow each other: back to back, at a fixed period, or for minutes on end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from edgesweep.did_you_mean import hint
from edgesweep.plan.fields import describe, refusal

CLOSED, PACED, SUSTAINED = "closed", "paced", "sustained"
KINDS = (CLOSED, PACED, SUSTAINED)

#: Seconds of a sustained trial for which a plan names none, and the fewest: the last minute is held against the first.
SUSTAINED_S = 600.0
LEAST_SUSTAINED_S = 120.0
#: The longest period and the longest sustained trial: a day.
LONGEST_S = 86_400.0

_NUMBER = re.compile(r"\d{1,6}(\.\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`seconds` is the period of a paced scenario, the duration of a sustained one, and 0 for the closed loop."""

    kind: str = CLOSED
    seconds: float = 0.0

    @property
    def slug(self) -> str:
        """As a plan and a cell's name write it: `closed`, `paced=0.1`, `sustained=600`."""
        return self.kind if self.kind == CLOSED else f"{self.kind}={self.seconds:.9f}".rstrip("0").rstrip(".")


#: Back to back: the default.
CLOSED_LOOP = Scenario()


def read_scenario(value: Any) -> Scenario:
    """The scenario that an entry of `session.scenario` stands for."""
    if isinstance(value, Scenario):
        return value
    if not isinstance(value, str):
        raise refusal(f"a scenario is closed, paced=SECONDS or sustained=SECONDS, not {describe(value)}")
    kind, given, number = value.partition("=")
    if kind not in KINDS:
        raise refusal(f"unknown scenario '{value}'{hint(kind, KINDS)}")
    if kind == CLOSED:
        if given:
            raise refusal("the closed loop goes back to back and takes no seconds; write closed")
        return CLOSED_LOOP
    if kind == SUSTAINED and not given:
        return Scenario(SUSTAINED, SUSTAINED_S)
    if not given:
        raise refusal("paced needs its period in seconds, such as paced=0.1")
    seconds = float(number) if _NUMBER.fullmatch(number) else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise refusal(f"'{number}' is no number of seconds; write {kind}={'0.1' if kind == PACED else '600'}")
    if kind == SUSTAINED and seconds < LEAST_SUSTAINED_S:
        raise refusal(
            f"a sustained trial lasts {LEAST_SUSTAINED_S:g} s at least, not {seconds:g}; its minutes are compared"
        )
    return Scenario(kind, seconds)


ScenarioEntry = Annotated[
    Scenario,
    BeforeValidator(read_scenario),
    PlainSerializer(lambda scenario: scenario.slug, return_type=str),
    WithJsonSchema({"type": "string", "examples": [CLOSED, "paced=0.1", "sustained=600"]}),
]
