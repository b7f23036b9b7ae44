"""One visit to a board: its agent held meanwhile, so that nothing is measured beside the work, and a shell on it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from edgesweep_proto.device import Runtime

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.description import Description
from edgesweep.fleet.hold import held
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.provision.service import Outcome, Provisioner
from edgesweep.fleet.provision.shell import LocalShell, Say, Shell
from edgesweep.fleet.provision.ssh import SshShell


@dataclass(frozen=True, slots=True)
class Way:
    """How to get to the board's shell and folder: what the command line says, else what the inventory does.

    `ssh` is `[user@]host`, `local` says that the board is this very host, `state_dir` is the agent's folder there.
    """

    ssh: str = ""
    local: bool = False
    state_dir: str = ""
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visitor has: the way to install, the agent if it answers, and its runtimes as they were on coming."""

    entry: DeviceEntry
    provisioner: Provisioner
    client: DeviceClient | None
    before: tuple[Runtime, ...]
    say: Say

    async def probe(self, outcomes: Iterable[Outcome]) -> dict[int, Runtime]:
        """What the agent says of each outcome that is there, by its position; empty when no agent answers.

        Raises:
            EdgesweepError: `state_dir_unusable` when the agent does not see what was installed.
        """
        outcomes = list(outcomes)
        if self.client is None or all(outcome.state == "failed" for outcome in outcomes):
            return {}
        self.say("the agent probes what is there now")
        after = await self.client.list_runtimes()
        found: dict[int, Runtime] = {}
        for index, outcome in enumerate(outcomes):
            if outcome.state == "failed":
                continue
            taken = {runtime.id for runtime in found.values()}
            seen = _seen(outcome, self.before, [runtime for runtime in after if runtime.id not in taken])
            if seen is None:
                raise EdgesweepError(
                    "state_dir_unusable",
                    f"{outcome.path} is there, and the agent of {self.entry.name!r} does not look there for runtimes",
                    remedy="give the folder of that agent's --state-dir with --state-dir",
                )
            found[index] = seen
        return found


def _seen(outcome: Outcome, before: Sequence[Runtime], after: Sequence[Runtime]) -> Runtime | None:
    """What the agent calls an environment that is there now; None when it sees none."""
    named = next((runtime for runtime in after if runtime.installed_as == outcome.name), None)
    if named is not None:
        # What was made just now cannot have been there before: that one is in the agent's folder, and ours is not.
        older = outcome.state == "installed" and any(each.installed_as == outcome.name for each in before)
        return None if older else named
    # An agent that tells no folders: one that is like it, and one more than before.
    alike = [runtime for runtime in after if not runtime.installed_as and _is_alike(runtime, outcome)]
    count = sum(_is_alike(runtime, outcome) for runtime in before) if outcome.state == "installed" else 0
    return alike[count] if len(alike) > count else None


def _is_alike(runtime: Runtime, outcome: Outcome) -> bool:
    same = (runtime.flavour, runtime.version.partition("+")[0]) == (
        outcome.flavour,
        outcome.version.partition("+")[0],
    )
    return same and outcome.python in {"", runtime.python_version}


@contextlib.asynccontextmanager
async def visiting(
    entry: DeviceEntry,
    way: Way,
    open_client: Callable[[DeviceEntry], DeviceClient],
    *,
    owner: str,
    purpose: str,
    say: Say,
) -> AsyncIterator[Visit]:
    """Holds the board of `entry` and opens a shell on it.

    An agent that does not answer is passed over: a board may get its runtimes before its agent.

    Raises:
        EdgesweepError: `usage` when the way or the state folder is not known, `lease_held`, or ssh's and the link's own.
    """
    state_dir = way.state_dir or entry.state_dir
    if not state_dir:
        raise EdgesweepError(
            "usage",
            f"the inventory does not say which state folder the agent of {entry.name!r} has",
            remedy="give its --state-dir here with --state-dir, or once for all with `edgesweep device add … --state-dir DIR`",
        )
    async with AsyncExitStack() as stack:
        client, found = await _meet(stack, entry, open_client, say)
        shell = await stack.enter_async_context(_shell(entry, way, found))
        if client is not None:
            await stack.enter_async_context(held(client, owner, purpose))
        provisioner = Provisioner(shell, state_dir, way.python, say)
        yield Visit(entry, provisioner, client, found.runtimes if found else (), say)


async def _meet(
    stack: AsyncExitStack, entry: DeviceEntry, open_client: Callable[[DeviceEntry], DeviceClient], say: Say
) -> tuple[DeviceClient | None, Description | None]:
    try:
        client = await stack.enter_async_context(open_client(entry))
        return client, await client.describe()
    except EdgesweepError as error:
        if error.code != "unreachable":
            raise
        say(f"{error.message}; it is not held meanwhile, and nothing is probed")
        return None, None


@contextlib.asynccontextmanager
async def _shell(entry: DeviceEntry, way: Way, found: Description | None) -> AsyncIterator[Shell]:
    target = way.ssh or ("" if way.local else entry.ssh)
    if target:
        async with SshShell(target) as shell:
            yield shell
        return
    # An address on loopback may be a tunnel's: only the boot id tells that the board is this host.
    if not way.local and not (found and found.colocated):
        raise EdgesweepError(
            "usage",
            f"it is not known how to reach a shell on {entry.name!r}",
            remedy="give --ssh [USER@]HOST, or --local where the board is this machine; once for all: "
            "`edgesweep device add … --ssh [USER@]HOST`",
        )
    if found and not found.colocated:
        raise EdgesweepError(
            "usage",
            f"{entry.name!r} is another machine: its agent's boot id is not this host's",
            remedy="give --ssh [USER@]HOST instead of --local",
        )
    yield LocalShell()
