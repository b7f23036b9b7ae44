"""Renders a stored run to stdout or a file in the form asked for."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings, print_json
from edgesweep.errors import EdgesweepError

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


def html_of(view: RunView) -> str:
    """The self-contained page of a run."""
    from edgesweep.report.document import build_document

    return render_text(build_document(view), "html")


def write_report(path: Path, text: str, *, remedy: str = "") -> None:
    """Writes a report all or nothing; a device such as /dev/stdout is written as it is.

    Raises:
        EdgesweepError: `usage` with the reason why it cannot be written.
    """
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
            return
        with _draft_beside(target) as draft:
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)
    except OSError as error:
        raise _unwritable(path, error, remedy) from error


def check_report_path(path: Path) -> None:
    """Proves by a trial that a report can be written to `path`, before hours go into what it is about.

    Raises:
        EdgesweepError: `usage` with the reason why it cannot.
    """
    target = path.resolve()
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # A pipe or a device is not tried: opening one can wait for ever.
        if target.is_file() or not target.exists():
            with _draft_beside(target) as draft:
                draft.touch()
    except OSError as error:
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def _draft_beside(target: Path) -> Iterator[Path]:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield draft
    finally:
        # Suppressed: where the folder is none, this fails as the writing did, and would hide its reason.
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError, remedy: str = "") -> EdgesweepError:
    return EdgesweepError(
        "usage", f"cannot write the report to {path}: {error.strerror}", remedy=remedy or "name another file"
    )
