"""`edgesweep run`: a plan from its file to its outcomes, or the rest of a run that was cut short."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings, pass_settings, print_json, progress_option
from edgesweep.cli.output import RUN_OUTPUTS

if TYPE_CHECKING:
    from edgesweep.cli.sweeping import RunRequest
    from edgesweep.sweep.launch import Prepared


@click.command(epilog="Next: edgesweep report latest -o html")
@click.argument("plan_path", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@click.option("--resume", metavar="RUN", default="", help="Finish a run that was cut short; takes no plan.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the cells that the plan expands to, and run nothing.")
@click.option("-k", "expression", default="", metavar="EXPR", help="Only cells whose name matches, as in pytest.")
@click.option(
    "-o", "output", type=click.Choice(RUN_OUTPUTS), default="table", show_default=True, help="Form on stdout."
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds for which a device may stay away before its cells are lost.",
)
@progress_option
@pass_settings
def run(
    settings: Settings,
    *,
    plan_path: Path | None,
    resume: str,
    dry_run: bool,
    expression: str,
    output: str,
    patience: float,
    progress: str,
) -> int:
    """Run PLAN on the devices of the inventory.

    Every planned cell ends with exactly one outcome. A run that was cut short goes on with --resume.
    """
    if (plan_path is None) != bool(resume):
        raise click.UsageError("give a PLAN, or --resume RUN")
    if dry_run and plan_path is None:
        raise click.UsageError("--dry-run needs a PLAN")
    from edgesweep.cli.sweeping import RunRequest, load_plan_file, run_to_end
    from edgesweep.home import find_home

    loaded = load_plan_file(plan_path) if plan_path else None
    request = RunRequest(loaded, resume, expression, output, progress, patience)
    if dry_run:
        return _dry_run(settings, request)
    return run_to_end(settings, find_home(), request).exit_code


def _dry_run(settings: Settings, request: RunRequest) -> int:
    from edgesweep.cli.interrupt import run_until_stopped
    from edgesweep.cli.sweeping import prepared_run, surroundings_of
    from edgesweep.home import find_home
    from edgesweep.sweep.launch import known_failures

    async def plan() -> Prepared:
        home = find_home()
        async with surroundings_of(home, request), prepared_run(home, request) as (prepared, _):
            return prepared

    prepared = run_until_stopped(plan())
    for note in prepared.notes:
        click.echo(note, err=True)
    if request.output == "json":
        print_json(
            {
                "schema_version": 1,
                "name": prepared.run.name,
                "plan_digest": prepared.run.plan_digest,
                "cells": [cell.name for cell in prepared.cells],
                "unplanned": dict(prepared.unplanned),
                "notes": list(prepared.notes),
            }
        )
        return 0
    console, known = settings.console(), known_failures(prepared)
    for cell in prepared.cells:
        note = f"  known failure: {known[cell.name]}".rstrip(": ") if cell.name in known else ""
        note = f"  skipped: {cell.skip.cause} {cell.skip.message}".rstrip() if cell.skip else note
        console.print(f"{cell.name}{note}", soft_wrap=True)
    by_device = Counter(cell.device for cell in prepared.cells)
    variants = len({cell.variant for cell in prepared.cells})
    console.print(
        f"{len(prepared.cells)} cells of {variants} variants: "
        + ", ".join(f"{name} {count}" for name, count in by_device.items())
    )
    for reason, count in prepared.unplanned.items():
        console.print(f"not planned: {count} combinations: {reason}")
    return 0
