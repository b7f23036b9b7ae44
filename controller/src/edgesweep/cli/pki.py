"""`edgesweep pki`: the lab's certificate authority and the certificates it issues."""

from __future__ import annotations

import click


@click.group(epilog="Example: edgesweep pki init && edgesweep pki issue pi5")
def pki() -> None:
    """Make the lab's certificate authority and issue certificates to devices."""


@pki.command("init")
def init() -> None:
    """Make what is missing: the lab's CA, and this controller's certificate.

    A CA that is there is never replaced. A controller's certificate that is damaged, or expires within 30 days, is.
    """
    from edgesweep.fleet.pki import ensure_lab
    from edgesweep.home import find_home

    folder = find_home().pki
    made = ensure_lab(folder)
    for what in made:
        click.echo(f"made {what}", err=True)
    found = "the certificates of this lab are" if made else "nothing to make: CA and controller certificate are good,"
    click.echo(f"{found} in {folder}. Next: edgesweep pki issue DEVICE", err=True)


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
