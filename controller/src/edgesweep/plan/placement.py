"""The plan's `placement`: how much of a model must land on the provider that a chain asks for first."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from edgesweep.plan.fields import Section, describe, refusal
from edgesweep.stats.placement import FallbackPolicy


def _read_share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise refusal(f"a share lies above 0 and is at most 1, such as 0.9 for 90 %, and is not {describe(value)}")
    return float(value)


Share = Annotated[
    float, BeforeValidator(_read_share), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
]


class PlacementSection(Section):
    """`placement`: the least share of the nodes, and of the time, that the chain's first provider must have.

    A cell below it ends as `fallback`; one that reaches it passes, tagged `partial` where some nodes lie elsewhere.
    """

    min_nodes: Share | None = None
    min_time: Share | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.min_nodes is None and self.min_time is None:
            raise refusal("placement sets no limit; give min_nodes or min_time, such as min_time: 0.9, or leave it out")
        return self

    def policy(self, word: str) -> FallbackPolicy:
        """These limits beside the plan's word for `fallback`."""
        return FallbackPolicy(word, self.min_nodes, self.min_time)
