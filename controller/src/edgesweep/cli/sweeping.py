"""A run as a command: progress on stderr, results on stdout, the exit code that a nightly job branches on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesweep.cli.interrupt import Stopped, run_until_stopped
from edgesweep.cli.options import Settings
from edgesweep.cli.output import show_run
from edgesweep.cli.watching import shown_progress
from edgesweep.errors import EdgesweepError, ExitCode

if TYPE_CHECKING:
    from edgesweep.export.contract import Exports
    from edgesweep.home import Home
    from edgesweep.plan.load import LoadedPlan
    from edgesweep.store.records import RunView
    from edgesweep.store.store import Store
    from edgesweep.sweep.launch import Prepared


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `edgesweep run` was asked for: a plan to start or a stored run to finish."""

    loaded: LoadedPlan | None = None
    resume: str = ""
    expression: str = ""
    output: str = "table"
    progress: str = "auto"
    budget_s: float = 30.0
    resume_command: str = "edgesweep run --resume"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How the command is to end, and which run it was about; empty when none was begun."""

    exit_code: int
    run_id: str = ""


@contextlib.asynccontextmanager
async def surroundings_of(home: Home, request: RunRequest, resumed: RunView | None = None) -> AsyncIterator[None]:
    """Starts the agent on this host for as long as the run lasts, if the run names its device."""
    from edgesweep.fleet.inventory import load_inventory
    from edgesweep.fleet.loopback import agent_on_this_host, wants_agent

    names: set[str] = set()
    if resumed is not None:
        names = {record.name for record in resumed.devices}
    elif request.loaded is not None:
        names = {entry.name for entry in load_inventory(home.inventory).select(request.loaded.plan.devices)}
    async with agent_on_this_host(home) if wants_agent(home, names) else contextlib.nullcontext():
        yield


def open_store(home: Home) -> Store:
    """The store in force, made or migrated if needed."""
    from edgesweep.store.store import Store

    return Store.open(home.store_url, home.samples)


def told_run(home: Home, store: Store, run_id: str) -> RunView:
    """A stored run as the user's rules tell it now.

    Raises:
        EdgesweepError: unknown_run, or config_invalid for a broken rules file.
    """
    from edgesweep.failures.retell import retell
    from edgesweep.failures.rules_file import read_rules

    rules = read_rules(home.rules)
    return retell(store.load_run(run_id), rules)


def run_to_end(
    settings: Settings,
    home: Home,
    request: RunRequest,
    surroundings: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> RunEnd:
    """Runs, shows the result on stdout and judges it; on Ctrl-C says how to resume.

    `surroundings` is entered before the devices are asked and left, whatever happens, when the run is over; by default
    it is the agent on this host if the run names its device.
    """
    from edgesweep.sweep.history import previous_outcomes
    from edgesweep.sweep.run_verdict import judge_run

    with contextlib.closing(open_store(home)) as store:
        resumed = stored_sweep(store, request.resume) if request.resume else None
        started: list[str] = [resumed.run.id] if resumed else []

        async def sweep() -> tuple[str, tuple[str, ...]]:
            async with surroundings() if surroundings else surroundings_of(home, request, resumed):
                return await _sweep(settings, home, store, request, resumed, started)

        try:
            run_id, fail_on = run_until_stopped(sweep())
        except Stopped as stopped:
            if started:
                resume = f"{request.resume_command} {started[0]}"
                click.echo(f"interrupted; everything finished is kept. Next: {resume}", err=True)
            return RunEnd(stopped.exit_code, *started)
        except EdgesweepError as error:
            if started and error.exit_code is ExitCode.STORE:
                click.echo(f"once the store works: {request.resume_command} {started[0]}", err=True)
            raise
        view = told_run(home, store, run_id)
        previous = previous_outcomes(store, view)
        show_run(settings, view, request.output)
        verdict = judge_run(view, fail_on, previous=previous)
        for reason in verdict.reasons:
            click.echo(f"exit {verdict.exit_code.value}: {reason}", err=True)
        if verdict.fixed:
            others = f" and {len(verdict.fixed) - 1} more" if len(verdict.fixed) > 1 else ""
            click.echo(f"fixed, though still in the plan's known_failures: {verdict.fixed[0]}{others}", err=True)
        if verdict.resumable:
            click.echo(f"next: {request.resume_command} {run_id}", err=True)
        return RunEnd(verdict.exit_code, run_id)


def stored_sweep(store: Store, text: str) -> RunView:
    """The stored run that `text` means, to be resumed.

    Raises:
        EdgesweepError: `usage` for an export matrix: nothing of it runs on a device, so there is nothing to resume.
    """
    from edgesweep.store.records import RunKind

    view = store.load_run(store.find_run(text))
    if view.run.kind is RunKind.MATRIX:
        raise EdgesweepError(
            "usage",
            f"{view.run.id} is an export matrix, which is not resumed but started again",
            remedy="edgesweep export matrix PLAN: what is exported already comes from the cache",
        )
    return view


async def _sweep(
    settings: Settings, home: Home, store: Store, request: RunRequest, resumed: RunView | None, started: list[str]
) -> tuple[str, tuple[str, ...]]:
    from edgesweep.sweep.launch import execute

    async with prepared_run(home, request, resumed) as (prepared, exports):
        started[:] = [prepared.run.id]
        with shown_progress(settings, request.progress) as emit:
            await execute(
                home,
                prepared,
                exports,
                store,
                emit,
                resumed=resumed,
                budget_s=request.budget_s,
                resume_command=request.resume_command,
            )
        return prepared.run.id, tuple(prepared.plan.fail_on)


@contextlib.asynccontextmanager
async def prepared_run(
    home: Home, request: RunRequest, resumed: RunView | None = None
) -> AsyncIterator[tuple[Prepared, Exports]]:
    """The run planned against the devices as they are, and the export service that it will use."""
    from edgesweep.plan.load import plan_from_json
    from edgesweep.sweep.launch import open_exports, prepare, prepare_resume

    if resumed is not None:
        plan = plan_from_json(resumed.run.plan)
    elif request.loaded is not None:
        plan = request.loaded.plan
    else:
        raise EdgesweepError("usage", "give a PLAN, or --resume RUN")
    patience: dict[str, Any] = {"budget_s": request.budget_s, "say": _say}
    async with open_exports(home, plan) as exports:
        if resumed is not None:
            yield await prepare_resume(home, resumed, **patience), exports
        elif request.loaded is not None:
            yield await prepare(home, request.loaded, exports, expression=request.expression, **patience), exports


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def load_plan_file(path: Path) -> LoadedPlan:
    """The plan of a file, validated."""
    from edgesweep.plan.load import load_plan

    return load_plan(path)
