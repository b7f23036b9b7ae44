"""From trials to the one outcome of a cell: pure rules of design.md §8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgesweep_proto.trial import Protocol, Stage, TrialOutcome

from edgesweep.errors import CATALOGUE, remedy_for
from edgesweep.export.result import ExportResult
from edgesweep.failures.advice import advice_on
from edgesweep.plan.cell import Cell
from edgesweep.stats import placement
from edgesweep.stats.agreement import apart_between_trials, between_trials
from edgesweep.stats.facts import TrialFacts
from edgesweep.stats.memory import over_trials
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.stats.series import Series
from edgesweep.stats.summary import LatencySummary, combine, half_width
from edgesweep.stats.verdict import judge
from edgesweep.store.records import CellEnd, Outcome, TrialRecord, Verdict
from edgesweep.sweep.work import COMPLETED, Group


def end_of_skip(cell: Cell) -> CellEnd:
    """The end of a cell that the plan does not run."""
    if cell.skip is None:
        msg = f"{cell.name} is not skipped"
        raise ValueError(msg)
    return CellEnd(
        cell.name, Outcome.SKIPPED, Stage.PLAN.value, cell.skip.cause, cell.skip.message, remedy_for(cell.skip.cause)
    )


def end_of_failed_export(cell: Cell, export: ExportResult, planned: Iterable[Cell]) -> CellEnd:
    """The end of a cell whose variant did not pass. `see` names the honest cell, if the plan holds it.

    Trouble of the host says nothing about the model: such a cell is lost, and a resume exports it again.
    """
    return CellEnd(
        cell.name,
        Outcome.FAILED if CATALOGUE[export.cause].stable else Outcome.LOST,
        export.stage.value,
        export.cause,
        export.message,
        remedy_for(export.cause),
        detail=export.detail,
        see=_honest_cell(cell, export, planned) if export.cause == "opset_not_honoured" else None,
    )


def end_of_refused_shape(cell: Cell) -> CellEnd:
    """The end of a cell whose shape torch itself cannot run: there is nothing to compare a device with."""
    sentence = f"torch cannot run {cell.variant.model} at {cell.shape.slug}"
    return CellEnd(cell.name, Outcome.FAILED, Stage.PLAN.value, "shape_refused", sentence, remedy_for("shape_refused"))


def _honest_cell(cell: Cell, export: ExportResult, planned: Iterable[Cell]) -> str | None:
    if export.produced is None:
        return None
    honest = replace(cell, variant=replace(cell.variant, opset=export.produced.opset)).name
    return honest if any(other.name == honest for other in planned) else None


def end_of_lost(cell_name: str, stage: Stage, cause: str, message: str) -> CellEnd:
    """The end of a cell that lab trouble kept from being measured; says nothing about the model."""
    return CellEnd(cell_name, Outcome.LOST, stage.value, cause, message, remedy_for(cause))


def end_of_trials(
    group: Group,
    trials: Sequence[TrialRecord],
    *,
    planned: int,
    protocol: Protocol,
    fallback: FallbackPolicy,
    host_tags: Sequence[str],
) -> CellEnd:
    """The leader's end from its trials: first stable failure, else fallback, else pass, else lost.

    Args:
        group: the cells that share the measurement.
        trials: every stored trial of the leader, retries included.
        planned: completed trials that the preset asks for.
        protocol: what was asked of each.
        fallback: what the plan says of nodes outside the first provider.
        host_tags: what is known about the device as a place to measure, e.g. `shared_host`.
    """
    name = group.leader.name
    ordered = sorted(trials, key=lambda trial: (trial.round, trial.attempt))
    completed = [trial for trial in ordered if trial.result.outcome in COMPLETED]
    if not completed:
        last = ordered[-1].result
        cause = last.cause or "interrupted"
        return end_of_lost(name, last.stage, cause, last.message)

    note = group.payload.reference_note if not group.payload.references else ""
    if note:
        host_tags = (*host_tags, "unverified")
    if group.payload.denormals:
        host_tags = (*host_tags, "denormal_inputs")
    tags = sorted({tag for trial in completed for tag in trial.result.tags} | set(host_tags))
    answers = [trial.result.outputs for trial in completed if trial.result.outcome is not TrialOutcome.FAILED]
    tags += ["outputs_differ"] if between_trials(answers) else []
    failures = [trial for trial in completed if trial.result.outcome is TrialOutcome.FAILED]
    if failures:
        if len(failures) < len(completed):
            tags.append(f"flaky {len(failures)}/{len(completed)}")
        return _end_of_result(name, Outcome.FAILED, failures[0], tags)
    if not group.payload.references:
        # Where a reference has found every answer right, how far two of them lie apart is a tag and no more.
        output = apart_between_trials(answers, group.tolerance)
        if output:
            return _end_of_chance(name, output, tags)
    fallen = [trial for trial in completed if trial.result.outcome is TrialOutcome.FALLBACK]
    if fallen:
        return _end_of_result(name, Outcome.FALLBACK, fallen[0], tags)

    latency = combine([trial.latency for trial in completed if trial.latency is not None])
    facts = [facts_of(trial, host_tags, protocol, group.leader.session.threads) for trial in completed]
    # Where nothing was timed there is no number to trust or to doubt.
    verdict, reasons = (None, ()) if protocol.untimed else judge(facts, planned=planned)
    tags += series_tags(completed)
    if note:
        reasons = (*reasons, f"unverified: {note}")
    end = CellEnd(
        name,
        Outcome.PASS,
        Stage.PLACEMENT.value,
        verdict=None if verdict is None else Verdict(verdict),
        reasons=tuple(reasons),
        tags=tuple(tags),
        latency=latency,
        items_per_inference=group.payload.items,
    )
    return _apply_fallback_policy(end, completed, fallback)


def _end_of_result(name: str, outcome: Outcome, trial: TrialRecord, tags: Sequence[str]) -> CellEnd:
    result = trial.result
    return CellEnd(
        name,
        outcome,
        result.stage.value,
        result.cause,
        result.message,
        advice_on(result.cause, result.diagnosis),
        detail=result.evidence,
        tags=tuple(tags),
    )


def _end_of_chance(name: str, output: str, tags: Sequence[str]) -> CellEnd:
    """The end of a cell whose trials gave answers that are too far apart for one of them to be right."""
    sentence = f"{output}: two trials with the same inputs gave answers that lie further apart than the tolerance"
    cause = "nondeterministic_output"
    return CellEnd(name, Outcome.FAILED, Stage.VERIFY.value, cause, sentence, remedy_for(cause), tags=tuple(tags))


def _apply_fallback_policy(end: CellEnd, trials: Sequence[TrialRecord], policy: FallbackPolicy) -> CellEnd:
    """Some nodes outside the chain's first provider: a tag, a reason or an outcome, as the plan says."""
    session = trials[0].result.session
    seen = [trial.result.placement for trial in trials if trial.result.placement is not None]
    if not seen or session is None or not session.providers:
        return end
    first = session.providers[0]
    # Where the trials do not agree, the one with most of its nodes elsewhere counts.
    found = placement.over_trials(sorted(seen, key=lambda one: -placement.elsewhere(one, first)))
    if found is None:
        return end
    outside = placement.elsewhere(found, first)
    if not outside:
        return end
    total = sum(share.nodes for share in found.shares)
    sentence = f"{outside} of {total} nodes ran outside {first}"
    shortfall = placement.against(found, first, policy)
    if policy.word == "fail" or shortfall.missed:
        words = "; ".join((placement.in_words(found, first), *shortfall.missed))
        return replace(
            end,
            outcome=Outcome.FALLBACK,
            cause="partial_placement",
            message=words if shortfall.missed else sentence,
            remedy=remedy_for("partial_placement"),
        )
    reasons = [*end.reasons, *shortfall.unknown]
    if policy.word == "warn" and not policy.limits:
        # Limits that are met say that the plan knows of it.
        reasons.append(sentence)
    return replace(end, tags=tuple(dict.fromkeys((*end.tags, "partial"))), reasons=tuple(reasons))


def facts_of(trial: TrialRecord, host_tags: Sequence[str], protocol: Protocol, threads: int) -> TrialFacts:
    """What the verdict needs to know of one trial."""
    result, latency, samples = trial.result, trial.latency, trial.result.samples
    series = trial.series or Series()
    return TrialFacts(
        n=latency.n + series.head if latency else 0,
        accounting=result.accounting,
        stop_reason=samples.stop_reason if samples else "",
        before=result.before,
        after=result.after,
        tags=(*result.tags, *host_tags),
        median_s=median_of(latency),
        batch=samples.batch if samples else 1,
        half_width=half_width(latency) if latency else None,
        late=samples.late if samples else 0,
        protocol=protocol,
        threads_asked=threads,
        session=result.session,
        threads=result.threads,
        gates=result.gates,
        trace=result.trace,
        harness_floor_s=result.harness_floor_s,
        series=series,
        engine_hash=result.compile.engine_hash if result.compile else "",
    )


def series_tags(trials: Sequence[TrialRecord]) -> list[str]:
    """Tags for what was left out of the figures: a head that was still warm-up, sizes that do not repeat."""
    sizes: dict[str, list[int]] = {}
    for trial in trials:
        for phase in trial.result.memory:
            sizes.setdefault(phase.phase, []).append(phase.size_bytes)
    found = [over_trials(listed) for listed in sizes.values()]
    varies = any(figure is not None and figure.median is None for figure in found)
    heads = any(trial.series is not None and trial.series.head for trial in trials)
    return ["warmup_left_out"] * heads + ["memory_varies"] * varies


def follow(end: CellEnd, follower: Cell) -> CellEnd:
    """The end of a cell with the same artifact as the measured one: the same figures, said to be shared."""
    return replace(end, cell_name=follower.name, same_as=end.cell_name)


def median_of(latency: LatencySummary | None) -> float | None:
    """The median in seconds, where there is one."""
    return latency.median if latency else None
