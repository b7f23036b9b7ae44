"""`edgesweep device`: the boards of the lab."""

from __future__ import annotations

import click

from edgesweep.cli.options import Settings, pass_settings, print_json

_OUTPUTS = ("table", "json", "name")


@click.group(epilog="Example: edgesweep device add pi5 192.0.2.7:50051 --label site=lab1")
def device() -> None:
    """Add, list and look at the devices of the inventory."""


@device.command("add")
@click.argument("name")
@click.argument("address", metavar="HOST:PORT")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label to select by; repeatable.")
@click.option("--insecure", is_flag=True, help="Without TLS; loopback addresses only.")
@click.option("--ssh", default="", metavar="[USER@]HOST", help="How ssh reaches it, for `edgesweep runtime install`.")
@click.option("--state-dir", default="", metavar="DIR", help="Its agent's --state-dir, for the same.")
def add(*, name: str, address: str, labels: tuple[str, ...], insecure: bool, ssh: str, state_dir: str) -> None:
    """Put the board NAME at HOST:PORT into the inventory, or change it: what is not named then stays as it was."""
    from edgesweep.fleet.inventory import entry_of, load_inventory, save_inventory
    from edgesweep.home import find_home

    pairs = dict(label.partition("=")[::2] for label in labels)
    home = find_home()
    entry = entry_of(name, address, pairs, insecure=insecure, ssh=ssh, state_dir=state_dir)
    inventory = load_inventory(home.inventory)
    done = "changed" if any(known.name == name for known in inventory.devices) else "added"
    save_inventory(home.inventory, inventory.with_changed(entry))
    click.echo(f"{done} {name} at {address}. Next: edgesweep device show {name}", err=True)


@device.command("remove")
@click.argument("name")
def remove(*, name: str) -> None:
    """Take the device NAME out of the inventory; its results stay in the store."""
    from edgesweep.fleet.inventory import load_inventory, save_inventory
    from edgesweep.home import find_home

    home = find_home()
    save_inventory(home.inventory, load_inventory(home.inventory).without(name))
    click.echo(f"removed {name}", err=True)


@device.command("list")
@click.option("-o", "output", type=click.Choice(_OUTPUTS), default="table", show_default=True, help="Form.")
@pass_settings
def list_devices(settings: Settings, *, output: str) -> None:
    """List the devices of the inventory; nothing is asked of them."""
    from edgesweep.fleet.inventory import load_inventory
    from edgesweep.home import find_home

    home = find_home()
    entries = load_inventory(home.inventory).devices
    if output == "json":
        rows = [
            {
                "name": entry.name,
                "address": entry.address,
                "labels": dict(entry.labels),
                "insecure": entry.insecure,
                "ssh": entry.ssh or None,
                "state_dir": entry.state_dir or None,
            }
            for entry in entries
        ]
        print_json({"schema_version": 1, "devices": rows})
    elif output == "name":
        for entry in entries:
            click.echo(entry.name)
    elif entries:
        from rich.table import Table

        table = Table("device", "address", "labels", "transport", title=None)
        for entry in entries:
            labels = ",".join(f"{key}={value}" for key, value in sorted(entry.labels.items()))
            table.add_row(entry.name, entry.address, labels, "insecure" if entry.insecure else "mTLS")
        settings.console().print(table)
    else:
        click.echo(f"no devices in {home.inventory}. Next: edgesweep device add NAME HOST:PORT", err=True)


@device.command("show")
@click.argument("name")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form.")
@pass_settings
def show(settings: Settings, *, name: str, output: str) -> None:
    """Ask the device NAME what it is: facts, runtimes, providers that really run, sensors, who holds it."""
    from edgesweep_proto.codec import to_json
    from edgesweep_proto.lease import Lease

    from edgesweep.cli.interrupt import run_until_stopped
    from edgesweep.fleet.client import DeviceClient
    from edgesweep.fleet.description import Description
    from edgesweep.fleet.inventory import load_inventory
    from edgesweep.home import find_home
    from edgesweep.report.device_tables import device_table
    from edgesweep.sweep.launch import client_opener

    home = find_home()
    entry = load_inventory(home.inventory).get(name)

    async def ask() -> tuple[Description, tuple[Lease, ...]]:
        client: DeviceClient = client_opener(home)(entry)
        async with client:
            return await client.describe(), await client.list_leases()

    found, leases = run_until_stopped(ask())
    record = {
        "schema_version": 1,
        "name": entry.name,
        "address": entry.address,
        "labels": dict(entry.labels),
        "colocated": found.colocated,
        "facts": to_json(found.device),
        "runtimes": to_json(found.runtimes),
        "reading": to_json(found.reading),
        "leases": to_json(leases),
    }
    if output == "json":
        print_json(record)
    else:
        console = settings.console()
        console.print(device_table(record))
        for lease in leases:
            console.print(f"held by {lease.owner} for {lease.expires_in_s:.0f} s more, unless renewed")
        if not leases:
            console.print("held by nobody")


_CHECK_EPILOG = """\b
Examples:
  edgesweep device check pi5               is it fit to measure on, and what to change
  edgesweep device check pi5 -o json | jq '.findings[] | select(.level != "ok")'
"""


@device.command("check", epilog=_CHECK_EPILOG)
@click.argument("name")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form.")
@pass_settings
def check(settings: Settings, *, name: str, output: str) -> int:
    """Check whether the device NAME is fit to measure on: governor, clocks, heat, throttling, load, memory, runtimes.

    Nothing is changed on it. Exit codes: 0 fit, with or without advice; 1 a problem makes its numbers untrustworthy; 4 it
    does not answer.
    """
    from dataclasses import asdict

    from edgesweep_proto.codec import to_json

    from edgesweep.cli.checking import look_at
    from edgesweep.cli.interrupt import run_until_stopped
    from edgesweep.errors import ExitCode
    from edgesweep.fleet.fitness import Level, check_fitness
    from edgesweep.home import find_home

    look = run_until_stopped(look_at(find_home(), name))
    findings = check_fitness(look)
    fit = all(finding.level is not Level.PROBLEM for finding in findings)
    told = [asdict(finding) | {"level": finding.level.value} for finding in findings]
    if output == "json":
        reading = to_json(look.now)
        print_json({"schema_version": 1, "name": name, "fit": fit, "findings": told, "reading": reading})
    else:
        from edgesweep.report.device_check import check_table

        settings.console().print(check_table(name, told))
    return ExitCode.OK if fit else ExitCode.FINDING
