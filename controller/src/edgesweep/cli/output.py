"""Renders a stored run to stdout or a file in the form asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings, print_json

if TYPE_CHECKING:
    from edgesweep.store.records import RunView

#: What `-o` of `run` offers; `report` offers `html` besides.
RUN_OUTPUTS = ("table", "json", "md", "csv", "none")
REPORT_OUTPUTS = ("table", "html", "json", "md", "csv")


def show_run(settings: Settings, view: RunView, output: str) -> None:
    """Prints a run on stdout as `output` says."""
    if output == "none":
        return
    from edgesweep.report.document import build_document

    document = build_document(view)
    if output == "json":
        print_json(document)
    elif output == "table":
        from edgesweep.report.tables import findings, matrix_table, results_table, summary_line

        console = settings.console()
        for part in (matrix_table(document), results_table(document), findings(document), summary_line(document)):
            console.print(part)
    else:
        click.echo(render_text(document, output), nl=False)


def render_text(document: dict[str, object], output: str) -> str:
    """The text of a report: html, md or csv; `json` and `table` are not texts of this kind.

    Raises:
        ValueError: `output` is none of the three.
    """
    if output == "html":
        from edgesweep.report.html import render_html

        return render_html(document)
    if output == "md":
        from edgesweep.report.markdown import render_markdown

        return render_markdown(document)
    if output == "csv":
        from edgesweep.report.csv import render_csv

        return render_csv(document)
    raise ValueError(output)


def write_html(view: RunView, path: Path) -> int:
    """Writes the self-contained page of a run; returns its size in bytes."""
    from edgesweep.report.document import build_document

    content = render_text(build_document(view), "html").encode()
    path.write_bytes(content)
    return len(content)
