"""Draws a sweep's view into a given width and height, from a narrow terminal of 80 by 24 to a tall one."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgesweep.dashboard.cell_text import variant_text, with_device, without_device
from edgesweep.dashboard.view import DeviceLine, SweepView
from edgesweep.report import units
from edgesweep.report.outcomes import OUTCOMES, with_run
from edgesweep.report.tables import STYLES

WIDE = 116
"""From this width on, a device's cell stands on the device's own line."""

_STATE_STYLES = {
    "measuring": "bold",
    "uploading": "cyan",
    "unreachable": "bold magenta",
    "waiting": "yellow",
    "done": "dim",
}
_SHARED_ROOM = 8
_BAR_WIDTH = 28
_COUNT_COLUMN = 3
_QUIET_STATES = frozenset({"idle", "done", "waiting"})
_MINUTE_S = 60.0
#: What a trial waits for before it begins, as the gate that holds it is called.
_WAITS = {"thermal": "to cool", "idle": "to be idle"}


def draw(view: SweepView, width: int, height: int) -> RenderableType:
    """The whole dashboard, at most `width` columns and `height` lines."""
    lines: list[RenderableType] = [_title(view, width), _bars(view, width), *_counts(view), Text()]
    footer = list(_footer(view))
    room = max(3, height - len(lines) - bool(view.exports.total) - len(footer))
    fleet = [] if view.is_matrix else _fleet(view, width, max(2, room * 3 // 5))
    lines += fleet
    room -= len(fleet)
    exporting = view.is_matrix or (view.exports.going_on and not view.finished)
    if exporting:
        active = list(_active_exports(view, max(0, min(room - 2, room // 2))))
        if active:
            lines += [Text(), Text("exporting now", style="bold"), *active]
            room -= len(active) + 2
    share = room * 3 // 5 if room >= _SHARED_ROOM and (view.recent or view.exports.recent) else room
    findings = list(_findings(view, max(0, share - 2)))
    if findings:
        lines += [Text(), Text("findings, newest first", style="bold"), *findings]
        room -= len(findings) + 2
    # A cell that ends before the first trial does so with its export, which is told with its reason here.
    recent = list((_recent_exports if exporting else _recent)(view, max(0, room - 2)))
    if recent:
        lines += [Text(), Text(f"last {'exports' if exporting else 'cells'}, newest first", style="bold"), *recent]
    lines += footer
    return Group(*lines)


def _title(view: SweepView, width: int) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    head = Text.assemble(
        ("Edgesweep ", "bold"),
        (view.name or "starting", "bold cyan"),
        ("  matrix " if view.is_matrix else "  run ", "dim"),
        view.run_id or "not begun",
    )
    state = "running"
    if view.finished:
        state = "finished" if view.finished.complete else "stopped early"
    elapsed = view.elapsed
    grid.add_row(head, Text(f"{state}, {units.duration(elapsed)}" if elapsed is not None else "starting"))
    grid.width = width
    return grid


def _bars(view: SweepView, width: int) -> RenderableType:
    bar = min(_BAR_WIDTH if width < WIDE else 2 * _BAR_WIDTH, max(10, width - 50))
    rows = [] if view.is_matrix else [("cells", view.done, view.total, _time_left(view))]
    if view.exports.total or view.is_matrix:
        rows.insert(0, ("exports", view.exports.done, view.exports.total, _export_note(view)))
    counts = [f"{done} of {total}" for _, done, total, _ in rows]
    grid = Table.grid(padding=(0, 2, 0, 0))
    # Widths are fixed: a long note is cut, never the figures before it.
    grid.add_column(width=7)
    grid.add_column(width=bar)
    grid.add_column(justify="right", no_wrap=True, width=max(map(len, counts)))
    grid.add_column(no_wrap=True, overflow="ellipsis", width=max(1, width - 13 - bar - max(map(len, counts))))
    for (name, done, total, note), count in zip(rows, counts, strict=True):
        grid.add_row(name, _bar(done, total, bar), count, note)
    return grid


def _bar(done: int, total: int, width: int) -> ProgressBar:
    return ProgressBar(total=max(1, total), completed=done, width=width, complete_style="cyan", finished_style="green")


def _export_note(view: SweepView) -> Text:
    exports = view.exports
    left = None if view.finished else exports.seconds_left(view.now())
    parts = [] if left is None else [f"{units.rough_duration(left)} left"]
    parts += [f"{exports.failed} failed"] if exports.failed else []
    parts += [f"{exports.cached} cached"] if exports.cached else []
    return Text(", ".join(parts), style="dim")


def _time_left(view: SweepView) -> Text:
    if view.finished:
        return Text("")
    left = view.seconds_left
    if view.exports.going_on and left is None:
        return Text("measured after the exports", style="dim")
    if left is None:
        return Text("time left not known yet", style="dim")
    return Text(f"{units.rough_duration(left)} left" if left else "")


def _counts(view: SweepView) -> Iterable[Text]:
    counts = _export_counts(view) if view.is_matrix else view.counts
    line = Text(overflow="fold")
    for word, amount in counts.items():
        mark = OUTCOMES[word].mark if word in OUTCOMES else "*"
        line.append(f"{mark} {amount} {word}   ", style=STYLES.get(word, "") if amount else "dim")
    if view.earlier:
        line.append(f"{view.earlier} ended before the resume   ", style="dim")
    left = view.exports.total - view.exports.done if view.is_matrix else view.total - view.done
    line.append(f"{OUTCOMES['unfinished'].mark} {left} to do", style="cyan" if left else "dim")
    yield line


def _export_counts(view: SweepView) -> dict[str, int]:
    """Variants by outcome while a matrix goes on; its own count, which knows the skipped ones too, once it has ended."""
    if view.finished:
        return view.finished.outcomes
    exports = view.exports
    return {"pass": exports.done - exports.failed, "failed": exports.failed}


# Fleet


def _fleet(view: SweepView, width: int, room: int) -> list[Text]:
    """The fleet in at most `room` lines; where the screen is narrow, a device's cell has a line of its own."""
    devices = list(view.devices.values())
    wide = width >= WIDE
    lines_each = 1 if wide or 1 + 2 * len(devices) > room else 2
    fitting = (room - 1) // lines_each
    shown = devices
    if len(devices) > fitting:
        busy_first = sorted(devices, key=lambda line: line.state in _QUIET_STATES)
        shown = busy_first[: max(1, fitting - 1)]
    widths = [min(21, max([6, *(len(line.name) for line in shown)])), 11, 16, 5, 17]
    widths += [width - sum(widths) - 2 * len(widths)] if wide else []
    heads = ("device", "state", "stage", "to do", "sensors", "cell")
    lines = [_columns([Text(head, style="bold") for head in heads[: len(widths)]], widths)]
    for line in shown:
        cell = _cell(line)
        texts = [
            Text(line.name),
            _state(line),
            _stage(view, line),
            Text(str(line.remaining)),
            _sensors(view, line),
            cell,
        ]
        lines.append(_columns(texts[: len(widths)], widths))
        if lines_each > 1:
            lines.append(Text("  ", no_wrap=True, overflow="ellipsis").append_text(cell))
    if len(shown) < len(devices):
        hidden = [line.state for line in devices if line not in shown]
        counts = ", ".join(f"{hidden.count(state)} {state}" for state in dict.fromkeys(hidden))
        lines.append(Text(f"and {units.plural(len(hidden), 'device')} more: {counts}", style="dim"))
    return lines


def _columns(texts: list[Text], widths: list[int]) -> Text:
    """Texts side by side, each cut or filled to its width; the counts (fourth) to the right."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for place, (text, width) in enumerate(zip(texts, widths, strict=True)):
        text.truncate(width, overflow="ellipsis")
        text.align("right" if place == _COUNT_COLUMN else "left", width)
        line.append("  " if place else "").append_text(text)
    return line


def _state(line: DeviceLine) -> Text:
    state = "waiting" if line.waits_for else line.state
    return Text(state, style=_STATE_STYLES.get(state, ""))


def _stage(view: SweepView, line: DeviceLine) -> Text:
    """The stage and how long it has taken: `measure 4 s`, `compile 12 min`, or what the trial waits for: `to cool 45 s`."""
    if not line.stage:
        return Text("")
    word = _WAITS.get(line.waits_for, line.waits_for) or line.stage
    taken = view.now() - line.stage_at
    # From a minute on without seconds: the column would cut them off where a provider compiles for long.
    return Text(f"{word} {units.duration(taken) if taken < _MINUTE_S else units.age(taken)}")


def _sensors(view: SweepView, line: DeviceLine) -> Text:
    """The hottest temperature, or the load where a device tells none, and how old the value is."""
    if line.reading is None or line.reading_at is None:
        return Text("no reading yet", style="dim")
    if line.hottest_c is not None:
        value = f"{line.hottest_c:.0f} °C "
    elif line.reading.load_1m is not None:
        value = f"load {line.reading.load_1m:.1f} "
    else:
        return Text("no sensor", style="dim")
    old = units.age(view.now() - line.reading_at)
    return Text.assemble(value, (old if old == "now" else f"{old} ago", "dim"))


def _cell(line: DeviceLine) -> Text:
    if line.cell:
        return Text(without_device(line.cell))
    if line.note:
        return Text(line.note, style="dim")
    return Text({"measuring": "between two trials", "waiting": "exports come first"}.get(line.state, ""), style="dim")


# Exports


def _active_exports(view: SweepView, room: int) -> Iterable[Text]:
    now, active = view.now(), list(view.exports.active.items())
    shown = active if len(active) <= room else active[: max(0, room - 1)]
    width = max((len(variant_text(variant)) for variant, _ in shown), default=0)
    for variant, began in shown:
        line = Text(f"  {variant_text(variant):<{width}}", no_wrap=True, overflow="ellipsis")
        yield line.append(f"  for {units.duration(now - began)}", style="dim")
    if len(shown) < len(active) and room > 0:
        yield Text(f"  and {units.plural(len(active) - len(shown), 'variant')} more", style="dim")


def _recent_exports(view: SweepView, room: int) -> Iterable[Text]:
    events = list(reversed(view.exports.recent))[:room]
    width = max((len(variant_text(event.variant)) for event in events), default=0)
    for event in events:
        outcome = "failed" if event.cause else "pass"
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{OUTCOMES[outcome].mark} ", style=STYLES.get(outcome, ""))
        line.append(f"{variant_text(event.variant):<{width}}")
        line.append(f"  {'cached' if event.cached else units.duration(event.seconds):>6}", style="dim")
        yield line.append(f"  {event.cause}" if event.cause else "", style=STYLES.get(outcome, ""))


# Findings, last cells, footer


def _findings(view: SweepView, room: int) -> Iterable[Text]:
    for finding in reversed(list(view.findings.values())):
        if room < 2:  # noqa: PLR2004 - a finding takes two lines, with its remedy
            return
        room -= 2
        style = STYLES.get(finding.outcome, "")
        mark = OUTCOMES[finding.outcome].mark if finding.outcome in OUTCOMES else "*"
        where = f" at {finding.stage}" if finding.stage and finding.outcome in {"failed", "fallback"} else ""
        amount = units.plural(finding.count, "cell")
        head = f"{mark} {finding.outcome}{where}: {finding.cause or 'no cause given'}"
        yield Text.assemble(
            (head, style), f"  {amount}, last {_short(view, finding.last_cell)}", no_wrap=True, overflow="ellipsis"
        )
        yield Text(
            f"  -> {with_run(finding.remedy, view.run_id) or finding.message}", no_wrap=True, overflow="ellipsis"
        )


def _recent(view: SweepView, room: int) -> Iterable[Text]:
    events = list(reversed(view.recent))[:room]
    figures = [units.latency(event.median_s, event.mad_s, event.n) for event in events]
    # Columns are as wide as what stands in them now: the cell's name needs all the room there is.
    word_width = max((len(event.outcome) for event in events), default=0)
    figure_width = max(map(len, figures), default=0)
    verdict_width = max((len(event.verdict or "") for event in events), default=0)
    for event, figure in zip(events, figures, strict=True):
        mark = OUTCOMES[event.outcome].mark if event.outcome in OUTCOMES else "*"
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{mark} {event.outcome:<{word_width}}", style=STYLES.get(event.outcome, ""))
        if figure:
            line.append(f"  {figure:<{figure_width}}", style="bold")
        if event.verdict:
            line.append(f"  {event.verdict:<{verdict_width}}", style=STYLES.get(event.verdict, ""))
        if event.outcome != "pass" and event.cause:
            line.append(f"  {event.cause}")
        yield line.append(f"  {_short(view, event.cell)}", style="dim")


def _short(view: SweepView, cell: str) -> str:
    return with_device(cell) if len(view.devices) > 1 else without_device(cell)


def _footer(view: SweepView) -> Iterable[Text]:
    if view.notice:
        yield Text(view.notice, style="yellow", no_wrap=True, overflow="ellipsis")
    if view.finished and not view.finished.complete:
        yield Text(f"Next: {view.next_command}", style="bold")
    elif not view.finished and view.run_id:
        yield Text(f"Ctrl-C stops; go on with: {view.next_command}", style="dim", no_wrap=True)
