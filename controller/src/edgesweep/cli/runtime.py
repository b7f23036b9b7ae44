"""`edgesweep runtime`: the onnxruntime builds of a device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgesweep.cli.options import Settings, pass_settings, print_json

_EPILOG = """\b
Examples:
  edgesweep runtime list pi5                               what it has, and what really runs there
  edgesweep runtime install pi5 1.23.2 openvino-1.24.1     over ssh, wheels collected here
  edgesweep runtime install jetson --file onnxruntime_gpu-1.23.0-cp310-cp310-linux_aarch64.whl
  edgesweep runtime install pi5 1.19.2@py38 --wheels ./wheelhouse
  edgesweep runtime remove pi5 1.19.2
"""

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(epilog=_EPILOG)
def runtime() -> None:
    """List, probe, install and remove the onnxruntime builds of a device."""


def _way_options(command: F) -> F:
    """How to get to a shell on the board; without any, what the inventory says."""
    for option in (
        click.option("--state-dir", default="", metavar="DIR", help="The --state-dir of the board's agent."),
        click.option("--python", metavar="PYTHON", help="The board's interpreter to use, by path or name."),
        click.option("--local", is_flag=True, help="The board is this very machine; no ssh."),
        click.option("--ssh", default="", metavar="[USER@]HOST", help="How ssh reaches the board."),
    ):
        command = option(command)
    return command


@runtime.command("list")
@click.argument("device")
@click.option(
    "-o", "output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True, help="Form."
)
@pass_settings
def list_runtimes(settings: Settings, *, device: str, output: str) -> None:
    """List the runtimes of DEVICE, those that cannot be used with the reason; new ones are probed first."""
    from edgesweep_proto.codec import to_json

    from edgesweep.cli.provisioning import ask
    from edgesweep.report.device_tables import runtimes_table

    found = ask(device, lambda client: client.list_runtimes())
    if output == "json":
        print_json({"schema_version": 1, "device": device, "runtimes": to_json(found)})
    elif output == "name":
        for each in found:
            if not each.fault:
                click.echo(each.id)
    else:
        settings.console().print(runtimes_table(to_json(found)))


@runtime.command("probe")
@click.argument("device")
@click.argument("runtime_id", metavar="[RUNTIME]", required=False)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form.")
@pass_settings
def probe(settings: Settings, *, device: str, runtime_id: str | None, output: str) -> int:
    """Probe RUNTIME of DEVICE anew, or all of them: which providers really run a node, and how far it goes.

    Exit codes: 0 all can be used, 1 one cannot.
    """
    from edgesweep_proto.codec import to_json

    from edgesweep.cli.provisioning import ask, probe_all
    from edgesweep.report.device_tables import probed_table

    found = ask(device, lambda client: probe_all(client, runtime_id))
    if output == "json":
        print_json({"schema_version": 1, "device": device, "runtimes": to_json(found)})
    else:
        for row in to_json(found):
            settings.console().print(probed_table(row))
    return int(any(each.fault for each in found))


@runtime.command("install")
@click.argument("device")
@click.argument("runtimes", nargs=-1, metavar="[RUNTIME]...")
@click.option("--file", "files", multiple=True, type=_FILE, metavar="WHEEL", help="A vendor's wheel; repeatable.")
@click.option("--wheels", type=_FOLDER, metavar="FOLDER", help="Take wheels from here, and from no index.")
@click.option("--online", is_flag=True, help="The board's own pip fetches them: it has internet.")
@_way_options
@click.option(
    "-o", "output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True, help="Form."
)
@pass_settings
def install(
    settings: Settings,
    *,
    device: str,
    runtimes: tuple[str, ...],
    files: tuple[Path, ...],
    wheels: Path | None,
    online: bool,
    ssh: str,
    local: bool,
    python: str | None,
    state_dir: str,
    output: str,
) -> int:
    """Install each RUNTIME on DEVICE in an environment of its own: 1.23.2, openvino-1.24.1, newest, 1.19.2@py38.

    The wheels that fit the board's Python are collected here and copied, since a board has no internet. All or nothing: an
    environment appears when onnxruntime can be imported in it. Then the agent probes it. What is there already stays.
    """
    from edgesweep.cli.provisioning import Request, install_runtimes
    from edgesweep.fleet.provision.visit import Way
    from edgesweep.fleet.provision.wanted import parse_wanted, wanted_of_file
    from edgesweep.report.device_tables import installed_table

    if not runtimes and not files:
        raise click.UsageError("name a runtime, such as 1.23.2 or newest, or give a wheel with --file")
    if online and (wheels or files):
        raise click.UsageError("--online fetches from the board's index, and --wheels and --file do not")
    if ssh and local:
        raise click.UsageError("--ssh and --local are two ways: give one")
    wanted = (*map(parse_wanted, runtimes), *map(wanted_of_file, files))
    request = Request(device, wanted, Way(ssh, local, state_dir, python), wheels, online=online)
    done = install_runtimes(request, _teller(settings))
    if output == "json":
        print_json({"schema_version": 1, "device": device, "runtimes": done.rows})
    elif output == "name":
        for row in done.rows:
            if row["state"] != "failed":
                click.echo((row["probe"] or {}).get("id") or row["name"])
    elif done.rows:
        settings.console().print(installed_table(done.rows))
    if done.trouble is not None:
        raise done.trouble
    return done.exit_code


@runtime.command("remove")
@click.argument("device")
@click.argument("runtime_id", metavar="RUNTIME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_way_options
@pass_settings
def remove(
    settings: Settings,
    *,
    device: str,
    runtime_id: str,
    yes: bool,
    ssh: str,
    local: bool,
    python: str | None,
    state_dir: str,
) -> None:
    """Remove RUNTIME, one that was installed, from DEVICE; its results stay in the store."""
    from edgesweep.cli.provisioning import remove_runtime
    from edgesweep.fleet.provision.visit import Way

    if ssh and local:
        raise click.UsageError("--ssh and --local are two ways: give one")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"removing {runtime_id} asks first, and nobody is there to answer: give --yes")
        click.confirm(f"Remove {runtime_id} from {device}?", abort=True, err=True)
    path = remove_runtime(device, runtime_id, Way(ssh, local, state_dir, python), _teller(settings))
    click.echo(f"removed {path}", err=True)


def _teller(settings: Settings) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        if not settings.quiet:
            click.echo(sentence, err=True)

    return say
