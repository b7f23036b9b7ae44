"""An export matrix as a command: progress on stderr, the result on stdout or in a file, the exit code of its verdict."""

from __future__ import annotations

import contextlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesweep.cli.interrupt import Stopped, run_until_stopped
from edgesweep.cli.options import Settings
from edgesweep.cli.output import write_report
from edgesweep.cli.sweeping import load_plan_file, open_store
from edgesweep.cli.watching import shown_progress

if TYPE_CHECKING:
    from edgesweep.home import Home
    from edgesweep.store.records import RunView
    from edgesweep.sweep.matrix_verdict import MatrixVerdict


@dataclass(frozen=True, slots=True)
class MatrixRequest:
    """What `edgesweep export matrix` was asked for; `path` is the file for the result, None for stdout."""

    plan_path: Path
    expression: str = ""
    output: str = "table"
    path: Path | None = None
    progress: str = "auto"

    @property
    def command(self) -> str:
        """The command that starts the same matrix again."""
        words = ["edgesweep", "export", "matrix", str(self.plan_path)]
        return shlex.join([*words, "-k", self.expression] if self.expression else words)


def matrix_to_end(settings: Settings, home: Home, request: MatrixRequest) -> int:
    """Runs the matrix, shows its result and judges it; on Ctrl-C says what is kept."""
    from edgesweep.sweep.launch import open_exports
    from edgesweep.sweep.matrix import prepare_matrix, run_matrix
    from edgesweep.sweep.matrix_verdict import judge_matrix, known_variants

    loaded = load_plan_file(request.plan_path)
    started: list[str] = []
    with contextlib.closing(open_store(home)) as store:

        async def work() -> str:
            async with open_exports(home, loaded.plan) as exports:
                prepared = await prepare_matrix(loaded, exports, expression=request.expression)
                started[:] = [prepared.run.id]
                with shown_progress(settings, request.progress) as emit:
                    await run_matrix(prepared, exports, store, emit, again=request.command)
                return prepared.run.id

        try:
            run_id = run_until_stopped(work())
        except Stopped as stopped:
            if started:
                click.echo(f"interrupted; what is exported is kept in {started[0]} and in the cache.", err=True)
                click.echo(f"next, quick for what is done: {request.command}", err=True)
            return stopped.exit_code
        view = store.load_run(run_id)
        known = known_variants(view)
        verdict = judge_matrix(view, loaded.plan.fail_on, previous=store.earlier_outcomes(view.run), known=known)
    show_matrix(settings, matrix_document(view, verdict), request.output, request.path)
    for reason in verdict.reasons:
        click.echo(f"exit {verdict.exit_code.value}: {reason}", err=True)
    if verdict.lost:
        click.echo(f"next, quick for what is done: {request.command}", err=True)
    return verdict.exit_code


def matrix_document(view: RunView, verdict: MatrixVerdict | None = None) -> dict[str, Any]:
    """The document of a stored matrix, held against the plan's known failures and, with a verdict, the matrix before."""
    from edgesweep.report.exports.document import build_matrix_document
    from edgesweep.sweep.matrix_verdict import known_variants

    return build_matrix_document(view, known=known_variants(view), new=verdict.new if verdict else ())


def report_matrix(settings: Settings, view: RunView, output: str, path: Path | None) -> None:
    """Shows a stored matrix as `edgesweep report` does a run.

    Raises:
        UsageError: A matrix has no form of that kind.
    """
    if output == "csv":
        raise click.UsageError("an export matrix has no csv; use -o json")
    if output == "table" and path is not None and str(path) != "-":
        raise click.UsageError("--output needs -o html, json or md")
    if output == "html" and path is None:
        path = Path("matrix.html")
    show_matrix(settings, matrix_document(view), output, path)


def show_matrix(settings: Settings, document: dict[str, Any], output: str, path: Path | None = None) -> None:
    """Prints a matrix on stdout, or writes it to `path`, as `output` says."""
    if output == "table":
        from edgesweep.report.exports.tables import matrix_of_variants, matrix_summary, produced_table, variant_findings

        console = settings.console()
        for part in (matrix_of_variants, produced_table, variant_findings, matrix_summary):
            console.print(part(document))
    else:
        text = render_matrix(document, output)
        if path is None or str(path) == "-":
            click.echo(text, nl=False)
        else:
            write_report(path, text)
            click.echo(f"wrote {path.absolute()}", err=True)


def render_matrix(document: dict[str, Any], output: str) -> str:
    """The text of a matrix: json, md or html.

    Raises:
        ValueError: `output` is none of the three.
    """
    if output == "json":
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    if output == "md":
        from edgesweep.report.exports.markdown import render_markdown

        return render_markdown(document)
    if output == "html":
        from edgesweep.report.exports.html import render_html

        return render_html(document)
    raise ValueError(output)
