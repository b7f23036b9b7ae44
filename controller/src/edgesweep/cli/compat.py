"""`edgesweep compat`: what runs where, why a cell does not, and what changed between two runs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesweep.cli.options import Settings, pass_settings, print_json
from edgesweep.errors import EdgesweepError

if TYPE_CHECKING:
    from edgesweep.store.store import Store

_MATRIX_OUTPUTS = ("table", "wide", "json", "md", "html")


@click.group()
def compat() -> None:
    """Tell what runs where: the matrix of a run, the story of a cell, the difference of two runs.

    \b
    Examples:
      edgesweep compat matrix latest                 which variants run where, why not, and which to use
      edgesweep compat matrix latest -o html         the same as a page, with every time
    """  # noqa: D301 - click wants the character itself


@compat.command("matrix")
@click.argument("run", metavar="RUN|latest")
@click.option("-k", "expression", default="", metavar="EXPR", help="Only cells whose name matches, as in pytest.")
@click.option(
    "--per",
    type=click.Choice(["auto", "device", "place"]),
    default="auto",
    show_default=True,
    help="What the recommendation is to cover: every device, on whichever of its runtimes and providers, or every place; "
    "auto is every place where the run has one device only.",
)
@click.option(
    "-o", "output", type=click.Choice(_MATRIX_OUTPUTS), default="table", show_default=True, help="Form of the result."
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write; - is stdout. Default: compat.html for html, stdout for the rest.",
)
@pass_settings
def matrix(settings: Settings, *, run: str, expression: str, per: str, output: str, path: Path | None) -> None:
    """Show which variants of RUN's models run at which place, and recommend the fewest that run everywhere.

    \b
    Examples:
      edgesweep compat matrix latest
      edgesweep compat matrix nightly -k 'fp32 and not static' --per place
      edgesweep compat matrix latest -o json > compat.json

    RUN is the id of a run, the start of it, its plan's name, or `latest`. A place is one runtime of a device with one
    provider chain.
    """  # noqa: D301 - click wants the character itself
    from edgesweep.plan.selection import matcher
    from edgesweep.report.compat.advice import Per, advise, usual_per
    from edgesweep.report.compat.matrix import build_compat

    if path is not None and output in {"table", "wide"}:
        raise click.UsageError("--output needs -o html, json or md")
    found = build_compat(_document(run), matcher(expression))
    if not found.squares:
        raise EdgesweepError(
            "nothing_selected",
            f"no cell of the run matches '{expression}'" if expression else "the run has no cell",
            remedy="see the names with `edgesweep report RUN -o md`",
        )
    advice = advise(found, usual_per(found) if per == "auto" else Per(per))
    if output in {"table", "wide"}:
        from edgesweep.report.compat.terminal import advice_table, compat_findings, compat_summary, compat_table

        console = settings.console()
        parts = (compat_table(found, wide=output == "wide"), compat_findings(found), advice_table(found, advice))
        for part in (*parts, compat_summary(found)):
            console.print(part)
    elif output == "json":
        from edgesweep.report.compat.document import compat_document

        _give(compat_document(found, advice), path)
    elif output == "md":
        from edgesweep.report.compat.markdown import render_markdown

        _give(render_markdown(found, advice), path)
    else:
        from edgesweep.report.compat.html import render_html

        _give(render_html(found, advice), path or Path("compat.html"))


def _give(result: str | dict[str, Any], path: Path | None) -> None:
    """Prints a result, or writes it to `path`."""
    if path is None or str(path) == "-":
        if isinstance(result, str):
            click.echo(result, nl=False)
        else:
            print_json(result)
        return
    import json

    from edgesweep.cli.output import write_report

    write_report(path, result if isinstance(result, str) else json.dumps(result, indent=2, allow_nan=False) + "\n")
    click.echo(f"wrote {path.absolute()}", err=True)


def _document(run: str) -> dict[str, Any]:
    """The result document of a sweep.

    Raises:
        EdgesweepError: no_runs, unknown_run, or usage for an export matrix.
    """
    with contextlib.closing(_store()) as store:
        return _load(store, run)


def _load(store: Store, run: str) -> dict[str, Any]:
    from edgesweep.report.document import build_document
    from edgesweep.store.records import RunKind

    view = store.load_run(store.find_run(run))
    if view.run.kind is not RunKind.SWEEP:
        raise EdgesweepError(
            "usage", f"{view.run.id} is an export matrix: it ran on no device", remedy=f"edgesweep report {view.run.id}"
        )
    return build_document(view)


def _store() -> Store:
    from edgesweep.cli.sweeping import open_store
    from edgesweep.home import find_home

    return open_store(find_home())
