"""The part of a cell's story that happened on its device: where it was to run, what was foreseen, how it ended there."""

from __future__ import annotations

from collections.abc import Sequence

from edgesweep.compat.prediction import PredictionState
from edgesweep.report import units
from edgesweep.report.exports.step import Mark, Step
from edgesweep.store.records import CellEnd, CellRecord, DeviceRecord, Outcome

_OFF_DEVICE = frozenset({"plan", "export", "check"})
_MOST_WORDS = 6


def cell_steps(record: CellRecord, devices: Sequence[DeviceRecord]) -> list[Step]:
    """What to tell of a cell beyond its export."""
    return [*_foreseen(record.end), _on_device(record, devices)]


def _foreseen(end: CellEnd | None) -> list[Step]:
    """The prediction, where one was made."""
    if end is None or end.prediction is None:
        return []
    told = end.prediction
    became = {
        PredictionState.PREDICTED: "not tried",
        PredictionState.PROVEN: "it came true",
        PredictionState.REFUTED: "it did not come true",
    }[told.state]
    by = f" on {told.by}" if told.by else ""
    mark = Mark.OPEN if told.state is PredictionState.PREDICTED else Mark.OK
    return [Step("prediction", mark, (f"should fail to load ({told.cause}): {told.message}", f"{became}{by}"))]


def _on_device(record: CellRecord, devices: Sequence[DeviceRecord]) -> Step:
    cell, end = record.cell, record.end
    where = f"{cell.device}, onnxruntime {cell.runtime}, {', then '.join(cell.providers)}, at {cell.shape.slug}"
    device = next((device for device in devices if device.name == cell.device), None)
    if device is not None and device.device is not None and device.device.board:
        where += f" ({device.device.board})"
    if end is None:
        return Step("on the device", Mark.OPEN, (where, "it has no outcome yet"))
    if end.outcome is Outcome.SKIPPED or str(end.stage) in _OFF_DEVICE:
        return Step("on the device", Mark.OPEN, (where, "it never came to the device"))
    trials = [trial.result for trial in record.trials]
    lines = [where]
    if trials:
        lines.append(f"{units.plural(len(trials), 'trial')}: {', '.join(trial.outcome.value for trial in trials)}")
    if end.outcome is Outcome.PASS:
        verdict = f", {end.verdict.value}" if end.verdict else ""
        latency = units.latency(end.latency.median, end.latency.mad, end.latency.n) if end.latency else "not measured"
        same = f"; measured once, as {end.same_as}" if end.same_as else ""
        return Step("on the device", Mark.OK, (*lines, f"{latency}{verdict}{same}", *end.reasons))
    lines.append(f"ended at {end.stage}: {end.message}")
    words = [line.strip() for line in end.detail.splitlines() if line.strip()]
    lines += [f"the runtime's own words: {line}" for line in words[:_MOST_WORDS]]
    return Step("on the device", Mark.BAD, tuple(lines))
