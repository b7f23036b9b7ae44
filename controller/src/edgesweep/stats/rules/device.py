"""What the board's sensors say: gates that were not passed, throttling, clocks that fell, settings that changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from edgesweep_proto.evidence import DeviceTrace, Gate

from edgesweep.stats.facts import Finding, TrialFacts, Verdict, doubt

#: A clock that reads below this share of its start value, or lies below that one in the mean, has been throttled.
CLOCK_DROP = 0.90
CLOCK_MEAN = 0.98
#: Share of a core that our own sampler and agent may use beside a measurement.
WATCHING = 0.02
#: Seconds below which a share says nothing: a single look at the sensors is some percent of a trial of 50 ms.
WATCHED_S = 1.0

_POLICY = re.compile(r"policy([0-9]+)")

_TAGS = {
    "emulated": Finding(
        Verdict.INVALID, "emulated processor: times of an emulator say nothing of a board; measure on the board itself"
    ),
    "shared_host": doubt("shared host: the controller runs on the measured machine; start it on another one"),
    "denormal_inputs": doubt(
        "denormal inputs: some numbers are so small that many processors take a slow path for them; give inputs of the "
        "size that the model meets, or round what is smaller to 0"
    ),
    "clocks_uncontrolled": doubt(
        "clocks uncontrolled: they were to be fixed and could not be; give the agent the right to set them"
    ),
    "io_mode_not_honoured": doubt(
        "another I/O mode: inputs and outputs did not travel as asked; ask for session.io_mode: host"
    ),
    "page_cache_not_honoured": doubt(
        "page cache not as asked: the start found other files in memory than it was to; see cold_start_s, keep other "
        "programs from using the runtime's files, and the device from running short of memory"
    ),
    "provider_cache_not_honoured": doubt(
        "provider cache not primed: the provider kept nothing of its compiled model, or compiled it anew all the same; ask for "
        "session.provider_cache: empty"
    ),
}
_REMEDIES = {
    "busy_host": "stop it, or measure when the device is idle",
    "hot_start": "give it a fan, or raise measure.thermal_wait_s",
}
_THROTTLED = "throttled:"
_GATES = {"busy_host": "idle", "hot_start": "thermal"}
_NAMES = {
    "busy_host": "busy host: other work ran on the device",
    "hot_start": "hot start: the device had not cooled down",
}


def from_tags(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """Tags that bear on a number. Other tags are facts, not faults."""
    seen = {tag for trial in trials for tag in trial.tags}
    yield from (finding for tag, finding in _TAGS.items() if tag in seen)


def from_gates(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """A trial began on a device that was not idle or not cool."""
    for tag, name in _GATES.items():
        shut = [gate for trial in trials for gate in trial.gates if gate.name == name and not gate.passed]
        if shut or any(tag in trial.tags for trial in trials):
            read = _read(max(shut, key=_excess)) if shut else ""
            yield doubt(f"{_NAMES[tag]}{read}; {_REMEDIES[tag]}")


def _excess(gate: Gate) -> float:
    return gate.value - gate.limit if gate.value is not None and gate.limit is not None else 0.0


def _read(gate: Gate) -> str:
    """What a gate read last: `, 71.2 °C where 58 °C is the most (cpu) after 300 s`."""
    words = []
    if gate.value is not None:
        show = _celsius if gate.name == "thermal" else _percent
        limit = f" where {show(gate.limit)} is the most" if gate.limit is not None else ""
        words.append(f"{show(gate.value)}{limit}")
    if gate.note:
        words.append(f"({gate.note})")
    if gate.waited_s >= 1:
        words.append(f"after {gate.waited_s:.0f} s")
    return f", {' '.join(words)}" if words else ""


def _celsius(value: float) -> str:
    return f"{value:.4g} °C"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def from_sensors(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """Throttling, clocks that fell and settings that changed while it measured."""
    flags = {
        flag for trial in trials for reading in (trial.before, trial.after) if reading for flag in reading.throttle
    }
    flags |= {flag for trial in trials if trial.trace for flag in trial.trace.throttle}
    # What the firmware remembers of a dip that no look saw; the only sign of it on a board too small for a sampler.
    flags |= {tag.removeprefix(_THROTTLED) for trial in trials for tag in trial.tags if tag.startswith(_THROTTLED)}
    if flags:
        yield doubt(f"throttled: {', '.join(sorted(flags))}; cool the device and check its power supply")
    changes = sorted({change for trial in trials if trial.trace for change in trial.trace.changes})
    if changes:
        yield doubt(f"settings changed: {' and '.join(changes)}; keep other software from setting the clocks")
    drops = [drop for trial in trials if (drop := _clock_drop(trial)) is not None]
    means = [mean for trial in trials if (mean := _clock_mean(trial)) is not None]
    remedy = "cool the device, or fix its clocks with measure.fix_clocks"
    if drops and min(drops) < CLOCK_DROP:
        yield doubt(f"clock fell: to {min(drops):.0%} of its start value; {remedy}")
    elif means and min(means) < CLOCK_MEAN:
        yield doubt(f"clock sagged: {min(means):.1%} of its start value in the mean; {remedy}")


def from_watching(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """Our own sampler and agent used a core that the measurement may have needed."""
    shares = [
        (trial.trace.sampler_cpu_s + trial.trace.agent_cpu_s) / trial.trace.wall_s
        for trial in trials
        # Under an emulator the sampler is slow as well, which is no bug of ours.
        if trial.trace is not None and trial.trace.wall_s >= WATCHED_S and "emulated" not in trial.tags
    ]
    if shares and max(shares) > WATCHING:
        yield doubt(
            f"watched too closely: sampler and agent used {max(shares):.1%} of a core; "
            "report this as a bug of Edgesweep, with the device's facts"
        )


def _clock_drop(trial: TrialFacts) -> float | None:
    """The lowest reading over the start value, of the clocks that count; None when none is known."""
    if trial.trace is not None and trial.trace.frequency_start_hz:
        return _least(trial.trace.frequency_min_hz, _counted(trial, trial.trace))
    before, after = trial.before, trial.after
    if before is None or after is None:
        return None
    held = {name: hz for name, hz in before.frequencies_hz.items() if before.governors.get(name) == "performance"}
    return _least(after.frequencies_hz, held)


def _clock_mean(trial: TrialFacts) -> float | None:
    return _least(trial.trace.frequency_mean_hz, _counted(trial, trial.trace)) if trial.trace is not None else None


def _counted(trial: TrialFacts, trace: DeviceTrace) -> Mapping[str, float]:
    """The start values of the clocks that count, by policy: those under the worker's threads.

    A policy of the kernel is named by the first of its CPUs, and goes up to the next one's. Where it is not known on
    which CPUs the threads were, the clocks that a governor holds up: others move with the load, not with heat.
    """
    threads = trial.threads
    firsts = {int(found[1]): name for name in trace.frequency_start_hz if (found := _POLICY.fullmatch(name))}
    used = set(threads.cluster if threads and threads.pinned else ())
    under = {
        firsts[max(first for first in firsts if first <= cpu)] for cpu in used if any(first <= cpu for first in firsts)
    }
    governors = trial.before.governors if trial.before else {}
    names = under or {name for name in trace.frequency_start_hz if governors.get(name) == "performance"}
    return {name: trace.frequency_start_hz[name] for name in names}


def _least(now: Mapping[str, float], start: Mapping[str, float]) -> float | None:
    return min((now[name] / hz for name, hz in start.items() if hz > 0 and name in now), default=None)
