"""The smallest set of options that covers every target, and among those of equal size the one that costs least."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

#: A model, and where it is to run.
Target = tuple[str, str]

#: Sets whose cost lies within this share of the cheapest count as equally fast: below it, a ranking would be noise.
SAME_COST = 0.02
#: Sets of equal size that are compared; beyond that number the first ones found are.
MOST_SETS = 3_000
#: Steps of a search; one that needs more is given up, and a smaller set may exist then.
MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Option:
    """Something to choose: the targets that it covers, and how much slower than the best it is on each, where known.

    `reduced` marks one that gives up something else for it, such as precision; `order` is smaller for the simpler.
    """

    key: str
    covers: frozenset[Target]
    ratios: Mapping[Target, float] = field(default_factory=dict, hash=False)
    reduced: bool = False
    order: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The set chosen, simplest first, the targets that it covers, and those that no option does.

    `cost` is the geometric mean of the smallest ratio that a member has on each of the `known` targets, those where any
    is known, and `worst` the target with the largest; both are None where none is. Where it is not `exact`, the search for
    a smaller set was given up.
    """

    options: tuple[Option, ...]
    covered: tuple[Target, ...]
    uncovered: tuple[Target, ...]
    known: int
    cost: float | None
    worst: tuple[Target, float] | None
    exact: bool = True


def smallest_cover(options: Sequence[Option], targets: Sequence[Target]) -> Chosen:
    """The smallest set of options that covers whatever can be covered.

    Of several such sets: those with the fewest reduced options; of these, where any has a known cost on every target,
    those that have and lie within `SAME_COST` of the cheapest; of these, the one whose options come first in order.
    """
    bits = {target: 1 << place for place, target in enumerate(targets)}
    useful = sorted(
        (option for option in options if any(target in bits for target in option.covers)), key=lambda o: o.order
    )
    masks = [sum(bits[target] for target in option.covers if target in bits) for option in useful]
    wanted = 0
    for mask in masks:
        wanted |= mask
    covered = tuple(target for target in targets if bits[target] & wanted)
    uncovered = tuple(target for target in targets if not bits[target] & wanted)
    size, exact = _fewest(masks, wanted)
    found = [*islice(_covers(masks, wanted, size, [MOST_STEPS]), MOST_SETS)] or [frozenset(_greedy(masks, wanted))]
    best = _best([tuple(useful[place] for place in sorted(places)) for places in dict.fromkeys(found)], len(covered))
    ratios = _ratios(best)
    worst = max(ratios.items(), key=lambda item: item[1], default=None)
    return Chosen(best, covered, uncovered, len(ratios), _cost(ratios), worst, exact)


def _best(sets: Sequence[tuple[Option, ...]], targets: int) -> tuple[Option, ...]:
    """The best of equally small sets that cover so many targets."""
    fewest = min(sum(option.reduced for option in members) for members in sets)
    kept = [members for members in sets if sum(option.reduced for option in members) == fewest]
    ratios = {members: _ratios(members) for members in kept}
    costs = {members: cost for members in kept if len(ratios[members]) == targets and (cost := _cost(ratios[members]))}
    if costs:
        limit = min(costs.values()) * (1 + SAME_COST)
        kept = [members for members, cost in costs.items() if cost <= limit]
    return min(kept, key=lambda members: [option.order for option in members])


def _ratios(members: tuple[Option, ...]) -> dict[Target, float]:
    """The smallest ratio of any member, by target."""
    ratios: dict[Target, float] = {}
    for option in members:
        for target, ratio in option.ratios.items():
            if target in option.covers:
                ratios[target] = min(ratio, ratios.get(target, math.inf))
    return ratios


def _cost(ratios: Mapping[Target, float]) -> float | None:
    return geometric_mean(list(ratios.values())) if ratios else None


def _fewest(masks: Sequence[int], wanted: int) -> tuple[int, bool]:
    """How many masks it takes, and whether that is proven.

    Sizes below that of the set which the widest-first rule finds are tried from the least possible one up, with masks
    that lie within no other.
    """
    distinct = list(dict.fromkeys(masks))
    widest = [mask for mask in distinct if not any(mask != other and mask | other == other for other in distinct)]
    most = len(_greedy(widest, wanted))
    steps = [MOST_STEPS]
    for size in range(most):
        if next(_covers(widest, wanted, size, steps), None) is not None:
            return size, True
        if steps[0] <= 0:
            return most, False
    return most, True


def _greedy(masks: Sequence[int], wanted: int) -> list[int]:
    """The places of masks that cover `wanted`, the one that covers most of what is left first."""
    places = []
    while wanted:
        left = wanted
        places.append(max(range(len(masks)), key=lambda place: (masks[place] & left).bit_count()))
        wanted &= ~masks[places[-1]]
    return places


def _covers(masks: Sequence[int], wanted: int, size: int, steps: list[int]) -> Iterator[frozenset[int]]:
    """The places of every set of at most `size` masks that covers `wanted`; a set may come more than once.

    Branches on the bit that the fewest masks hold, and gives up where as many of the widest masks as are left to choose
    would not do. Ends early when `steps` (its one element is counted down) are used up.
    """
    holders = {
        1 << bit: [place for place, mask in enumerate(masks) if mask >> bit & 1]
        for bit in range(wanted.bit_length())
        if wanted >> bit & 1
    }
    rarest = sorted(holders, key=lambda bit: len(holders[bit]))

    def search(left: int, chosen: frozenset[int]) -> Iterator[frozenset[int]]:
        steps[0] -= 1
        if not left:
            yield chosen
            return
        room = size - len(chosen)
        if steps[0] <= 0 or not room:
            return
        if left.bit_count() > room * max((mask & left).bit_count() for mask in masks):
            return
        for place in holders[next(bit for bit in rarest if left & bit)]:
            if steps[0] > 0:
                yield from search(left & ~masks[place], chosen | {place})

    yield from search(wanted, frozenset())


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive values.

    Raises:
        ValueError: There is none.
    """
    if not values:
        raise ValueError("no values")
    return math.exp(math.fsum(map(math.log, values)) / len(values))
