"""`edgesweep plan`: help with writing plan files."""

from __future__ import annotations

from pathlib import Path

import click

from edgesweep.cli.options import print_json


@click.group()
def plan() -> None:
    """Check plan files and print their schema."""


@plan.command("check")
@click.argument("path", metavar="PLAN", type=click.Path(path_type=Path))
def check(*, path: Path) -> None:
    """Check the plan file; asks nothing of any device."""
    from edgesweep.plan.load import load_plan

    loaded = load_plan(path)
    click.echo(
        f"{path} is valid: {loaded.plan.name}, {len(loaded.plan.models)} models. Next: edgesweep run {path} -n",
        err=True,
    )


@plan.command("schema")
def schema() -> None:
    """Print the JSON Schema of plan files, for editors."""
    from edgesweep.plan.load import json_schema

    print_json(json_schema())
