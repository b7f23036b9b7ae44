"""`edgesweep quickstart`: a real sweep on this machine, with everything that it needs made on the way."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import click

from edgesweep.cli.options import Settings, pass_settings, progress_option


@click.command()
@click.option("--resume", metavar="RUN", default="", help="Finish a quickstart that was cut short.")
@click.option("-k", "expression", default="", metavar="EXPR", help="Only cells whose name matches, as in pytest.")
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="Where the report goes.",
)
@click.option(
    "-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form on stdout."
)
@progress_option
@pass_settings
def quickstart(
    settings: Settings, *, resume: str, expression: str, report_path: Path, output: str, progress: str
) -> int:
    """Sweep the built-in models on this very machine: CA, agent, exports, measurements, report.

    The agent listens on a free loopback port, is the device `local` of the inventory and is stopped at the end; a plan
    that names `local` starts it again. A second call finds everything exported.
    """
    from edgesweep.cli.output import check_report_path, html_of, write_report
    from edgesweep.cli.sweeping import RunRequest, open_store, run_to_end, told_run
    from edgesweep.fleet.loopback import agent_on_this_host
    from edgesweep.home import find_home
    from edgesweep.plan.builtin import builtin_text
    from edgesweep.plan.load import parse_plan

    started = time.monotonic()
    check_report_path(report_path)
    home = find_home()
    loaded = None if resume else parse_plan(builtin_text("quickstart"), Path.cwd(), "quickstart.yaml")
    request = RunRequest(loaded, resume, expression, output, progress, resume_command="edgesweep quickstart --resume")
    end = run_to_end(settings, home, request, lambda: agent_on_this_host(home))
    if end.exit_code >= 128:  # noqa: PLR2004 - ended by a signal; the resume line is printed
        return end.exit_code
    with contextlib.closing(open_store(home)) as store:
        page = html_of(told_run(home, store, end.run_id))
    write_report(report_path, page, remedy=f"edgesweep report {end.run_id} -o html --output FILE")
    size, seconds = len(page.encode()) / 1024, time.monotonic() - started
    click.echo(f"report: {report_path.absolute()} ({size:.0f} KiB), after {seconds:.0f} s", err=True)
    click.echo("next:", err=True)
    for line in (
        "edgesweep report latest -o md        the same as Markdown; json and csv too",
        "edgesweep model list                 the models you can name in a plan of your own",
        "edgesweep pki issue NAME             a certificate for a second board; see the README",
    ):
        click.echo(f"  {line}", err=True)
    return end.exit_code
