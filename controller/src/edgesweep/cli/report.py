"""`edgesweep report` and `edgesweep runs`: what the store holds, in the form asked for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from edgesweep.cli.options import Settings, pass_settings, print_json
from edgesweep.cli.output import REPORT_OUTPUTS

_RUNS_OUTPUTS = ("table", "json", "name")


@click.command(epilog="Example: edgesweep report latest -o html --output night.html")
@click.argument("run", metavar="RUN|latest")
@click.option("-o", "output", type=click.Choice(REPORT_OUTPUTS), default="table", show_default=True, help="Form.")
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write; - is stdout. Default: report.html for html, stdout for the rest.",
)
@pass_settings
def report(settings: Settings, *, run: str, output: str, path: Path | None) -> None:
    """Show a finished or a running RUN: its id, the start of it, its plan's name, or `latest`.

    The id of an export matrix shows that matrix.
    """
    from edgesweep.cli.output import render_text, show_run, write_report
    from edgesweep.cli.sweeping import open_store, told_run
    from edgesweep.home import find_home
    from edgesweep.report.document import build_document
    from edgesweep.store.records import RunKind

    home = find_home()
    with contextlib.closing(open_store(home)) as store:
        view = told_run(home, store, store.find_run(run))
    if view.run.kind is RunKind.MATRIX:
        from edgesweep.cli.exporting import report_matrix

        report_matrix(settings, view, output, path)
        return
    if output == "html" and path is None:
        path = Path("report.html")
    if path is None or str(path) == "-":
        if output == "html":
            click.echo(render_text(build_document(view), output), nl=False)
        else:
            show_run(settings, view, output)
        return
    if output == "table":
        raise click.UsageError("--output needs -o html, json, md or csv")
    if output == "json":
        import json

        text = json.dumps(build_document(view), indent=2, allow_nan=False) + "\n"
    else:
        text = render_text(build_document(view), output)
    write_report(path, text)
    click.echo(f"wrote {path.absolute()}", err=True)


@click.command()
@click.option("-o", "output", type=click.Choice(_RUNS_OUTPUTS), default="table", show_default=True, help="Form.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Newest runs to list.")
@click.option(
    "--kind",
    type=click.Choice(["sweep", "matrix", "all"]),
    default="sweep",
    show_default=True,
    help="Sweeps on devices, export matrices, or both.",
)
@pass_settings
def runs(settings: Settings, *, output: str, limit: int, kind: str) -> None:
    """List the runs in the store, newest first."""
    from edgesweep.cli.sweeping import open_store
    from edgesweep.home import find_home
    from edgesweep.report.runs import build_runs
    from edgesweep.report.tables import runs_table
    from edgesweep.store.records import RunKind

    with contextlib.closing(open_store(find_home())) as store:
        document = build_runs(store.list_runs(limit, None if kind == "all" else RunKind(kind)))
    if output == "json":
        print_json(document)
    elif output == "name":
        for row in document["runs"]:
            click.echo(row["id"])
    elif document["runs"]:
        settings.console().print(runs_table(document))
    elif kind == "matrix":
        click.echo("no export matrices yet. Next: edgesweep export matrix PLAN", err=True)
    else:
        click.echo("no runs yet. Next: edgesweep quickstart, or edgesweep run PLAN", err=True)
