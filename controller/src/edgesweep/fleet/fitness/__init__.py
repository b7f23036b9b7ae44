"""Whether a board is fit to measure on, and what to change: rules on what it said of itself, one file per concern.

A problem is what makes numbers untrustworthy, or keeps the board from being measured at all: the verdict of a cell would say
so every time. Advice makes numbers steadier, faster or better watched; a board without it can still be trusted.
"""

from __future__ import annotations

from edgesweep.fleet.fitness.finding import Finding, Level, Look
from edgesweep.fleet.fitness.load import check_load
from edgesweep.fleet.fitness.machine import check_machine
from edgesweep.fleet.fitness.runtimes import check_runtimes
from edgesweep.fleet.fitness.speed import check_speed

__all__ = ["Finding", "Level", "Look", "check_fitness"]


def check_fitness(look: Look) -> tuple[Finding, ...]:
    """Every finding on a board, those that are in order included, in a fixed order."""
    return (*check_machine(look), *check_load(look), *check_speed(look), *check_runtimes(look))
