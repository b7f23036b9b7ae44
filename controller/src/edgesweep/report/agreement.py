"""Whether the cells that ran one artifact on the same inputs gave the same outputs, in the result document."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgesweep_proto.execution import OutputSummary
from edgesweep_proto.trial import TrialOutcome

from edgesweep.plan.tolerances import VerifyRules
from edgesweep.report.plain_data import Json, plain
from edgesweep.stats.agreement import Agreement, Place, agreements, between_trials
from edgesweep.store.records import CellRecord, Outcome, TrialRecord

#: Carried by a cell whose outputs lie too far from those of the cell that it is held against.
DISAGREES = "disagrees"


def outputs(trials: Sequence[TrialRecord]) -> list[Json]:
    """`outputs`: each output as the first trial that told of it found it, and how much it moved.

    `run_difference` is the largest one within a trial, `trial_difference` that between trials; null where nothing was compared
    or nothing kept shows it.
    """
    told = [trial.result.outputs for trial in trials if trial.result.outputs]
    if not told:
        return []
    moved = between_trials(told)
    found = []
    for index, output in enumerate(told[0]):
        within = [
            other[index].run_difference
            for other in told
            if index < len(other) and other[index].run_difference is not None
        ]
        between = moved.get(output.name)
        same = 0.0 if len(told) > 1 else None
        found.append(
            {
                "name": output.name,
                "type": output.type,
                "shape": list(output.shape),
                "sha256": output.sha256,
                "max_absolute": plain(output.max_absolute),
                "nans": output.nans,
                "run_difference": plain(max(filter(None, within), default=0.0)) if within else None,
                "trial_difference": plain(between.largest) if between else same,
            }
        )
    return found


class AgreementOfRun:
    """The agreement of all cells of a run.

    Args:
        records: the cells in planned order.
        rules: what outputs are held to, and with it how far two cells may lie apart.
    """

    def __init__(self, records: Sequence[CellRecord], rules: VerifyRules) -> None:
        self._by_cell: dict[str, Json] = {}
        self.groups: list[Json] = []
        variants: dict[tuple[str, ...], list[str]] = {}
        members: dict[tuple[str, ...], list[CellRecord]] = {}
        for record in records:
            key = _key(record)
            if key is None:
                continue
            names = variants.setdefault(key, [])
            if record.cell.variant.name not in names:
                names.append(record.cell.variant.name)
            if record.end is not None and not record.end.same_as and _answer(record):
                members.setdefault(key, []).append(record)
        for key, found in members.items():
            if len(found) > 1:
                self._add(found, variants[key], rules)

    def of(self, record: CellRecord) -> Json | None:
        """`agreement` of a cell; null where there is nothing to hold it against."""
        measured_as = record.end.same_as if record.end and record.end.same_as else record.cell.name
        return self._by_cell.get(measured_as)

    def tags(self, record: CellRecord) -> list[str]:
        """The tag of a cell that disagrees."""
        found = self.of(record)
        return [DISAGREES] if found is not None and not found["agrees"] else []

    def _add(self, members: Sequence[CellRecord], variants: Sequence[str], rules: VerifyRules) -> None:
        places = [
            Place(record.cell.name, _answer(record), _error(record), rules.agreed(record.cell).across_devices)
            for record in members
        ]
        found = agreements(places)
        for place, agreement in zip(places, found, strict=True):
            self._by_cell[place.name] = _agreement(agreement)
        held = [(place, agreement) for place, agreement in zip(places, found, strict=True) if agreement.against]
        worst, figures = max(held, key=lambda item: (not item[1].agrees, item[1].relative))
        first = members[0]
        self.groups.append(
            {
                "model": first.cell.variant.model,
                "variants": list(variants),
                "digest": first.export.produced.digest if first.export and first.export.produced else "",
                "shape": first.cell.shape.slug,
                "cells": len(members),
                "reference": figures.against,
                "agrees": all(agreement.agrees for agreement in found),
                "bitwise": all(agreement.same_bits for agreement in found),
                "worst": {"cell": worst.name, **_agreement(figures)},
            }
        )


def _key(record: CellRecord) -> tuple[str, ...] | None:
    """What two cells share that ought to give the same outputs: the artifact, and every array that it is fed with."""
    export = record.export
    payload = export.payloads.get(record.cell.shape.slug) if export else None
    if export is None or export.produced is None or payload is None:
        return None
    return (export.produced.digest, *(tensor.blob.sha256 for tensor in payload.inputs))


def _answer(record: CellRecord) -> tuple[OutputSummary, ...]:
    """The outputs of a cell that ran; none of one that failed, since what is wrong by itself is told by its cause."""
    if record.end is None or record.end.outcome not in {Outcome.PASS, Outcome.FALLBACK}:
        return ()
    ran = (
        trial.result for trial in record.trials if trial.result.outcome in {TrialOutcome.PASS, TrialOutcome.FALLBACK}
    )
    return next((result.outputs for result in ran if result.outputs), ())


def _error(record: CellRecord) -> float | None:
    """The largest error against the reference over the trials."""
    errors = [trial.result.numerics.max_absolute_error for trial in record.trials if trial.result.numerics is not None]
    return max(errors, default=None)


def _agreement(found: Agreement) -> Json:
    return {
        "with": found.against,
        "output": found.output,
        "max_difference": plain(found.largest),
        "relative": None if math.isinf(found.relative) else found.relative,
        "limit": found.limit,
        "agrees": found.agrees,
        "bitwise": found.same_bits,
    }
