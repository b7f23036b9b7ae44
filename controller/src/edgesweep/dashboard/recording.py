"""The events of a run, told again from its result document: for pictures, replays and tests of the dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgesweep_proto.codec import from_json
from edgesweep_proto.device import Reading
from edgesweep_proto.trial import Stage

from edgesweep.sweep.events import (
    CellFinished,
    DeviceState,
    ExportFinished,
    ExportStarted,
    SweepEvent,
    SweepFinished,
    SweepStarted,
    Telemetry,
    TrialFinished,
    TrialProgressed,
    TrialStarted,
)

Json = dict[str, Any]
Timed = tuple[float, SweepEvent]

_EXPORT_STAGES = frozenset({"plan", "export", "check"})


def events_of(doc: Json) -> list[Timed]:
    """The sweep's events with their moments in Unix time, in order.

    Trials, readings and outcomes have the moments that were recorded. Exports are spread evenly between the start of
    the run and its first trial, since a document holds their cost but not their moments. Rounds count from 0.
    """
    cells, run = doc["cells"], doc["run"]
    began = float(run["started"])
    trials = [trial for cell in cells for trial in cell["trials"] if trial.get("started")]
    rounds = {number: place for place, number in enumerate(sorted({trial.get("round", 0) for trial in trials}))}
    first = min((float(trial["started"]) for trial in trials), default=began + 1.0)
    ended = float(run["finished"] or max((_end_of(trial) for trial in trials), default=first))
    planned = {device["name"]: 0 for device in doc["devices"]}
    for cell in cells:
        planned[cell["device"]] = planned.get(cell["device"], 0) + 1
    colocated = tuple(device["name"] for device in doc["devices"] if device["colocated"])
    variants = {f"{cell['model']}/{_variant(cell)}": cell for cell in cells if cell["cause"] != "excluded"}

    events: list[Timed] = [
        (began, SweepStarted(run["id"], run["name"], planned, len(variants), colocated, trials=max(1, len(rounds))))
    ]
    events += _exports(variants, began, first)
    for name in planned:
        own = [cell for cell in cells if cell["device"] == name]
        events += _device(name, own, [_ending_of(cell, cells, first) for cell in own if cell["outcome"]], began, rounds)
    endings = [(moment, cell) for cell in cells if (moment := _ending_of(cell, cells, first)) and cell["outcome"]]
    for place, (moment, cell) in enumerate(sorted(endings, key=lambda ending: ending[0]), start=1):
        events.append((moment, _cell_end(cell, place, len(cells))))
    outcomes: dict[str, int] = {}
    for cell in cells:
        if cell["outcome"]:
            outcomes[cell["outcome"]] = outcomes.get(cell["outcome"], 0) + 1
    events.append((ended, SweepFinished(run["id"], outcomes, ended - began, run.get("state") == "complete")))
    return sorted(events, key=lambda event: event[0])


def until_share(events: Iterable[Timed], share: float) -> list[Timed]:
    """The events up to where `share` (0 to 1) of the trials have ended and the next one is about to."""
    known = list(events)
    finishes = [place for place, (_, event) in enumerate(known) if isinstance(event, TrialFinished)]
    if not finishes or share >= 1:
        return known
    cut = finishes[min(len(finishes) - 1, int(share * len(finishes)))]
    return known[:cut]


def _variant(cell: Json) -> str:
    return f"{cell['exporter']}-opset{cell['opset']}-{cell['axes']}-{cell['precision']}"


def _end_of(trial: Json) -> float:
    return float(trial.get("finished") or trial["started"])


def _exports(variants: dict[str, Json], began: float, first: float) -> Iterable[Timed]:
    step = (first - began) / (len(variants) + 1)
    for place, (name, cell) in enumerate(variants.items(), start=1):
        export = cell.get("export") or {}
        moment = began + place * step
        yield moment - step, ExportStarted(name)
        cause = cell["cause"] if cell["outcome"] == "failed" and cell["stage"] in _EXPORT_STAGES else ""
        yield (
            moment,
            ExportFinished(
                name,
                export.get("cause", cause) or "",
                export.get("message", "") or "",
                float(export.get("seconds") or 0.0),
                bool(export.get("cached")),
                place,
                len(variants),
            ),
        )


def _device(
    name: str, cells: list[Json], endings: list[float], began: float, rounds: dict[int, int]
) -> Iterable[Timed]:
    trials = sorted(
        ((trial, cell) for cell in cells for trial in cell["trials"] if trial.get("started")),
        key=lambda pair: float(pair[0]["started"]),
    )
    yield began, DeviceState(name, "waiting", len(cells), "exports come first on this host")
    for trial, cell in trials:
        started, finished = float(trial["started"]), _end_of(trial)
        environment = trial.get("environment") or {}
        if environment.get("before"):
            yield started, Telemetry(name, from_json(Reading, environment["before"]))
        ended = sum(ending < started for ending in endings)
        yield started, DeviceState(name, "measuring", len(cells) - ended)
        yield (
            started,
            TrialStarted(name, cell["name"], trial["id"], rounds[trial.get("round", 0)], trial.get("attempt", 0)),
        )
        yield started, TrialProgressed(name, cell["name"], Stage.LOAD)
        wall = (environment.get("accounting") or {}).get("wall_s")
        if wall and wall < finished - started:
            yield finished - wall, TrialProgressed(name, cell["name"], Stage.MEASURE)
        median = (trial.get("latency_s") or {}).get("median")
        yield finished, TrialFinished(name, cell["name"], trial["outcome"] or "", trial.get("cause") or "", median)
        if environment.get("after"):
            yield finished, Telemetry(name, from_json(Reading, environment["after"]))
    if trials:
        yield _end_of(trials[-1][0]) + 2e-4, DeviceState(name, "done", len(cells) - len(endings))


def _ending_of(cell: Json, cells: list[Json], first: float) -> float:
    source = cell
    if cell.get("same_as"):
        source = next((other for other in cells if other["name"] == cell["same_as"]), cell)
    return max((_end_of(trial) for trial in source["trials"] if trial.get("started")), default=first) + 1e-4


def _cell_end(cell: Json, done: int, total: int) -> CellFinished:
    latency = cell.get("latency_s") or {}
    return CellFinished(
        cell["device"],
        cell["name"],
        cell["outcome"],
        cell["stage"] or "",
        cell["cause"] or "",
        cell["message"] or "",
        cell["remedy"] or "",
        cell["verdict"],
        latency.get("median"),
        done,
        total,
        latency.get("mad"),
        latency.get("n"),
    )
