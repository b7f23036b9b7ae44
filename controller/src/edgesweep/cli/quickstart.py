"""`edgesweep quickstart`: a real sweep on this machine, with everything that it needs made on the way."""

from __future__ import annotations

import contextlib
import importlib.resources
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings, pass_settings, progress_option

if TYPE_CHECKING:
    from edgesweep.home import Home
    from edgesweep.plan.load import LoadedPlan

#: The device that the quickstart puts into the inventory: an agent on this host.
DEVICE = "local"


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

    The agent listens on a free loopback port and is stopped at the end. A second call finds everything exported.
    """
    from edgesweep.cli.output import write_html
    from edgesweep.cli.sweeping import RunRequest, open_store, run_to_exit_code
    from edgesweep.home import find_home

    started = time.monotonic()
    home = find_home()
    loaded = None if resume else _built_in_plan()
    request = RunRequest(loaded, resume, expression, output, progress, resume_command="edgesweep quickstart --resume")
    code = run_to_exit_code(settings, home, request, lambda: _agent_beside(home))
    if code >= 128:  # noqa: PLR2004 - ended by a signal; the resume line is printed
        return code
    with contextlib.closing(open_store(home)) as store:
        view = store.load_run(store.find_run(resume or "latest"))
    size = write_html(view, report_path)
    click.echo(
        f"report: {report_path.absolute()} ({size / 1024:.0f} KiB), after {time.monotonic() - started:.0f} s", err=True
    )
    click.echo("next:", err=True)
    for line in (
        "edgesweep report latest -o md        the same as Markdown; json and csv too",
        "edgesweep model list                 the models you can name in a plan of your own",
        "edgesweep device add NAME HOST:PORT  sweep a second board beside this machine",
    ):
        click.echo(f"  {line}", err=True)
    return code


def _built_in_plan() -> LoadedPlan:
    from edgesweep.plan.load import parse_plan

    resource = importlib.resources.files("edgesweep.plan").joinpath("quickstart.yaml")
    return parse_plan(resource.read_text("utf-8"), Path.cwd(), "quickstart.yaml")


@contextlib.asynccontextmanager
async def _agent_beside(home: Home) -> AsyncIterator[None]:
    """An agent of our own on loopback with its own certificate, in the inventory under `DEVICE`."""
    from edgesweep.fleet.inventory import entry_of, load_inventory, save_inventory
    from edgesweep.fleet.local_agent import LocalAgent
    from edgesweep.fleet.pki import device_tls_dir, ensure_ca, issue_controller, issue_device

    if ensure_ca(home.pki):
        issue_controller(home.pki)
    tls_dir = device_tls_dir(home.pki, DEVICE)
    if not (tls_dir / "cert.pem").exists():
        tls_dir = issue_device(home.pki, DEVICE)
    async with LocalAgent() as agent:
        address = await agent.start(DEVICE, home.state / "agents" / DEVICE, tls_dir)
        entry = entry_of(DEVICE, address, {"site": "quickstart"})
        save_inventory(home.inventory, load_inventory(home.inventory).with_device(entry))
        yield
