"""The advice in words, the same in every form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from edgesweep.report import units
from edgesweep.report.compat.advice import Advice, Choice, Hole, Per, Use, Why, Worst

#: Shorter names for targets, by their name; those not in it are called by their own.
Names = Mapping[str, str]
NO_NAMES: Names = MappingProxyType({})

_SHOWN = 4
_SMALL = 1.005
_TWICE = 2.0
_BOTH = 2


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """The choice for one model as a line of a table."""

    model: str
    use: str
    where: str
    cost: str


def headline(advice: Advice, names: Names = NO_NAMES) -> str:
    """The advice in one or two sentences."""
    choice = advice.together or (advice.choices[0] if len(advice.choices) == 1 else None)
    if all(each.variants == 1 for each in advice.choices):
        said = _nothing_to_choose(advice, names)
    elif choice is None:
        return ""
    else:
        said = _choice_sentence(advice, choice, names)
    return f"So far: {said[0].lower()}{said[1:]}" if advice.open else said


def _nothing_to_choose(advice: Advice, names: Names) -> str:
    total = len(advice.choices)
    running = sum(not choice.holes for choice in advice.choices)
    where = _everywhere(advice, holes=False, names=names)
    if total == 1:
        return (
            f"There is one variant, nothing to choose from: it {'runs' if running else 'is not known to run'} {where}."
        )
    return f"Each model comes as one variant, so that there is nothing to choose: {running:,} of {total:,} run {where}."


def _choice_sentence(advice: Advice, choice: Choice, names: Names) -> str:
    subject = choice.models[0]
    if len(choice.models) > 1:
        exported = "" if len(choice.models) == len(advice.choices) else "exported "
        subject = _all(len(choice.models), f"{exported}model")
    where = _everywhere(advice, holes=bool(choice.holes), names=names)
    if not choice.uses:
        return f"No variant of {subject} is known to run on any {noun(advice)}."
    if len(choice.uses) == 1:
        runs = "It runs" if len(choice.models) == 1 else "They run"
        return f"Use {choice.uses[0].recipe.text} for {subject}. {runs} {where}. {cost_sentence(choice, names)}"
    recipes = _joined([use.recipe.text for use in choice.uses])
    most = "" if choice.exact else " at most"
    head = f"No single way of exporting {subject} runs {where}; it takes {len(choice.uses)}{most}: {recipes}."
    return f"{head} {cost_sentence(choice, names)}"


def rows_of(advice: Advice, names: Names = NO_NAMES) -> Iterator[AdviceRow]:
    """One row per model and variant to use, of models with several; one of which nothing runs has a row that says so."""
    for choice in advice.choices:
        if choice.variants == 1:
            continue
        if not choice.uses:
            yield AdviceRow(choice.models[0], "no variant", f"no {noun(advice)}", units.NOTHING)
        for place, use in enumerate(choice.uses):
            cost = cost_text(choice, names) if place == 0 else ""
            yield AdviceRow("" if place else choice.models[0], use.recipe.text, where_text(advice, use, names), cost)


def hole_sentences(advice: Advice, names: Names = NO_NAMES) -> list[str]:
    """What runs nowhere, and what came closest; models of which the same is to be said share a sentence."""
    alike: dict[str, list[Hole]] = {}
    for choice in advice.choices:
        for hole in choice.holes:
            alike.setdefault(hole_sentence(replace(hole, model=""), names), []).append(hole)
    return [
        hole_sentence(replace(holes[0], model=_joined([hole.model for hole in holes])), names)
        for holes in alike.values()
    ]


def hole_sentence(hole: Hole, names: Names = NO_NAMES) -> str:
    """One model and target that no variant is known to run on."""
    square, where = hole.closest, _name(hole.target, names)
    worst = square.worst
    if hole.why is Why.RULED_OUT:
        return f"{hole.model} on {where}: every variant is ruled out ({worst.get('message') or square.cause})"
    ended = f"{worst.get('outcome') or 'unfinished'}" + (f" at {worst['stage']}" if worst.get("stage") else "")
    cause = f": {square.cause}" if square.cause else ""
    if hole.why is Why.UNKNOWN:
        return f"{hole.model} on {where}: not known, since cells have no result yet ({ended}{cause})"
    return f"No variant of {hole.model} runs on {where}; {square.row.recipe.text} came closest, {ended}{cause}"


def where_text(advice: Advice, use: Use, names: Names = NO_NAMES) -> str:
    """Where a variant runs: `all 5 devices`, `3 of 5 devices: pi4, pi5, jetson`."""
    total = len(advice.targets)
    if len(use.targets) == total:
        return _name(use.targets[0], names) if total == 1 else _all(total, noun(advice))
    return f"{len(use.targets)} of {units.plural(total, noun(advice))}: {_joined([_name(target, names) for target in use.targets])}"


def cost_text(choice: Choice, names: Names = NO_NAMES) -> str:
    """The cost in a few words: `+4 %, at worst +12 % on pi5`, and of how many targets it is known if not of all."""
    if choice.ratio is None or choice.worst is None:
        return "no numbers"
    said = over(choice.ratio)
    if choice.worst.ratio < _SMALL:
        said = "the fastest"
    elif choice.worst.ratio > choice.ratio * _SMALL:
        said += f", at worst {over(choice.worst.ratio)} on {_name(choice.worst.target, names)}"
    return said if choice.known == choice.covered else f"{said} (known at {choice.known} of {choice.covered})"


def cost_sentence(choice: Choice, names: Names = NO_NAMES) -> str:
    """The cost in latency against the fastest variant, as a sentence."""
    several = len(choice.models) > 1
    if choice.ratio is None or choice.worst is None:
        return "No trusted or doubtful number tells what that costs in latency."
    known = "" if choice.known == choice.covered else f", known at {choice.known} of {choice.covered}"
    if choice.worst.ratio < _SMALL:
        return f"Median latency: that of the fastest variant{known}."
    worst = "" if choice.worst.ratio <= choice.ratio * _SMALL else f", {over(choice.worst.ratio)} at worst"
    where = _worst_text(choice.worst, names, several=several) if worst else ""
    return f"Median latency against the fastest variant: {over(choice.ratio)}{worst}{where}{known}."


def over(ratio: float) -> str:
    """A ratio as people say it: `+4 %`, `2.3 times`."""
    if ratio >= _TWICE:
        return f"{ratio:.1f} times"
    return f"+{(ratio - 1) * 100:.0f} %" if ratio >= _SMALL else "+0 %"


def noun(advice: Advice) -> str:
    """`device` or `place`."""
    return "device" if advice.per is Per.DEVICE else "place"


def _worst_text(worst: Worst, names: Names, *, several: bool) -> str:
    target = _name(worst.target, names)
    return f" ({worst.model} on {target})" if several else f" (on {target})"


def _name(target: str, names: Names) -> str:
    return names.get(target, target)


def _everywhere(advice: Advice, *, holes: bool, names: Names) -> str:
    total = len(advice.targets)
    if holes:
        return f"{'on' if advice.per is Per.DEVICE else 'at'} every {noun(advice)} where any variant does"
    if total == 1:
        return f"on {_name(advice.targets[0], names)}"
    return f"{'on' if advice.per is Per.DEVICE else 'at'} {_all(total, noun(advice))}"


def _all(amount: int, noun: str) -> str:
    """`both devices`, `all 5 devices`."""
    return f"both {noun}s" if amount == _BOTH else f"all {units.plural(amount, noun)}"


def _joined(names: Sequence[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    shown = [*names[:_SHOWN], *more]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
