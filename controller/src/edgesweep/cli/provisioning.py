"""The commands around a device's runtimes: who is asked, what is held meanwhile, and how the command ends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgesweep.cli.interrupt import Stopped, run_until_stopped
from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError

if TYPE_CHECKING:
    from edgesweep_proto.device import Runtime

    from edgesweep.fleet.client import DeviceClient
    from edgesweep.fleet.inventory import DeviceEntry
    from edgesweep.fleet.provision.service import Outcome
    from edgesweep.fleet.provision.visit import Visit, Way
    from edgesweep.fleet.provision.wanted import Wanted
    from edgesweep.home import Home

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What `edgesweep runtime install` was asked for."""

    device: str
    wanted: tuple[Wanted, ...]
    way: Way
    wheels: Path | None
    online: bool


@dataclass(frozen=True, slots=True)
class Installs:
    """How an install ended: a row for each runtime that was tried, as `-o json` prints it, and the exit code.

    `trouble` is what ended it before its end, to be raised once the rows are printed.
    """

    rows: list[dict[str, Any]]
    exit_code: int
    trouble: EdgesweepError | Stopped | None = None


def ask(device: str, question: Callable[[DeviceClient], Awaitable[T]]) -> T:
    """The answer of a device's agent; that of the device on this host is started for it."""
    from edgesweep.home import find_home
    from edgesweep.sweep.launch import client_opener

    home = find_home()

    async def asked() -> T:
        async with _device(home, device) as entry, client_opener(home)(entry) as client:
            return await question(client)

    return run_until_stopped(asked())


async def probe_all(client: DeviceClient, runtime_id: str | None) -> tuple[Runtime, ...]:
    """Probe one runtime again, or all that the device has.

    Raises:
        EdgesweepError: `unknown_runtime`, with the nearest id.
    """
    ids = [each.id for each in await client.list_runtimes()]
    if runtime_id and runtime_id not in ids:
        device = client.entry.name
        raise EdgesweepError("unknown_runtime", f"{device!r} has no runtime {runtime_id!r}{hint(runtime_id, ids)}")
    return tuple([await client.probe_runtime(each) for each in ids if runtime_id in {None, each}])


def install_runtimes(request: Request, say: Say) -> Installs:
    """Install, probe, and tell what became of each runtime; what went wrong is said on stderr as it happens."""
    from edgesweep.fleet.provision.wheels import Source
    from edgesweep.home import find_home

    home = find_home()
    outcomes: list[Outcome] = []
    probes: dict[int, Runtime] = {}

    def take(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.error is None:
            say(_sentence(outcome))
        else:
            error = outcome.error
            click.echo(f"error: {outcome.wanted.text}: {error.message}\nremedy: {error.remedy}", err=True)

    async def work() -> None:
        async with _visit(home, request.device, request.way, "runtime install", say) as visit:
            source = Source(request.wheels.absolute() if request.wheels else None)
            try:
                await visit.provisioner.install(
                    request.wanted, source, home.cache / "wheels", online=request.online, done=take
                )
            except EdgesweepError:
                # What came before it is there, and told; what the agent cannot see now is not the news.
                with contextlib.suppress(EdgesweepError):
                    probes.update(await visit.probe(outcomes))
                raise
            probes.update(await visit.probe(outcomes))

    trouble: EdgesweepError | Stopped | None = None
    try:
        run_until_stopped(work())
    except Stopped as stopped:
        click.echo("interrupted; nothing half-made is left on the board", err=True)
        trouble = stopped
    except EdgesweepError as error:
        trouble = error
    rows = [_row(outcome, probes.get(index)) for index, outcome in enumerate(outcomes)]
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    errors += [EdgesweepError("runtime_broken", probe.fault) for probe in probes.values() if probe.fault]
    return Installs(rows, int(errors[0].exit_code) if errors else 0, trouble)


def remove_runtime(device: str, runtime_id: str, way: Way, say: Say) -> str:
    """Remove a runtime and return the folder in which it was.

    Raises:
        EdgesweepError: `unknown_runtime`, or what the way says.
    """
    from edgesweep.home import find_home

    home = find_home()

    async def work() -> str:
        async with _visit(home, device, way, "runtime remove", say) as visit:
            return (await visit.provisioner.remove(runtime_id)).path

    return run_until_stopped(work())


@contextlib.asynccontextmanager
async def _visit(home: Home, device: str, way: Way, purpose: str, say: Say) -> AsyncIterator[Visit]:
    from edgesweep.fleet.provision.visit import visiting
    from edgesweep.sweep.launch import client_opener, owner_name

    async with (
        _device(home, device) as entry,
        visiting(entry, way, client_opener(home), owner=owner_name(purpose), purpose=purpose, say=say) as visit,
    ):
        yield visit


@contextlib.asynccontextmanager
async def _device(home: Home, name: str) -> AsyncIterator[DeviceEntry]:
    """The device's entry, with its agent running where that is started on demand."""
    from dataclasses import replace

    from edgesweep.fleet.inventory import load_inventory
    from edgesweep.fleet.loopback import agent_on_this_host, state_dir_on_this_host, wants_agent

    load_inventory(home.inventory).get(name)
    ours = wants_agent(home, [name])
    agent: AbstractAsyncContextManager[None] = agent_on_this_host(home) if ours else contextlib.nullcontext()
    async with agent:
        entry = load_inventory(home.inventory).get(name)
        yield replace(entry, state_dir=str(state_dir_on_this_host(home))) if ours else entry


def _sentence(outcome: Outcome) -> str:
    asked = outcome.wanted.text
    python = f" on Python {outcome.python}" if outcome.python else ""
    return f"{asked}: {'installed' if outcome.state == 'installed' else 'already there'} in {outcome.path}{python}"


def _row(outcome: Outcome, probe: Runtime | None) -> dict[str, Any]:
    from edgesweep_proto.codec import to_json

    error = outcome.error
    return {
        "asked": outcome.wanted.text,
        "state": outcome.state,
        "name": outcome.name or None,
        "path": outcome.path or None,
        "flavour": outcome.wanted.flavour,
        "version": outcome.version or outcome.wanted.version or None,
        "python_version": outcome.python or None,
        "cause": error.code if error else None,
        "message": error.message if error else None,
        "remedy": error.remedy if error else None,
        "probe": to_json(probe) if probe else None,
    }
