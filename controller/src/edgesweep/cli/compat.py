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
      edgesweep compat explain pi5/mobile-cnn/dynamo-opset21-static-fp32/1.16.3/cpu/example/t1
      edgesweep compat explain '*/mobile-cnn/*opset21-static*/1.16.3/cpu/*'
      edgesweep compat diff 20261125-2015-nightly latest     what fails that did not, what moved, what is missing
    """  # noqa: D301 - click wants the character itself


@compat.command("matrix")
@click.argument("run", metavar="RUN|latest")
@click.option("-k", "expression", default="", metavar="EXPR", help="Only cells whose name matches, as in pytest.")
@click.option("--failing", is_flag=True, help="Show only variants that do not run at every place; counts are of all.")
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
def matrix(
    settings: Settings, *, run: str, expression: str, failing: bool, per: str, output: str, path: Path | None
) -> None:
    """Show which variants of RUN's models run at which place, and recommend the fewest that run everywhere.

    \b
    Examples:
      edgesweep compat matrix latest
      edgesweep compat matrix nightly -k 'fp32 and not static' --per place
      edgesweep compat matrix latest --failing
      edgesweep compat matrix latest -o json > compat.json

    RUN is the id of a run, the start of it, its plan's name, or `latest`. A place is one runtime of a device with one
    provider chain.
    """  # noqa: D301 - click wants the character itself
    from edgesweep.plan.selection import matcher
    from edgesweep.report.compat.advice import Per, advise, usual_per
    from edgesweep.report.compat.matrix import build_compat, not_everywhere

    if path is not None and output in {"table", "wide"}:
        raise click.UsageError("--output needs -o html, json or md")
    found = build_compat(_document(run), matcher(expression))
    if not found.squares:
        raise _nothing(expression)
    advice = advise(found, usual_per(found) if per == "auto" else Per(per))
    if failing:
        found = not_everywhere(found)
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


@compat.command("explain")
@click.argument("name", metavar="CELL")
@click.option("--run", "run", metavar="RUN", default="", help="Look in this run only: its id, plan's name, or latest.")
@click.option(
    "-o",
    "output",
    type=click.Choice(["table", "json", "md"]),
    default="table",
    show_default=True,
    help="Form on stdout.",
)
@pass_settings
def explain(settings: Settings, *, name: str, run: str, output: str) -> None:
    """Tell everything on why CELL ended as it did, and which cells near it pass.

    \b
    Examples:
      edgesweep compat explain pi5/mobile-cnn/dynamo-opset21-static-fp32/1.16.3/cpu/example/t1
      edgesweep compat explain '*/mobile-cnn/*opset21-static*/1.16.3/cpu/*' --run nightly
      edgesweep compat explain opset21-static-fp32/1.16.3/cpu -o md

    CELL is a cell's name, a glob, or a part of a name that fits one cell only. Without --run the newest run that holds
    it is taken. What was asked stands beside what was read back; a cell is near when it differs in one thing only.
    """  # noqa: D301 - click wants the character itself
    from edgesweep.report.compat.story import build_story

    with contextlib.closing(_store()) as store:
        run_id, cell = store.find_cell(name, store.find_run(run) if run else None)
        story = build_story(_load(store, run_id), cell)
    if output == "json":
        from edgesweep.report.compat.story_document import story_document

        print_json(story_document(story))
    elif output == "md":
        from edgesweep.report.compat.story_text import render_markdown

        click.echo(render_markdown(story), nl=False)
    else:
        from edgesweep.report.compat.story_text import render_story

        settings.console().print(render_story(story))


@compat.command("diff")
@click.argument("first", metavar="RUN1")
@click.argument("second", metavar="RUN2")
@click.option("-k", "expression", default="", metavar="EXPR", help="Only cells whose name matches, as in pytest.")
@click.option(
    "-o",
    "output",
    type=click.Choice(["table", "json", "md", "html"]),
    default="table",
    show_default=True,
    help="Form of the result.",
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write; - is stdout. Default: compat-diff.html for html, stdout for the rest.",
)
@pass_settings
def diff(settings: Settings, *, first: str, second: str, expression: str, output: str, path: Path | None) -> int:
    """Tell what changed from RUN1 to RUN2: newly failing, newly passing, another cause, another provider, missing.

    \b
    Examples:
      edgesweep compat diff 20261125-2015-nightly latest
      edgesweep compat diff before after -k pi5 -o md > changes.md

    Cells are the same when their names are. Exit code: 1 when a cell that ran fails, or one that passed fell back, unless
    RUN2's plan calls it a known failure; else 0. Latency is not looked at.
    """  # noqa: D301 - click wants the character itself
    from edgesweep.errors import ExitCode
    from edgesweep.plan.selection import matcher
    from edgesweep.report.compat.diff import compare_runs

    if path is not None and output == "table":
        raise click.UsageError("--output needs -o html, json or md")
    with contextlib.closing(_store()) as store:
        found = compare_runs(_load(store, first), _load(store, second), matcher(expression))
    if not found.same and not found.changes:
        raise _nothing(expression)
    if output == "table":
        from edgesweep.report.compat.diff_text import render_diff

        settings.console().print(render_diff(found))
    elif output == "json":
        from edgesweep.report.compat.diff_document import diff_document

        _give(diff_document(found), path)
    elif output == "md":
        from edgesweep.report.compat.diff_text import render_markdown

        _give(render_markdown(found), path)
    else:
        from edgesweep.report.compat.diff_html import render_html

        _give(render_html(found), path or Path("compat-diff.html"))
    if found.worse:
        from edgesweep.report.units import plural

        click.echo(f"exit 1: {plural(len(found.worse), 'cell')} newly failing or moved to fallback", err=True)
        return ExitCode.FINDING
    return ExitCode.OK


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


def _nothing(expression: str) -> EdgesweepError:
    return EdgesweepError(
        "nothing_selected",
        f"no cell of the run matches '{expression}'" if expression else "the run has no cell",
        remedy="see the names with `edgesweep report RUN -o md`",
    )


def _document(run: str) -> dict[str, Any]:
    """The result document of a sweep.

    Raises:
        EdgesweepError: no_runs, unknown_run, or usage for an export matrix.
    """
    with contextlib.closing(_store()) as store:
        return _load(store, run)


def _load(store: Store, run: str) -> dict[str, Any]:
    from edgesweep.cli.sweeping import told_run
    from edgesweep.home import find_home
    from edgesweep.report.document import build_document
    from edgesweep.store.records import RunKind

    view = told_run(find_home(), store, store.find_run(run))
    if view.run.kind is not RunKind.SWEEP:
        raise EdgesweepError(
            "usage", f"{view.run.id} is an export matrix: it ran on no device", remedy=f"edgesweep report {view.run.id}"
        )
    return build_document(view)


def _store() -> Store:
    from edgesweep.cli.sweeping import open_store
    from edgesweep.home import find_home

    return open_store(find_home())
