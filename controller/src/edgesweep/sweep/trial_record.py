"""From what an agent answers to what is kept of a trial."""

from __future__ import annotations

from edgesweep_proto.trial import TrialResult

from edgesweep.plan.scenario import SUSTAINED
from edgesweep.stats.series import look_at
from edgesweep.stats.summary import summarise
from edgesweep.store.records import TrialRecord
from edgesweep.store.samples import decode_samples
from edgesweep.sweep.work import PlannedTrial


def trial_record(planned: PlannedTrial, result: TrialResult, samples: bytes) -> TrialRecord:
    """What is kept of a trial: its result, and what its samples show."""
    latency = series = None
    told = result.samples
    if told is not None and told.measured_count:
        measured = decode_samples(samples)[told.warmup_count :]
        is_sustained = planned.group.leader.session.scenario.kind == SUSTAINED
        series = look_at(measured, told.batch, callers=told.concurrency, sustained=is_sustained)
        latency = summarise(measured[series.head :], told.batch)
    return TrialRecord(
        result.trial_id,
        planned.group.leader.name,
        planned.round,
        planned.attempt,
        result,
        latency,
        told.blob.sha256 if told else None,
        series,
    )
