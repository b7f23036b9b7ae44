"""Under which conditions each cell was measured, as a table for people: one line per measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgesweep.report import units
from edgesweep.report.outcomes import Cell, Doc


@dataclass(frozen=True, slots=True)
class Conditions:
    """A measured cell's line; all texts ready to print."""

    name: str
    texts: tuple[str, ...]


#: Lines that a page shows; a larger run is read from its data.
MOST_LINES = 200

#: Heading, unit and meaning of each column.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("course", "trials", "how the times went, trial by trial"),
    ("interval", "±%", "half the width of the 95 % interval of the median"),
    ("waited", "%", "time that the worker waited for a CPU, of the worst trial"),
    ("other work", "cores", "what everything else used meanwhile, of the worst trial"),
    ("gates", "", "what a trial waited for before it began, and whether that came"),
    ("hottest", "°C", "while it measured"),
    ("clock", "%", "lowest reading over the start value"),
    ("threads", "", "CPUs that they were found on"),
    ("call", "", "how the session was called"),
)


def conditions_of(cells: list[Cell]) -> list[Conditions]:
    """The lines of the cells that were measured by themselves and of whose conditions anything is known."""
    own = [cell for cell in cells if cell.get("latency_s") and not cell.get("same_as")]
    lines = [Conditions(cell["name"], tuple(_texts(cell))) for cell in own]
    return [line for line in lines if set(line.texts) != {units.NOTHING}]


def _texts(cell: Cell) -> Iterator[str]:
    environment = cell.get("environment") or {}
    accounting, trace = environment.get("accounting") or {}, environment.get("trace") or {}
    counts = (cell.get("course") or {}).get("trials") or {}
    yield ", ".join(f"{count} {word}" for word, count in counts.items() if count) or units.NOTHING
    yield _percent((cell["latency_s"] or {}).get("half_width"))
    yield _percent(accounting.get("runqueue_share"))
    foreign = accounting.get("foreign_cores")
    yield units.NOTHING if foreign is None else f"{foreign:.2f}"
    yield ", ".join(map(_gate, environment.get("gates") or [])) or units.NOTHING
    temperatures = (trace.get("temperature_max_c") or {}).values()
    yield f"{max(temperatures):.0f}" if temperatures else units.NOTHING
    yield _percent(_lowest_clock(trace))
    trials = [trial for trial in cell.get("trials") or [] if trial.get("threads")]
    yield _threads(trials[0]["threads"]) if trials else units.NOTHING
    calls = {str((trial.get("session") or {}).get("call") or "") for trial in cell.get("trials") or []} - {""}
    yield ", ".join(sorted(calls)) or units.NOTHING


def _percent(share: float | None) -> str:
    return units.NOTHING if share is None else units.number(100 * share)


def _gate(gate: dict[str, Any]) -> str:
    """`idle`, `thermal after 45 s`, `not idle after 60 s`."""
    waited = f" after {gate['waited_s']:.0f} s" if gate["waited_s"] >= 1 else ""
    return f"{'' if gate['passed'] else 'not '}{gate['name']}{waited}"


def _lowest_clock(trace: Doc) -> float | None:
    start, lowest = trace.get("frequency_start_hz") or {}, trace.get("frequency_min_hz") or {}
    return min((lowest[name] / hz for name, hz in start.items() if hz and name in lowest), default=None)


def _threads(threads: Doc) -> str:
    """`CPU 2`, `CPUs 0, 1`, or `not pinned`."""
    if not threads["pinned"]:
        return "not pinned"
    cpus = [*map(str, threads["main_cpus"]), *threads["pool_cpus"]]
    return f"CPU{'s' * (len(cpus) > 1)} {', '.join(cpus)}"
