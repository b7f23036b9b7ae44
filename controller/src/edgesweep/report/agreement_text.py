"""Whether outputs agree, in words: where one artifact ran in several places, and where one place does not repeat itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edgesweep.report.units import plural

Doc = dict[str, Any]

#: The title of what `agreement_sentences` says.
HEADING = "Agreement across devices"

#: Pairs that are named where outputs disagree.
MOST_NAMED = 6

#: Tags that `answers_beside` tells in words.
TOLD_TAGS = frozenset({"disagrees", "nondeterministic", "outputs_differ"})


def agreement_sentences(doc: Doc) -> list[str]:
    """How many artifacts agree wherever they ran, limit by limit, then each pair of cells that does not.

    Nothing where no artifact ran in two places.
    """
    groups = doc.get("agreement") or []
    by_artifact: dict[str, list[Doc]] = {}
    for group in groups:
        by_artifact.setdefault(group["digest"], []).append(group)
    by_limit: dict[float, list[list[Doc]]] = {}
    for shapes in by_artifact.values():
        by_limit.setdefault(max(group["worst"]["limit"] for group in shapes), []).append(shapes)
    heads = [_head(limit, artifacts) for limit, artifacts in sorted(by_limit.items())]
    return [*heads, *_disagreements(groups)]


def _head(limit: float, artifacts: Sequence[Sequence[Doc]]) -> str:
    agreeing = sum(all(group["agrees"] for group in shapes) for shapes in artifacts)
    verb = "agrees" if len(artifacts) == 1 else "agree"
    best = _best([group for shapes in artifacts for group in shapes])
    return (
        f"{agreeing} of {plural(len(artifacts), 'artifact')} that ran in several places {verb} within {limit:g} of the "
        f"largest value {best}"
    )


def _best(groups: Sequence[Doc]) -> str:
    """In brackets, how far those that agree lie apart at most."""
    agreeing = [group for group in groups if group["agrees"]]
    if not agreeing:
        return "(none does)"
    if all(group["bitwise"] for group in agreeing):
        return "(bit for bit the same)"
    worst = max(agreeing, key=lambda group: group["worst"]["relative"])["worst"]
    if not worst["relative"]:
        return "(what differs is not among the values kept)"
    return f"(at most {worst['relative']:.2g}: {worst['cell']} against {worst['with']})"


def _disagreements(groups: Sequence[Doc]) -> Iterable[str]:
    off = [group for group in groups if not group["agrees"]]
    for group in off[:MOST_NAMED]:
        worst = group["worst"]
        output = f"output {worst['output']} of " if worst["output"] else ""
        share = worst["relative"]
        apart = "in more than a distance" if share is None else f"by {share:.2g} of the largest value"
        yield f"{output}{worst['cell']} differs from {worst['with']} {apart}; {worst['limit']:g} is allowed"
    if len(off) > MOST_NAMED:
        yield f"and {len(off) - MOST_NAMED} more: the cells with the tag disagrees"


def answers_beside(cell: Doc) -> list[str]:
    """What is to be said of a cell's outputs beside its numbers, as short texts; nothing where all is as it should be."""
    texts = []
    found = cell.get("agreement") or {}
    if found.get("agrees") is False:
        share = "" if found["relative"] is None else f" by {found['relative']:.2g} of the largest value"
        texts.append(f"outputs disagree{share} with {found['with']}")
    kinds = {tag.partition(":")[0] for tag in cell.get("tags") or []}
    for tag, field, what in (
        ("nondeterministic", "run_difference", "from run to run"),
        ("outputs_differ", "trial_difference", "from trial to trial"),
    ):
        if tag in kinds:
            sizes = [size for output in cell.get("outputs") or [] if (size := output.get(field))]
            texts.append(f"outputs not the same {what}" + (f", up to {max(sizes):.2g} apart" if sizes else ""))
    return texts
