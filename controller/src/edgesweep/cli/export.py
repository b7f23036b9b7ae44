"""`edgesweep export`: what becomes of models on their way to ONNX, before any board is touched."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from edgesweep.cli.options import Settings, pass_settings, print_json, progress_option
from edgesweep.errors import EdgesweepError

_MATRIX_OUTPUTS = ("table", "json", "md", "html")


@click.group()
def export() -> None:
    """Export and prove the models of a plan, with no device anywhere.

    \b
    Examples:
      edgesweep export matrix plans/nightly.yaml          every variant: proven, or why not
      edgesweep export matrix plans/nightly.yaml -k dynamo -o html --output matrix.html
      edgesweep export explain mobile-cnn/dynamo-opset13-batch-fp32
      edgesweep export explain dynamo-opset13-batch --full    the exporter's own words too
    """  # noqa: D301 - click wants the character itself


@export.command("matrix")
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("-k", "expression", default="", metavar="EXPR", help="Only variants whose name matches, as in pytest.")
@click.option(
    "-o", "output", type=click.Choice(_MATRIX_OUTPUTS), default="table", show_default=True, help="Form of the result."
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write; - is stdout. Default: matrix.html for html, stdout for the rest.",
)
@progress_option
@pass_settings
def matrix(
    settings: Settings, *, plan_path: Path, expression: str, output: str, path: Path | None, progress: str
) -> int:
    """Export every variant of PLAN and prove it against torch; needs no device, no inventory and no agent.

    \b
    Examples:
      edgesweep export matrix plans/nightly.yaml -k 'dynamo and not static'
      edgesweep export matrix plans/nightly.yaml -o json > matrix.json

    Every variant ends as pass, failed, skipped or lost. Stop it with Ctrl-C when you like: what is exported is kept,
    and the same command finds it in the cache.
    """  # noqa: D301 - click wants the character itself
    from edgesweep.cli.exporting import MatrixRequest, matrix_to_end
    from edgesweep.cli.output import check_report_path
    from edgesweep.home import find_home

    if path is None and output == "html":
        path = Path("matrix.html")
    if path is not None and output == "table":
        raise click.UsageError("--output needs -o json, md or html")
    if path is not None and str(path) != "-":
        check_report_path(path)
    return matrix_to_end(settings, find_home(), MatrixRequest(plan_path, expression, output, path, progress))


@export.command("explain")
@click.argument("name", metavar="CELL")
@click.option("--run", "run", metavar="RUN", default="", help="Look in this run or matrix only: its id or plan's name.")
@click.option("--full", is_flag=True, help="Print the whole diagnosis as the exporter wrote it.")
@click.option(
    "-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form on stdout."
)
@pass_settings
def explain(settings: Settings, *, name: str, run: str, full: bool, output: str) -> None:
    """Tell the story of CELL step by step: what was asked, what was produced, how it was proven, and what to do.

    \b
    Examples:
      edgesweep export explain mobile-cnn/dynamo-opset13-batch-fp32
      edgesweep export explain detector/torchscript-opset17-full --run nightly --full

    CELL is the name of a cell or of a variant (model/exporter-opsetN-axes-precision), or a part of it that no other has.
    Without --run the newest run or matrix that holds it is taken.
    """  # noqa: D301 - click wants the character itself
    from edgesweep.cli.sweeping import open_store
    from edgesweep.home import find_home
    from edgesweep.report.exports.story import build_story, story_document
    from edgesweep.report.exports.story_text import render_story, whole_diagnosis

    with contextlib.closing(open_store(find_home())) as store:
        try:
            named = store.find_named(name, store.find_run(run, None) if run else None)
        except EdgesweepError as error:
            if error.code == "no_runs":
                error.remedy = "start one with `edgesweep export matrix PLAN`"
            raise
        view = store.load_run(named.run_id)
    story = build_story(view, named)
    if output == "json":
        print_json(story_document(story))
    else:
        settings.console().print(render_story(story))
        if full:
            click.echo(f"\n{whole_diagnosis(story)}")
