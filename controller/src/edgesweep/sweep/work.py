"""The work of one device: cells that share a measurement, their trials in rounds, and what is still to do."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgesweep_proto.trial import Provider, SessionOptions, Trial, TrialOutcome

from edgesweep.export.result import ExportResult, Payload
from edgesweep.plan.cell import Cell
from edgesweep.plan.preset import Preset
from edgesweep.plan.providers import full_name
from edgesweep.store.records import TrialRecord

#: Outcomes that say something about the model; the others are tried again.
COMPLETED = frozenset({TrialOutcome.PASS, TrialOutcome.FALLBACK, TrialOutcome.FAILED})

#: A transient end is tried this many times more before the cell is lost (design.md §8).
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Group:
    """Cells of one device that have the same artifact and are asked the same: measured once, through `leader`."""

    leader: Cell
    followers: tuple[Cell, ...]
    export: ExportResult
    payload: Payload

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


def group_cells(cells: Iterable[Cell], exports: Mapping[str, ExportResult]) -> list[Group]:
    """Groups the measurable `cells` by what would be measured; `exports` is keyed by model and variant slug.

    The first cell in planned order leads; cells whose variant did not pass are left out.
    """
    grouped: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        export = exports.get(variant_key(cell))
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
        )
        for members in grouped.values()
    ]


def variant_key(cell: Cell) -> str:
    """The name under which a cell's export result is found: `model/variant-slug`."""
    return f"{cell.variant.model}/{cell.variant.slug}"


def trials_by_round(trials: Sequence[TrialRecord]) -> dict[int, list[TrialRecord]]:
    """The trials of one cell by round, in order of their attempts."""
    rounds: dict[int, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda item: (item.round, item.attempt)):
        rounds.setdefault(trial.round, []).append(trial)
    return rounds


def next_attempt(trials: Sequence[TrialRecord], round_no: int) -> int | None:
    """The attempt that the round still needs: None when it has a completed trial or its retries are spent."""
    tried = trials_by_round(trials).get(round_no, [])
    if any(trial.result.outcome in COMPLETED for trial in tried):
        return None
    attempt = max((trial.attempt for trial in tried), default=-1) + 1
    return attempt if attempt <= RETRIES else None


def is_settled(trials: Sequence[TrialRecord], planned: int) -> bool:
    """Whether nothing more is to be run: all rounds have their trial, failed twice alike, or are out of retries."""
    failures = [trial.result.cause for trial in trials if trial.result.outcome is TrialOutcome.FAILED]
    if any(failures.count(cause) > 1 for cause in failures) and len(set(failures)) == 1:
        return True
    return all(next_attempt(trials, round_no) is None for round_no in range(planned))


def schedule(
    groups: Sequence[Group], trials: Mapping[str, Sequence[TrialRecord]], planned: int, seed: str
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
            done = trials.get(group.leader.name, ())
            if is_settled(done, planned):
                continue
            attempt = next_attempt(done, round_no)
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
        tolerance=export.tolerance,
        runtime_id=cell.runtime,
        providers=tuple(
            Provider(full_name(name), dict(cell.provider_options.get(name, {}))) for name in cell.providers
        ),
        session=SessionOptions(
            intra_op_threads=cell.session.threads, graph_optimization=cell.session.graph_optimization
        ),
        protocol=preset.protocol_for(cell.session),
        deadlines_s=dict(preset.deadlines_s),
    )
