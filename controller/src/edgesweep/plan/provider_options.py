"""Options of providers in a plan: those that only the board may give, and those that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgesweep_worker.providers import facts_of

from edgesweep.did_you_mean import nearest
from edgesweep.plan.providers import full_name

if TYPE_CHECKING:
    from edgesweep.plan.schema import PlanFile


def refused_option(options: Mapping[str, Mapping[str, str]]) -> str:
    """A sentence about the first option that names something on the board, which no plan may do; empty without any.

    Args:
        options: Options by the provider's short name.
    """
    for name, given in options.items():
        facts = facts_of(full_name(name))
        for option, value in given.items():
            if option in facts.local_options:
                return f"the option '{option}' of {name} names something on the board, which a plan cannot do: leave it out"
            if facts.is_local(option, value):
                return f"the option '{option}' of {name} is a path, and a plan names none on a board: leave it out"
    return ""


def unknown_options(plan: PlanFile) -> list[str]:
    """A sentence for each option that its provider is not known to take; onnxruntime has the last word on them all."""
    notes = []
    for position, chain in enumerate(plan.providers if isinstance(plan.providers, tuple) else ()):
        for name, given in chain.options.items():
            known = facts_of(full_name(name)).options
            for option in given:
                if known and option not in known:
                    meant = nearest(option, known)
                    said = f"did you mean '{meant}'?" if meant else "onnxruntime may refuse it or pass over it"
                    notes.append(f"providers[{position}]: {name} is not known to have an option '{option}': {said}")
    return notes
