"""Looks at the board while a trial measures: a process of its own, started as a plain file with `-I -S`.

It must cost next to nothing, so it knows no sensor: the agent tells it which files to read (`sampled.py`), they stay open,
and what they say is put together as it comes. On its standard input it gets one line of JSON and answers `ready`; at
`begin` it starts to look, at `end` it answers with one line of JSON and is done. Whenever that pipe closes, as it does
when the agent dies, it ends.

The job: `interval_s`, `cpu` (the core to run on, or null), and lists of
`numbers` [kind, name, path, scale], kind being frequency or temperature;
`watched` [what, path]: texts that should stay as they are; `caps` [what, path, scale]: the same for frequencies;
`bits` [path, reasons, shift]: reasons in force, and `shift` bits higher those since boot; `counters` [reason, path]: a reason
whenever it grows; `power` [rail, volts path, amperes path, scale]; `energy` [rail, path, scale, range];
`source`: the name of the energy's source; `command`: a program that tells power, asked every `command_every` looks;
`gpus`: the folder of `edgesweep_agent` and the library, or null.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_READ_BYTES = 64
_STRETCHED = 1.25
_MS = 1000.0

#: Share of a core that it may take.
_MOST_OF_A_CORE = 0.003

#: Changes that are told one by one; what flaps all the time is told once more, as a count.
_MAX_CHANGES = 20


class Sampling:
    """What was seen so far. Each `look` is one reading of every file."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._files: dict[str, int] = {}
        self._looks = 0
        self._started = self._last = 0.0
        #: First, lowest, highest, sum and count by kind and name.
        self._numbers: dict[tuple[str, str], list[float]] = {}
        self._watched: dict[str, str] = {}
        self._changes: list[str] = []
        self._changed = 0
        self._throttle: set[str] = set()
        self._bits_before: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._watts: float | None = None
        self._watts_at = 0.0
        self._joules = 0.0
        self._energy: dict[str, int] = {}
        self._rails: list[str] = []
        self._gpus = _open_gpus(job.get("gpus"))
        for path in self._paths():
            self._open(path)

    def look(self, now: float, *, last: bool = False) -> None:
        """Read every file once.

        Args:
            now: Seconds on any clock that never jumps.
            last: Whether this ends the span, so that energy is counted up to it.
        """
        if not self._looks:
            self._started = now
        self._looks += 1
        self._last = now
        job = self._job
        for kind, name, path, scale in job["numbers"]:
            self._number(kind, name, self._read_number(path), scale)
        for what, path in job["watched"]:
            self._watch(what, self._read(path).decode("utf-8", "replace"))
        for what, path, scale in job["caps"]:
            value = self._read_number(path)
            self._watch(what, "" if value is None else f"{value * scale / 1e9:g} GHz")
        for path, reasons, shift in job["bits"]:
            self._take_bits(path, reasons, shift)
        for reason, path in job["counters"]:
            value = self._read_number(path)
            if value is not None and value > self._counters.setdefault(reason, value):
                self._throttle.add(reason)
        if self._gpus:
            self._take_gpus()
        self._take_energy(now, last=last)

    def summary(self) -> dict[str, Any]:
        """Everything that was seen, as plain data."""
        wall = self._last - self._started
        more = self._changed - len(self._changes)
        # The time that passed between two looks, where that was more than asked for.
        mean = wall / max(1, self._looks - 1)
        interval = self._job["interval_s"] if mean < _STRETCHED * self._job["interval_s"] else mean
        found: dict[str, Any] = {
            "readings": self._looks,
            "interval_s": interval,
            "wall_s": wall,
            "throttle": sorted(self._throttle),
            "changes": [*self._changes, f"and {more} changes more"] if more else self._changes,
            "sampler_cpu": self._job["cpu"],
        }
        for (kind, name), (first, low, high, total, count) in self._numbers.items():
            if kind == "frequency":
                found.setdefault("frequency_start_hz", {})[name] = first
                found.setdefault("frequency_min_hz", {})[name] = low
                found.setdefault("frequency_mean_hz", {})[name] = total / count
            else:
                found.setdefault("temperature_start_c", {})[name] = first
                found.setdefault("temperature_max_c", {})[name] = high
        energy = None
        if self._rails and self._looks > 1:
            every = self._job["command_every"] if self._job["command"] else 1
            energy = {
                "source": self._job["source"],
                "rails": sorted(self._rails),
                "window_s": wall,
                "joules": self._joules,
                "interval_s": interval * every,
            }
        return {"trace": found, "energy": energy}

    def _paths(self) -> Iterator[str]:
        job = self._job
        yield from (entry[2] for entry in job["numbers"])
        yield from (entry[1] for entry in (*job["watched"], *job["caps"], *job["counters"], *job["energy"]))
        yield from (entry[0] for entry in job["bits"])
        for entry in job["power"]:
            yield from entry[1:3]

    def _open(self, path: str) -> None:
        with contextlib.suppress(OSError):
            self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def _read(self, path: str) -> bytes:
        file = self._files.get(path)
        if file is None:
            return b""
        try:
            return os.pread(file, _READ_BYTES, 0).strip(b"\0 \t\n")
        except OSError:
            return b""

    def _read_number(self, path: str) -> int | None:
        try:
            return int(self._read(path))
        except ValueError:
            return None

    def _number(self, kind: str, name: str, read: float | None, scale: float) -> None:
        if read is None:
            return
        value = read * scale
        seen = self._numbers.get((kind, name))
        if seen is None:
            self._numbers[kind, name] = [value, value, value, value, 1]
            return
        seen[1] = min(seen[1], value)
        seen[2] = max(seen[2], value)
        seen[3] += value
        seen[4] += 1

    def _watch(self, what: str, text: str) -> None:
        if not text:
            return
        before = self._watched.setdefault(what, text)
        if text != before:
            self._watched[what] = text
            self._changed += 1
            if self._changed <= _MAX_CHANGES:
                self._changes.append(f"{what}: {before}, then {text}")

    def _take_bits(self, path: str, reasons: list[str], shift: int) -> None:
        try:
            bits = int(self._read(path), 16)
        except ValueError:
            return
        since_boot = bits >> shift
        in_force = bits | since_boot & ~self._bits_before.setdefault(path, since_boot)
        self._throttle.update(reason for place, reason in enumerate(reasons) if in_force >> place & 1)

    def _take_gpus(self) -> None:
        for gpu in self._gpus.read():
            self._number("frequency", gpu["name"], gpu.get("hz"), 1.0)
            self._number("temperature", gpu["name"], gpu.get("celsius"), 1.0)
            self._throttle.update(gpu["throttle"])

    def _take_energy(self, now: float, *, last: bool) -> None:
        job = self._job
        for rail, path, scale, limit in job["energy"]:
            value = self._read_number(path)
            if value is None:
                continue
            before = self._energy.get(rail)
            self._energy[rail] = value
            if before is None:
                self._rails.append(rail)
            else:
                self._joules += (value - before + (limit if value < before else 0)) * scale
        rails = {}
        for rail, volts, amperes, scale in job["power"]:
            voltage, current = self._read_number(volts), self._read_number(amperes)
            if voltage is not None and current is not None:
                rails[rail] = voltage * current * scale
        if job["command"] and (last or (self._looks - 1) % job["command_every"] == 0):
            rails = _told_by(job["command"])
        if rails:
            watts = sum(rails.values())
            if self._watts is None:
                self._rails = list(rails)
            else:
                self._joules += (self._watts + watts) / 2 * (now - self._watts_at)
            self._watts, self._watts_at = watts, now


def watts_by_rail(text: str) -> dict[str, float]:
    """Power of every rail of which `vcgencmd pmic_read_adc` tells current and voltage."""
    import re

    found = re.findall(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([0-9.]+)[AV]", text)
    values = {(rail, unit): float(value) for rail, unit, value in found}
    return {
        rail: amperes * values[rail, "V"]
        for (rail, unit), amperes in values.items()
        if unit == "A" and (rail, "V") in values
    }


def _told_by(command: list[str]) -> dict[str, float]:
    import subprocess

    try:
        told = subprocess.run(command, capture_output=True, timeout=2, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return watts_by_rail(told.decode("utf-8", "replace"))


def _open_gpus(told: list[str] | None) -> Any:
    if not told:
        return None
    folder, library = told
    if folder not in sys.path:
        sys.path.append(folder)
    from edgesweep_agent.nvml import Nvml

    return Nvml.opened(library)


def _lines(patience_s: Callable[[], float | None]) -> Iterator[bytes | None]:
    """Lines of the standard input one by one; None when `patience_s()` seconds have passed without one."""
    rest = b""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while True:
        line, separator, after = rest.partition(b"\n")
        if separator:
            rest = after
            yield line
            continue
        wait = patience_s()
        if wait is not None and not poll.poll(max(0.0, wait) * _MS):
            yield None
            continue
        more = os.read(0, 1 << 16)
        if not more:
            return
        rest += more


def _cpu_s() -> float:
    """CPU seconds of this process, and of the programs that it asked."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def main() -> int:
    """Do what the standard input says; 0 also when the agent went away."""
    due: float | None = None
    lines = _lines(lambda: None if due is None else due - time.monotonic())
    job = json.loads(next(lines) or b"")
    if job["cpu"] is not None:
        try:
            os.sched_setaffinity(0, {job["cpu"]})
        except OSError:
            job["cpu"] = None
    sampling = Sampling(job)
    gc.collect()
    gc.disable()
    os.write(1, b"ready\n")
    cpu = 0.0
    for line in lines:
        if line == b"begin":
            cpu = _cpu_s()
            due = time.monotonic()
        elif line == b"end" and due is not None:
            sampling.look(time.monotonic(), last=True)
            told = sampling.summary()
            told["trace"]["sampler_cpu_s"] = _cpu_s() - cpu
            os.write(1, json.dumps(told).encode() + b"\n")
            break
        if due is not None:
            now, used = time.monotonic(), _cpu_s()
            sampling.look(now)
            # On a slow board it looks less often, rather than take more than it may.
            due = max(due + max(job["interval_s"], (_cpu_s() - used) / _MOST_OF_A_CORE), now)
    return 0


if __name__ == "__main__":
    sys.exit(main())
