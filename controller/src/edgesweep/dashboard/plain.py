"""Progress as plain lines for logs: no control codes, exactly one line per finished cell, under its printable name."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from typing import TextIO

from edgesweep.dashboard.view import SweepView
from edgesweep.report import units
from edgesweep.report.outcomes import OUTCOMES, with_run
from edgesweep.sweep.events import (
    CellFinished,
    DeviceState,
    ExportFinished,
    Notice,
    SweepEvent,
    SweepFinished,
    SweepStarted,
)

WIDEST = 100
_SPELLED = {"µ": "u", "±": "+/-", units.NOTHING: "-", "…": "..."}


class PlainProgress:
    """Writes what is worth a line to `stream`.

    A cell's line is never folded, so that it can be found by the cell's name; other sentences are, at `WIDEST` columns.
    A remedy follows on a line of its own when its cause is seen for the first time.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.view = SweepView(clock)
        self._stream = stream
        self._explained: set[tuple[str, str]] = set()
        self._states: dict[str, tuple[str, str]] = {}

    def handle(self, event: SweepEvent) -> None:
        """Takes one event and writes its line, if it has one."""
        self.view.apply(event)
        if isinstance(event, SweepStarted):
            self._start(event)
        elif isinstance(event, ExportFinished):
            self._export(event)
        elif isinstance(event, CellFinished):
            self._cell(event)
        elif isinstance(event, DeviceState):
            self._device(event)
        elif isinstance(event, Notice):
            self._write(event.text)
        elif isinstance(event, SweepFinished):
            self._finish(event)

    def _start(self, event: SweepStarted) -> None:
        if self.view.is_matrix:
            self._write(f"matrix {event.run_id}: {event.name}, {units.plural(event.variants, 'export')}")
            return
        cells, devices = sum(event.cells.values()), len(event.cells)
        counts = f"{units.plural(cells, 'cell')} on {units.plural(devices, 'device')}"
        self._write(f"run {event.run_id}: {event.name}, {counts}, {units.plural(event.variants, 'export')}")
        self._write("lines read: outcome  device/model/variant/runtime/provider/shape/session")
        self._write("then the median ±median absolute deviation n=samples verdict, or: stage cause: what happened")

    def _export(self, event: ExportFinished) -> None:
        head = f"export [{event.done}/{event.total}] {'failed' if event.cause else 'ok':<6}  {event.variant}"
        # A failure found in the cache is one that exporting anew would repeat, which is worth knowing too.
        words = [event.cause, "cached" if event.cached else "" if event.cause else units.duration(event.seconds)]
        self._write(f"{head}  {' '.join(filter(None, words))}", fold=False)

    def _cell(self, event: CellFinished) -> None:
        parts = [f"[{self.view.done}/{self.view.total}] {event.outcome:<8} {event.cell}"]
        if event.median_s is not None:
            parts.append(f"{units.latency(event.median_s, event.mad_s, event.n)} {event.verdict or ''}".rstrip())
        if event.outcome != "pass":
            found = f"{event.stage} {event.cause}".strip()
            parts.append(": ".join(filter(None, [found, event.message])))
        self._write("  ".join(parts), fold=False)
        key = (event.outcome, event.cause)
        if event.outcome != "pass" and event.remedy and key not in self._explained:
            self._explained.add(key)
            self._write(f"    -> {with_run(event.remedy, self.view.run_id)}")

    def _device(self, event: DeviceState) -> None:
        before, now = self._states.get(event.device), (event.state, event.note)
        self._states[event.device] = now
        if now == before:
            return
        if event.state == "waiting" and self.view.exports.done < self.view.exports.total:
            return
        was_away = before is not None and before[0] == "unreachable"
        if event.state in {"unreachable", "waiting"} or was_away:
            note = f": {event.note}" if event.note else ""
            self._write(f"device {event.device} {event.state}{note}")

    def _finish(self, event: SweepFinished) -> None:
        words = [*OUTCOMES, *(word for word in event.outcomes if word not in OUTCOMES)]
        counts = ", ".join(f"{event.outcomes[word]} {word}" for word in words if event.outcomes.get(word))
        ended = sum(event.outcomes.values())
        total = max(self.view.total, ended)
        state = "finished" if event.complete else "stopped early"
        noun = "variant" if self.view.is_matrix else "cell"
        cells = units.plural(total, noun) if ended == total else f"{ended} of {units.plural(total, noun)} ended"
        self._write(f"{state} after {units.duration(event.seconds)}; {cells}: {counts or 'none'}")

    def _write(self, text: str, *, fold: bool = True) -> None:
        line = " ".join(text.splitlines()).rstrip()
        line = "".join(character for character in line if character.isprintable())
        lines = [line]
        if fold:
            indent = line[: len(line) - len(line.lstrip())]
            lines = textwrap.wrap(
                line, WIDEST, subsequent_indent=f"{indent}    ", break_long_words=False, break_on_hyphens=False
            )
        self._stream.write(self._spell("\n".join(lines)) + "\n")
        self._stream.flush()

    def _spell(self, text: str) -> str:
        """`text` in characters that the stream can carry."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            for character, spelled in _SPELLED.items():
                text = text.replace(character, spelled)
            return text.encode(encoding, "replace").decode(encoding)
        return text
