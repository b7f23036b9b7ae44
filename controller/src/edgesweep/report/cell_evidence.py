"""What went on around the measurement of one cell, in the result document: over its trials, or of one of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from edgesweep_proto.evidence import DeviceTrace, Gate
from edgesweep_proto.trial import Accounting

from edgesweep.report.plain_data import Json, median, plain
from edgesweep.stats.rules.kernel import foreign_cores, pressure_share, runqueue_share, steal_share
from edgesweep.stats.series import Course
from edgesweep.store.records import TrialRecord


def environment(trials: Sequence[TrialRecord], tags: Iterable[str]) -> Json | None:
    """`environment`: sensors before the first and after the last trial, and what was watched and counted during all."""
    if not trials:
        return None
    results = [trial.result for trial in trials]
    readings = [reading for result in results for reading in (result.before, result.after) if reading]
    traces = [result.trace for result in results if result.trace]
    flags = {flag for reading in readings for flag in reading.throttle} | {
        flag for part in traces for flag in part.throttle
    }
    return {
        "before": plain(next((result.before for result in results if result.before), None)),
        "after": plain(next((result.after for result in reversed(results) if result.after), None)),
        "throttle": sorted(flags),
        "gates": gates([gate for result in results for gate in result.gates]),
        "trace": trace(traces),
        "accounting": accounting([result.accounting for result in results if result.accounting]),
        "boot_ids": list(dict.fromkeys(result.boot_id for result in results if result.boot_id)),
        "tags": list(tags),
    }


def gates(seen: Sequence[Gate]) -> list[Json]:
    """Each gate once: passed when every trial passed it, with the longest wait and what the worst trial read last."""
    found = []
    for name in dict.fromkeys(gate.name for gate in seen):
        alike = [gate for gate in seen if gate.name == name]
        worst = max(alike, key=lambda gate: (not gate.passed, gate.waited_s))
        found.append({**plain(worst), "passed": all(gate.passed for gate in alike)})
    return found


def trace(traces: Sequence[DeviceTrace]) -> Json | None:
    """What the sampler saw over all trials: lowest, highest and mean readings; `watching_share` of a core is our own."""
    if not traces:
        return None
    watching = [(part.sampler_cpu_s + part.agent_cpu_s) / part.wall_s for part in traces if part.wall_s > 0]
    return {
        "readings": sum(part.readings for part in traces),
        "interval_s": max(part.interval_s for part in traces),
        "frequency_start_hz": _by_name([part.frequency_start_hz for part in traces], statistics.fmean),
        "frequency_min_hz": _by_name([part.frequency_min_hz for part in traces], min),
        "frequency_mean_hz": _by_name([part.frequency_mean_hz for part in traces], statistics.fmean),
        "temperature_start_c": _by_name([part.temperature_start_c for part in traces], min),
        "temperature_max_c": _by_name([part.temperature_max_c for part in traces], max),
        "changes": sorted({change for part in traces for change in part.changes}),
        "sampler_cpus": sorted({part.sampler_cpu for part in traces if part.sampler_cpu is not None}),
        "watching_share": max(watching, default=None),
    }


def _by_name(parts: Sequence[Mapping[str, float]], join: Callable[[list[float]], float]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: join([part[name] for part in parts if name in part]) for name in names}


def accounting(parts: Sequence[Accounting]) -> Json | None:
    """The kernel's account of the measured time: sums, and the worst trial's shares of the wall time."""
    if not parts:
        return None
    waits = [part.runqueue_wait_s for part in parts if part.runqueue_wait_s is not None]
    swapped = [part.swapped_in_pages for part in parts if part.swapped_in_pages is not None]
    worst = {
        name: max((share for part in parts if (share := share_of(part)) is not None), default=None)
        for name, share_of in (
            ("runqueue_share", runqueue_share),
            ("foreign_cores", foreign_cores),
            ("steal_share", steal_share),
            ("pressure_share", pressure_share),
        )
    }
    return {
        "wall_s": math.fsum(part.wall_s for part in parts),
        "cpu_s": math.fsum(part.cpu_s for part in parts),
        "runqueue_wait_s": math.fsum(waits) if waits else None,
        **worst,
        "involuntary_switches": sum(part.involuntary_switches for part in parts),
        "voluntary_switches": sum(part.voluntary_switches for part in parts),
        "major_faults": sum(part.major_faults for part in parts),
        "minor_faults": sum(part.minor_faults for part in parts),
        "swapped_in_pages": sum(swapped) if swapped else None,
    }


def course(trials: Sequence[TrialRecord]) -> Json | None:
    """`course`: how the times went, trial by trial; `change` and `modes` are those of the most conspicuous trial."""
    series = [trial.series for trial in trials if trial.series is not None]
    if not series:
        return None
    words = [one.course for one in series]
    changes = [one.change for one in series if one.change is not None]
    steps = [one.clock_step_s for one in series if one.clock_step_s is not None]
    split = [one.modes for one in series if one.modes]
    return {
        "trials": {word.value: words.count(word) for word in Course},
        "left_out": sum(one.head for one in series),
        "change": max(changes, key=abs, default=None),
        "modes": plain(max(split, key=lambda modes: min(mode.share for mode in modes), default=())),
        "clock_step_s": max(steps, default=None),
    }


def sustained(trials: Sequence[TrialRecord]) -> Json | None:
    """`sustained`: the median of each minute, and the last over the first, as medians over the trials."""
    found = [trial.series.sustained for trial in trials if trial.series is not None and trial.series.sustained]
    if not found:
        return None
    minutes = min(len(one.minutes_s) for one in found)
    return {
        "minutes_s": [statistics.median(one.minutes_s[minute] for one in found) for minute in range(minutes)],
        "ratio": statistics.median(one.ratio for one in found),
    }


def energy(trials: Sequence[TrialRecord]) -> Json | None:
    """`energy`: medians over the trials of one source; sources are never mixed, so the first one's are taken."""
    found = [trial.result.energy for trial in trials if trial.result.energy is not None]
    if not found:
        return None
    alike = [one for one in found if (one.source, one.rails) == (found[0].source, found[0].rails)]
    return {
        "source": found[0].source,
        "rails": list(found[0].rails),
        "joules_per_inference": median([j for one in alike if (j := one.joules_per_inference) is not None]),
        "joules": median([one.joules for one in alike]),
        "idle_w": median([watts for one in alike if (watts := one.idle_w) is not None]),
        "window_s": median([one.window_s for one in alike]),
        "interval_s": max(one.interval_s for one in alike),
    }


def harness_floor(trials: Sequence[TrialRecord]) -> float | None:
    """`harness_floor_s`: the null model's median on the device, over the trials."""
    return median([floor for trial in trials if (floor := trial.result.harness_floor_s) is not None])
