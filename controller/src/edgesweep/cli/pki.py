"""`edgesweep pki`: the lab's certificate authority and the certificates it issues."""

from __future__ import annotations

import click


@click.group(epilog="Example: edgesweep pki init && edgesweep pki issue pi5")
def pki() -> None:
    """Make the lab's certificate authority and issue certificates to devices."""


@pki.command("init")
def init() -> None:
    """Make the lab CA and this controller's certificate; an existing CA is never replaced."""
    from edgesweep.fleet.pki import init_ca, issue_controller
    from edgesweep.home import find_home

    folder = find_home().pki
    init_ca(folder)
    issue_controller(folder)
    click.echo(f"made the lab CA in {folder}. Next: edgesweep pki issue DEVICE", err=True)


@pki.command("issue")
@click.argument("name")
def issue(*, name: str) -> None:
    """Issue a certificate for the device NAME; prints the folder to copy to the board."""
    from edgesweep.fleet.pki import issue_device
    from edgesweep.home import find_home

    folder = issue_device(find_home().pki, name)
    click.echo(str(folder))
    click.echo(
        f"copy that folder to the board and start: edgesweep-agent serve --listen 0.0.0.0:50051 --tls-dir {folder.name} "
        "--state-dir STATE",
        err=True,
    )
