"""The work of one device: cells that share a measurement, their trials in rounds, and what is still to do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesweep_proto.trial import NamedInputs, Provider, SessionOptions, Tolerance, Trial, TrialOutcome

from edgesweep.export.result import ExportResult, Payload
from edgesweep.plan.cell import Cell
from edgesweep.plan.preset import Preset
from edgesweep.plan.providers import full_name
from edgesweep.plan.tolerances import VerifyRules
from edgesweep.store.records import TrialRecord

#: Outcomes that say something about the model; the others are tried again.
COMPLETED = frozenset({TrialOutcome.PASS, TrialOutcome.FALLBACK, TrialOutcome.FAILED})

#: A transient end is tried this many times more before the cell is lost (design.md §8).
RETRIES = 2

#: A cancelled trial says nothing about model or device and costs no retry, but not without end.
MOST_CANCELLED = 10

_NO_RULES, _DEFAULT = VerifyRules(), Tolerance()


@dataclass(frozen=True, slots=True)
class Group:
    """Cells of one device that have the same artifact and are asked the same: measured once, through `leader`.

    `tolerance` is what the leader's outputs are held to.
    """

    leader: Cell
    followers: tuple[Cell, ...]
    export: ExportResult
    payload: Payload
    tolerance: Tolerance = _DEFAULT

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells that end with this group's measurement."""
        return (self.leader, *self.followers)


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One trial to run: the `attempt`-th of its round."""

    group: Group
    round: int
    attempt: int

    def trial_id(self, run_id: str) -> str:
        """The trial's id, the same whoever computes it: run/key/round/attempt."""
        return f"{run_id}/{self.group.leader.key}/{self.round}/{self.attempt}"


def group_cells(
    cells: Iterable[Cell], exports: Mapping[str, ExportResult], rules: VerifyRules = _NO_RULES
) -> list[Group]:
    """Groups the measurable `cells` by what would be measured; `exports` is keyed by model and variant slug.

    The first cell in planned order leads; cells whose variant did not pass are left out. Of what two of them may be held to
    by `rules` the leader's counts.
    """
    grouped: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        export = exports.get(variant_key(cell)) if cell.skip is None else None
        if export is None or not export.passed or export.manifest is None or cell.shape.slug not in export.payloads:
            continue
        payload = export.payloads[cell.shape.slug]
        identity = (
            export.manifest.digest,
            tuple(tensor.blob.sha256 for tensor in payload.inputs),
            cell.device,
            cell.runtime,
            cell.providers,
            tuple(sorted((name, *sorted(options.items())) for name, options in cell.provider_options.items())),
            cell.session,
        )
        grouped.setdefault(identity, []).append(cell)
    return [
        Group(
            members[0],
            tuple(members[1:]),
            exports[variant_key(members[0])],
            exports[variant_key(members[0])].payloads[members[0].shape.slug],
            rules.agreed(members[0]).tolerance,
        )
        for members in grouped.values()
    ]


def variant_key(cell: Cell) -> str:
    """The name under which a cell's export result is found: `model/variant-slug`."""
    return f"{cell.variant.model}/{cell.variant.slug}"


@dataclass(frozen=True, slots=True)
class History:
    """The stored trials of one cell, and how many of each round's attempts an earlier start of the run has spent.

    A run that is resumed has a new budget of retries: what went wrong yesterday does not count today.
    """

    trials: tuple[TrialRecord, ...] = ()
    forgiven: Mapping[int, int] = field(default_factory=dict)

    def of_round(self, round_no: int) -> list[TrialRecord]:
        """The trials of one round in order of their attempts."""
        return sorted((trial for trial in self.trials if trial.round == round_no), key=lambda trial: trial.attempt)

    def next_attempt(self, round_no: int) -> int | None:
        """The attempt that the round still needs: None when it has a completed trial or its retries are spent."""
        tried = self.of_round(round_no)
        if any(trial.result.outcome in COMPLETED for trial in tried):
            return None
        counted = tried[self.forgiven.get(round_no, 0) :]
        cancelled = sum(trial.result.outcome is TrialOutcome.CANCELLED for trial in counted)
        if len(counted) - cancelled > RETRIES or cancelled > MOST_CANCELLED:
            return None
        return max((trial.attempt for trial in tried), default=-1) + 1

    def is_settled(self, planned: int) -> bool:
        """Whether nothing more is to be run: each round has its trial or no retries left, or two failed alike."""
        failures = [trial.result.cause for trial in self.trials if trial.result.outcome is TrialOutcome.FAILED]
        if len(failures) > 1 and len(set(failures)) == 1:
            return True
        return all(self.next_attempt(round_no) is None for round_no in range(planned))


def schedule(
    groups: Sequence[Group], history_of: Callable[[str], History], planned: int, seed: str
) -> list[PlannedTrial]:
    """The trials still to run, round after round, the cells of each round shuffled by the run's seed.

    Spreading a cell's processes over the run samples the device's slow drift, and a crash costs a round instead
    of a cell.
    """
    ordered: list[PlannedTrial] = []
    for round_no in range(planned):
        members = list(groups)
        random.Random(f"{seed}/{round_no}").shuffle(members)  # noqa: S311 - an order, not a secret
        for group in members:
            history = history_of(group.leader.name)
            attempt = None if history.is_settled(planned) else history.next_attempt(round_no)
            if attempt is not None:
                ordered.append(PlannedTrial(group, round_no, attempt))
    return ordered


def build_trial(planned: PlannedTrial, run_id: str, preset: Preset) -> Trial:
    """The message for the agent: digests, ids and figures only, never a path."""
    cell, export, payload = planned.group.leader, planned.group.export, planned.group.payload
    if export.manifest is None:
        msg = f"{cell.name} has no artifact"
        raise ValueError(msg)
    return Trial(
        id=planned.trial_id(run_id),
        run_id=run_id,
        cell_key=cell.key,
        cell_name=cell.name,
        round=planned.round,
        attempt=planned.attempt,
        artifact=export.manifest,
        inputs=payload.inputs,
        references=payload.references,
        tolerance=planned.group.tolerance,
        runtime_id=cell.runtime,
        providers=tuple(
            Provider(full_name(name), dict(cell.provider_options.get(name, {}))) for name in cell.providers
        ),
        session=SessionOptions(
            intra_op_threads=cell.session.threads,
            graph_optimization=cell.session.graph_optimization,
            no_cpu_arena=not cell.session.cpu_arena,
        ),
        protocol=preset.protocol_for(cell.session),
        deadlines_s=preset.deadlines_for(cell.session, cell.providers[0]),
        other_inputs=other_inputs(planned.group) if preset.shape_changes else (),
    )


def other_inputs(group: Group) -> tuple[NamedInputs, ...]:
    """The inputs of every other shape that the plan runs the same variant at."""
    own = group.leader.shape.slug
    payloads = group.export.payloads.items()
    return tuple(NamedInputs(slug, payload.inputs) for slug, payload in payloads if slug != own)
