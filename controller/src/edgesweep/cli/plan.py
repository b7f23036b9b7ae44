"""`edgesweep plan`: help with writing plan files."""

from __future__ import annotations

from pathlib import Path

import click

from edgesweep.cli.options import Settings, pass_settings, print_json

_START = "quickstart"


@click.group()
def plan() -> None:
    """Start plan files, check them, and print their schema."""


@plan.command("init")
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--from",
    "name",
    metavar="NAME",
    default=_START,
    show_default=True,
    help="The built-in plan to start from; `edgesweep plan list` names them.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(*, path: Path | None, name: str, force: bool) -> None:
    """Write a built-in plan to FILE, to run it or to make it one's own. Without FILE: NAME.yaml, here."""
    from edgesweep.errors import EdgesweepError
    from edgesweep.plan.builtin import builtin_text

    text = builtin_text(name)
    path = path or Path(f"{name}.yaml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise EdgesweepError(
            "usage", f"there is a file {path} already", remedy="name another, or add --force"
        ) from error
    except OSError as error:
        raise EdgesweepError("usage", f"cannot write {path}: {error.strerror}", remedy="name another file") from error
    click.echo(f"wrote {path}. Next: edgesweep export matrix {path}, or edgesweep run {path} -n", err=True)


@plan.command("list")
@click.option(
    "-o", "output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True, help="Form."
)
@pass_settings
def list_plans(settings: Settings, *, output: str) -> None:
    """List the built-in plans."""
    from edgesweep.plan.builtin import builtin_plans, builtin_summary

    names = builtin_plans()
    if output == "json":
        rows = [{"name": name, "summary": builtin_summary(name)} for name in names]
        print_json({"schema_version": 1, "plans": rows})
    elif output == "name":
        for name in names:
            click.echo(name)
    else:
        from rich.markup import escape
        from rich.table import Table

        table = Table("plan", "what it is")
        for name in names:
            table.add_row(name, escape(builtin_summary(name)))
        settings.console().print(table)
        click.echo("next: edgesweep plan init --from NAME", err=True)


@plan.command("check")
@click.argument("path", metavar="PLAN", type=click.Path(path_type=Path))
def check(*, path: Path) -> None:
    """Check the plan file, and name what may be a mistake in it; asks no device.

    Named are entries of exclude and known_failures that do nothing, and options that a provider is not known to have.
    """
    import datetime as dt

    from edgesweep.plan.idle import idle_entries
    from edgesweep.plan.load import load_plan
    from edgesweep.plan.provider_options import unknown_options
    from edgesweep.plan.sources import sources_of

    loaded = load_plan(path)
    today = dt.datetime.now(tz=dt.UTC).date()
    sources = sources_of(loaded.plan, loaded.base_dir)
    idle = idle_entries(loaded.plan, sources, _labels_of(loaded.plan.devices), today=today)
    for note in (*unknown_options(loaded.plan), *idle):
        click.echo(f"{path}: {note}", err=True)
    click.echo(
        f"{path} is valid: {loaded.plan.name}, {len(loaded.plan.models)} models. Next: edgesweep run {path} -n",
        err=True,
    )


def _labels_of(asked: str | tuple[str, ...]) -> dict[str, dict[str, str]]:
    """The labels of the devices that the plan means, as far as the inventory here has them."""
    from edgesweep.errors import EdgesweepError
    from edgesweep.fleet.inventory import load_inventory
    from edgesweep.home import find_home

    try:
        entries = load_inventory(find_home().inventory).select(asked)
    except EdgesweepError:
        return {}
    return {entry.name: dict(entry.labels) for entry in entries}


@plan.command("schema")
def schema() -> None:
    """Print the JSON Schema of plan files, for editors."""
    from edgesweep.plan.load import json_schema

    print_json(json_schema())
