"""The terminal's tables of a device: its facts, its runtimes, and what became of those that were to be installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.facts import device_facts, short_provider
from edgesweep.report.outcomes import Doc
from edgesweep.report.tables import Adaptive, heading, plain_table

_STATE_STYLES = {"installed": "green", "present": "dim", "failed": "bold red"}


def device_table(record: Doc) -> RenderableType:
    """One device: its facts, then its runtimes with the providers that really ran a node."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in device_facts(record):
        facts.add_row(name, Text(value))
    rows = record.get("runtimes") or []
    return Adaptive(lambda _width: Group(heading(record["name"]), facts, Text(), runtimes_table(rows), *_takes(rows)))


def runtimes_table(rows: Sequence[Doc]) -> RenderableType:
    """One line per runtime with the providers that really ran a node.

    Args:
        rows: `Runtime`s as JSON data.
    """
    if not rows:
        return Text("no runtime: add one with `edgesweep runtime install DEVICE newest`")
    table = plain_table()
    for head in ("runtime", "onnxruntime", "Python"):
        table.add_column(head, no_wrap=True)
    table.add_column("providers that ran", overflow="fold")
    table.add_column("harness\nfloor", justify="right", no_wrap=True)
    table.add_column("newest\nopset", justify="right", no_wrap=True)
    table.add_column("newest\nIR", justify="right", no_wrap=True)
    for runtime in rows:
        table.add_row(
            Text(runtime["id"]),
            Text(runtime["version"]),
            Text(runtime["python_version"]),
            _providers(runtime),
            units.seconds(runtime.get("harness_floor_s")),
            units.count(runtime.get("max_opset")),
            units.count(runtime.get("max_ir_version")),
        )
    return Adaptive(lambda _width: table)


def probed_table(runtime: Doc) -> RenderableType:
    """One runtime in full: its line, and for each provider, compiled in or plugged in, whether it ran, or why not."""
    providers = plain_table()
    providers.add_column("provider", no_wrap=True)
    providers.add_column("nodes that ran", justify="right", no_wrap=True)
    providers.add_column("precisions", no_wrap=True)
    providers.add_column("its words", overflow="fold")
    for probe in runtime.get("providers") or []:
        providers.add_row(
            Text(short_provider(probe["name"])),
            str(probe["nodes"]),
            ", ".join(probe.get("precisions") or []),
            Text(probe["message"]),
        )
    build = Text(runtime["build_info"], style="dim", overflow="fold")
    plugged = _plugins(runtime.get("plugins") or [])
    return Group(runtimes_table([runtime]), Text(), providers, Text(), *plugged, *_takes([runtime]), build)


def _plugins(plugins: Sequence[Doc]) -> list[RenderableType]:
    """The libraries that are registered with a runtime, with what each found to run on or why it cannot be used."""
    if not plugins:
        return []
    table = plain_table()
    table.add_column("plug-in", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("devices, or why there are none", overflow="fold")
    for plugin in plugins:
        where = f"{plugin['distribution']} {plugin['version']}" if plugin["distribution"] else "the agent's settings"
        said = Text(plugin["fault"], style="red") if plugin["fault"] else Text(", ".join(plugin["devices"]))
        table.add_row(Text(short_provider(plugin["name"])), Text(where), said)
    return [table, Text()]


def installed_table(rows: Sequence[Doc]) -> RenderableType:
    """What became of each runtime that was to be installed: its id for plans, and what its probe found."""
    table = plain_table()
    table.add_column("asked for", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("runtime", no_wrap=True)
    table.add_column("Python", no_wrap=True)
    table.add_column("providers that ran", overflow="fold")
    table.add_column("newest\nopset", justify="right", no_wrap=True)
    table.add_column("newest\nIR", justify="right", no_wrap=True)
    for row in rows:
        probe: Doc = row["probe"] or {}
        said = Text(row["cause"] or "not probed", style="red" if row["cause"] else "dim")
        table.add_row(
            Text(row["asked"]),
            Text(row["state"], style=_STATE_STYLES.get(row["state"], "")),
            Text(probe.get("id") or row["name"] or units.NOTHING),
            Text(row["python_version"] or units.NOTHING),
            _providers(probe) if probe else said,
            units.count(probe.get("max_opset")),
            units.count(probe.get("max_ir_version")),
        )
    return Adaptive(lambda _width: table)


def _providers(runtime: Doc) -> Text:
    if runtime.get("fault"):
        return Text(f"cannot be used: {runtime['fault']}", style="red")
    ran = ", ".join(short_provider(probe["name"]) for probe in runtime.get("providers") or [] if probe["nodes"])
    dead = ", ".join(short_provider(plugin["name"]) for plugin in runtime.get("plugins") or [] if plugin["fault"])
    return Text(ran or "none") + (Text(f" (not usable: {dead})", style="dim") if dead else Text())


def _takes(rows: Sequence[Doc]) -> Iterable[Text]:
    """What a model for each runtime may hold, and which wheels go beside it, as far as its agent found out."""
    for runtime in rows:
        if runtime.get("types"):
            yield Text(f"{runtime['id']} takes the types {', '.join(runtime['types'])}", overflow="fold")
        if runtime.get("domains"):
            yield Text(f"{runtime['id']} knows the operators of {', '.join(runtime['domains'])}", overflow="fold")
        if runtime.get("wheel_tag"):
            yield Text(f"{runtime['id']} takes wheels up to {runtime['wheel_tag']}", overflow="fold")
