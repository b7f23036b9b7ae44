"""`edgesweep model`: what can be swept without writing a line."""

from __future__ import annotations

import click

from edgesweep.cli.options import Settings, pass_settings, print_json


@click.group()
def model() -> None:
    """Look at the built-in models."""


@model.command("list")
@click.option(
    "-o", "output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True, help="Form."
)
@pass_settings
def list_models(settings: Settings, *, output: str) -> None:
    """List the models of the zoo: their dynamic dimensions, the sizes each may take, the packages that they need."""
    from edgesweep.models.zoo import ZOO

    if output == "json":
        rows = [
            {
                "name": name,
                "summary": entry.summary,
                "dimensions": {dim: list(entry.facts.ranges.get(dim, ())) for dim in entry.facts.dimensions},
                "needs": list(entry.needs),
                "missing": entry.missing,
            }
            for name, entry in ZOO.items()
        ]
        print_json({"schema_version": 1, "models": rows})
    elif output == "name":
        for name in ZOO:
            click.echo(name)
    else:
        from rich.table import Table

        table = Table("model", "what it is", "dynamic dimensions (sizes)", "needs")
        for name, entry in ZOO.items():
            sizes = (
                f"{dim} {' to '.join(map(str, entry.facts.ranges.get(dim, ('any',))))}"
                for dim in entry.facts.dimensions
            )
            needs = " and ".join(entry.needs)
            told = f"needs {needs} ({'not installed' if entry.missing else 'installed'})" if needs else ""
            table.add_row(name, entry.summary, ", ".join(sizes), told)
        settings.console().print(table)
        for sentence in (entry.missing for entry in ZOO.values() if entry.missing):
            click.echo(sentence, err=True)
