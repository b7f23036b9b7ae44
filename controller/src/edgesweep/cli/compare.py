"""`edgesweep compare`: two measured cells held against each other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings, pass_settings, print_json

if TYPE_CHECKING:
    from edgesweep.report.node_comparison import Side
    from edgesweep.store.store import Store

_EPILOG = """\b
Examples:
  edgesweep compare --nodes '*/net/*/cpu/*' '*/net/*/openvino/*'
  edgesweep compare --nodes 20261125-2015-nightly:CELL CELL -o md
"""


@click.command(epilog=_EPILOG)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--nodes", is_flag=True, help="Compare the times of single nodes.")
@click.option(
    "-o",
    "output",
    type=click.Choice(["table", "json", "md"]),
    default="table",
    show_default=True,
    help="Form on stdout.",
)
@pass_settings
def compare(settings: Settings, *, first: str, second: str, nodes: bool, output: str) -> None:
    """Hold cell B against cell A: by operator and by node, with the provider of each; what moved stands first.

    A and B are names of cells, globs, or parts of a name that fit one cell only; RUN:CELL names the run, else it is the
    newest one that has the times of the cell's nodes. A plan asks for these with measure.node_profile.
    """
    if not nodes:
        raise click.UsageError(
            "compare takes cells with --nodes; edgesweep compat diff tells what changed between two runs"
        )
    from edgesweep.cli.sweeping import open_store
    from edgesweep.home import find_home
    from edgesweep.report.node_comparison import compare_nodes, comparison_document

    with contextlib.closing(open_store(find_home())) as store:
        found = compare_nodes(_side(store, first), _side(store, second))
    if output == "json":
        print_json(comparison_document(found))
    elif output == "md":
        from edgesweep.report.node_comparison_text import comparison_markdown

        click.echo(comparison_markdown(found), nl=False)
    else:
        from edgesweep.report.node_comparison_text import comparison_table

        settings.console().print(comparison_table(found))


def _side(store: Store, text: str) -> Side:
    """The cell that `text` means, with the times of its nodes.

    Raises:
        EdgesweepError: `unknown_run`, `unknown_cell`, or `no_node_profile` where no run has them.
    """
    from edgesweep.errors import EdgesweepError
    from edgesweep.report.document import build_document
    from edgesweep.report.node_comparison import Side

    run, colon, cell = text.partition(":")
    given = store.find_run(run) if colon else None
    newest, name = store.find_cell(cell if colon else text, given)
    for run_id in [given] if given is not None else store.runs_of_cell(name, newest):
        document = build_document(store.load_run(run_id))
        profile = next(found["node_profile"] for found in document["cells"] if found["name"] == name)
        if profile:
            return Side(run_id, name, profile)
    raise EdgesweepError("no_node_profile", f"the times of the nodes of {name} were not told in {given or 'any run'}")
