"""What each kind of change means and what to do about it, the same in every form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgesweep.report import units
from edgesweep.report.compat.diff import Change, CompatDiff, Kind, changed_states, end_words, placement_words
from edgesweep.report.outcomes import Doc, when


@dataclass(frozen=True, slots=True)
class Told:
    """A kind as it is told. `outcome` lends it its mark and its colour."""

    title: str
    meaning: str
    remedy: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of one kind that went from and to the same."""

    was: str
    became: str
    changes: tuple[Change, ...]


_STATES = {"build": "build of onnxruntime", "engine_hash": "compiled model", "power_mode": "power mode"}

WORDS = {
    Kind.NEWLY_FAILING: Told(
        "newly failing",
        "it ran in the first run and fails in the second",
        "see what stands against it and what near it still passes: `edgesweep compat explain CELL --run RUN2`",
        "failed",
    ),
    Kind.MOVED_TO_FALLBACK: Told(
        "moved to fallback",
        "the provider asked for ran it in the first run and got no node, or too few, in the second",
        "see whether the provider still runs there: `edgesweep runtime probe DEVICE RUNTIME`",
        "fallback",
    ),
    Kind.NEWLY_PASSING: Told(
        "newly passing",
        "it did not come through in the first run and passes in the second",
        "take those marked fixed out of `known_failures` in the plan",
        "pass",
    ),
    Kind.CHANGED_CAUSE: Told(
        "changed cause",
        "it comes through in neither run, for another reason or at another stage",
        "see whether it came farther: `edgesweep compat explain CELL --run RUN2`",
        "failed",
    ),
    Kind.MOVED_PROVIDER: Told(
        "moved provider",
        "it ran in both runs, with nodes on other providers than before",
        "do not compare its latency with the first run's; `edgesweep compat explain CELL --run RUN2` shows the placement",
        "fallback",
    ),
    Kind.NOT_TOLD: Told(
        "without a result",
        "the lab lost it in the second run, or its turn has not come: that says nothing about the model",
        "`edgesweep run --resume RUN2`",
        "lost",
    ),
    Kind.NOT_RUN: Told(
        "no longer run",
        "it ran in the first run; the plan of the second rules it out",
        "see the reason in the plan",
        "skipped",
    ),
    Kind.MISSING: Told(
        "missing",
        "only the first run has it",
        "see whether its device and its runtime are still there (`edgesweep runtime list DEVICE`), or whether the plan has changed",
        "lost",
    ),
    Kind.ADDED: Told(
        "new",
        "only the second run tells how it ends",
        "nothing to do: there is nothing to hold it against",
        "unfinished",
    ),
}


def remedy_of(kind: Kind, diff: CompatDiff) -> str:
    """What to do about a kind of change, with the second run's id in it."""
    return WORDS[kind].remedy.replace("RUN2", str(diff.after["run"]["id"]))


def groups_of(diff: CompatDiff, kind: Kind) -> list[Group]:
    """The changes of a kind, those that went from and to the same together; largest first."""
    grouped: dict[tuple[str, str], list[Change]] = {}
    for change in diff.of(kind):
        grouped.setdefault(_ends(change), []).append(change)
    groups = [Group(*ends, tuple(changes)) for ends, changes in grouped.items()]
    return sorted(groups, key=lambda group: -len(group.changes))


def _ends(change: Change) -> tuple[str, str]:
    if change.kind is Kind.MOVED_PROVIDER:
        was, became = placement_words(change.before), placement_words(change.after)
        return (was, became) if was != became else (was, f"{became}, other nodes")
    before = end_words(change.before) if change.before else ""
    return before, end_words(change.after) if change.after else ""


def note_of(change: Change) -> str:
    """`known failure` or `fixed`, where the second run's plan says so; else empty."""
    if change.known:
        return "known failure"
    return "fixed: the plan still calls it a known failure" if change.fixed else ""


def from_to(group: Group) -> str:
    """`pass -> failed at load: oom`; only one of them where the other run does not have it."""
    return " -> ".join(filter(None, [group.was, group.became]))


def sentence(diff: CompatDiff) -> str:
    """What the difference comes to."""
    parts = [f"{len(diff.of(kind))} {WORDS[kind].title}" for kind in Kind if diff.of(kind)]
    known = sum(change.known for change in diff.changes)
    parts += [f"{known} of them known"] if known else []
    both = diff.same + sum(change.before is not None and change.after is not None for change in diff.changes)
    head = f"{units.plural(both, 'cell')} in both runs, {diff.same:,} alike"
    return f"{head}; {', '.join(parts)}." if parts else f"{head}: nothing changed."


def runs_of(diff: CompatDiff) -> Iterator[tuple[str, str, str]]:
    """First and second run: which, its id, and when, how complete and by what it was made."""
    for word, doc in (("first", diff.before), ("second", diff.after)):
        yield word, str(doc["run"]["id"]), _facts(doc)


def _facts(doc: Doc) -> str:
    run = doc["run"]
    started = when(run.get("started"))
    facts = [
        str(run["name"]),
        f"{started:%Y-%m-%d %H:%M} UTC" if started else "",
        units.plural(len(doc["cells"]), "cell"),
    ]
    facts += [str(run["state"])] if run.get("state") != "complete" else []
    facts += [f"Edgesweep {run['controller_version']}"] if run.get("controller_version") else []
    return ", ".join(filter(None, facts))


def remarks_of(diff: CompatDiff) -> list[str]:
    """What makes the two runs unlike as a whole."""
    before, after = diff.before["run"], diff.after["run"]
    remarks = []
    if before["id"] == after["id"]:
        remarks.append("both are the same run")
    elif before.get("plan_digest") != after.get("plan_digest"):
        remarks.append("their plans differ")
    if diff.other_artifacts:
        remarks.append(f"{units.plural(diff.other_artifacts, 'cell')} of both with another artifact than before")
    for key, amount in changed_states(diff.before, diff.after).items():
        remarks.append(f"{units.plural(amount, 'cell')} of both with another {_STATES.get(key, key)} than before")
    if (before.get("started") or 0) > (after.get("started") or 0):
        remarks.append("the first run is the later one")
    return remarks


def next_of(diff: CompatDiff) -> str:
    """The command to try next."""
    run = diff.after["run"]["id"]
    if diff.worse:
        return f"edgesweep compat explain {diff.worse[0].name} --run {run}"
    if diff.of(Kind.NOT_TOLD):
        return f"edgesweep run --resume {run}"
    return f"edgesweep compat matrix {run}"
