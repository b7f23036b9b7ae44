"""Draws the dashboard or the report of a stored run as an SVG: `python -m edgesweep.dashboard.picture OUT.svg`."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from edgesweep.dashboard.recording import Timed, events_of, until_share
from edgesweep.dashboard.report_picture import draw_report
from edgesweep.dashboard.screen import draw
from edgesweep.dashboard.view import SweepView

_THEME = TerminalTheme(
    (24, 28, 33),
    (225, 229, 234),
    [
        (70, 77, 86),
        (255, 138, 112),
        (88, 203, 163),
        (240, 187, 92),
        (124, 175, 240),
        (219, 155, 230),
        (108, 201, 214),
        (225, 229, 234),
    ],
    [
        (120, 128, 138),
        (255, 166, 146),
        (130, 224, 190),
        (247, 210, 140),
        (160, 200, 248),
        (232, 186, 240),
        (150, 222, 232),
        (255, 255, 255),
    ],
)


# rich's own pictures fetch their font from the network; a README's picture points nowhere.
_OUTWARD = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", flags=re.DOTALL)


def view_of(events: Iterable[Timed]) -> SweepView:
    """The view after these events, its clock standing at the last of them."""
    now = [0.0]
    view = SweepView(lambda: now[0])
    for moment, event in events:
        now[0] = moment
        view.apply(event)
    return view


def to_svg(content: RenderableType, *, width: int, title: str) -> str:
    """`content` as a terminal of `width` columns would show it; equal content gives equal bytes."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=width,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(content)
    svg = console.export_svg(title=title, theme=_THEME, unique_id="edgesweep")
    fonts = 'font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'
    return _OUTWARD.sub("", svg).replace("font-family: Fira Code, monospace", fonts)


def draw_dashboard(doc: dict[str, Any], *, share: float, width: int, height: int) -> str:
    """The dashboard as it stood when `share` (0 to 1) of the run's trials had ended."""
    view = view_of(until_share(events_of(doc), share))
    return to_svg(draw(view, width, height), width=width, title=f"edgesweep run {doc['run']['name']}")


def draw_tables(doc: dict[str, Any], *, width: int) -> str:
    """The matrix and the summary as `edgesweep report` prints them."""
    from rich.console import Group

    from edgesweep.report.tables import matrix_table, summary_line

    content = Group(matrix_table(doc), summary_line(doc))
    return to_svg(content, width=width, title=f"edgesweep report {doc['run']['id']}")


def _load(origin: str) -> dict[str, Any]:
    path = Path(origin)
    if path.suffix == ".json":
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document
    command = [sys.executable, "-c", "from edgesweep.cli.main import main; main()", "report", origin, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    stored: dict[str, Any] = json.loads(done.stdout)
    return stored


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = ArgumentParser(prog="python -m edgesweep.dashboard.picture", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    parser.add_argument(
        "--from", dest="origin", default="latest", metavar="RUN", help="a run, `latest`, or a result document (.json)"
    )
    parser.add_argument("--of", choices=["dashboard", "report", "tables"], default="dashboard")
    parser.add_argument("--at", type=float, default=0.6, metavar="SHARE", help="how much of the run is over, 0 to 1")
    parser.add_argument("--width", type=int, default=120, metavar="COLUMNS")
    parser.add_argument("--height", type=int, default=32, metavar="LINES")
    chosen = parser.parse_args(arguments)
    try:
        doc = _load(chosen.origin)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{chosen.origin} cannot be read: {error}\n")
        return 2
    if chosen.of == "tables":
        svg = draw_tables(doc, width=chosen.width)
    elif chosen.of == "report":
        svg = draw_report(doc)
    else:
        svg = draw_dashboard(doc, share=chosen.at, width=chosen.width, height=chosen.height)
    chosen.out.write_text(svg, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
