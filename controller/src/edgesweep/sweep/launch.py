"""Everything a run needs, opened and put together: devices described, models known, cells planned, books opened."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import fcntl
import getpass
import importlib.util
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

import edgesweep
from edgesweep.errors import EdgesweepError
from edgesweep.export.contract import Exports
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportService
from edgesweep.failures.retell import retell
from edgesweep.failures.rules_file import read_rules
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.description import Description
from edgesweep.fleet.inventory import DeviceEntry, load_inventory
from edgesweep.fleet.pki import controller_tls_dir
from edgesweep.home import Home
from edgesweep.models.source import ModelFacts, ModelSource
from edgesweep.plan.cell import Cell
from edgesweep.plan.expand import DeviceChoice, expand
from edgesweep.plan.load import LoadedPlan, plan_from_json, plan_to_json
from edgesweep.plan.preset import preset_of
from edgesweep.plan.schema import PlanFile
from edgesweep.plan.selection import select
from edgesweep.plan.sources import sources_of
from edgesweep.plan.tolerances import VerifyRules
from edgesweep.plan.trouble import trouble_of
from edgesweep.store.records import DeviceRecord, Outcome, RunRecord, RunState, RunView
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.device_loop import LoopSettings
from edgesweep.sweep.events import Notice
from edgesweep.sweep.host import host_facts
from edgesweep.sweep.ledger import Emit, Ledger
from edgesweep.sweep.orchestrator import Member, Sweep, SweepSummary
from edgesweep.sweep.work import variant_key

log = structlog.get_logger(__name__)

#: Seconds for which a device may stay away before its cells are lost, unless the user says otherwise.
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is planned but not started. `unplanned` counts combinations that are not cells, by reason.

    `notes` are sentences on entries of the plan that are expired or useless.
    """

    run: RunRecord
    plan: PlanFile
    sources: tuple[ModelSource, ...]
    cells: tuple[Cell, ...]
    members: tuple[Member, ...]
    devices: tuple[DeviceRecord, ...]
    unplanned: Mapping[str, int]
    notes: tuple[str, ...] = ()


def client_opener(home: Home) -> Callable[[DeviceEntry], DeviceClient]:
    """How this user's controller opens a device: with its own certificate, unless the entry says insecure."""

    def open_client(entry: DeviceEntry) -> DeviceClient:
        tls_dir = None if entry.insecure else controller_tls_dir(home.pki)
        return DeviceClient(entry, tls_dir, controller_version=edgesweep.__version__)

    return open_client


def owner_name(run_id: str) -> str:
    """Who takes the leases: user, host and run, so that a person can find what holds a board.

    The same run resumed after its controller was killed is the same owner, and gets its lease back at once.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}/{run_id}"


def open_exports(home: Home, plan: PlanFile) -> Exports:
    """The export service that a plan asks for, with its limits; to be entered as an async context.

    Raises:
        EdgesweepError: `missing_extra` when the plan exports on a Dask cluster and Dask is not installed.
    """
    section = plan.export
    limits: dict[str, Any] = {
        "slots": section.slots,
        "timeout_s": section.timeout_s,
        "memory_bytes": section.memory_bytes,
    }
    if section.address is None:
        return ExportService(home.exports, **limits)
    if importlib.util.find_spec("distributed") is None:
        sentence = "the plan exports on a Dask cluster, which needs the package distributed; it is not installed"
        raise EdgesweepError("missing_extra", sentence, remedy="pip install 'edgesweep[dask]'")
    from edgesweep.export.cluster.service import ClusterService

    return ClusterService(home.exports, section.address, **limits)


async def describe_members(
    entries: Sequence[DeviceEntry],
    open_client: Callable[[DeviceEntry], DeviceClient],
    *,
    budget_s: float,
    say: Callable[[str], None],
) -> tuple[tuple[Member, ...], tuple[DeviceRecord, ...]]:
    """Asks every device what it is, all at once; one that stays away for `budget_s` becomes a member with a fault.

    Raises:
        EdgesweepError: `certificate_unusable` when it is this controller that cannot ask anybody.
    """
    give_up = time.monotonic() + budget_s

    async def patiently(entry: DeviceEntry) -> Description:
        told = False
        while True:
            try:
                async with open_client(entry) as client:
                    return await client.describe()
            except EdgesweepError as error:
                left = give_up - time.monotonic()
                if error.code != "unreachable" or left <= 0:
                    raise
                if not told:
                    say(f"waiting for {entry.name}, {left:.0f} s at most: {error.message}")
                    told = True
            await asyncio.sleep(min(1.0, left))

    async def ask(entry: DeviceEntry) -> tuple[Member, DeviceRecord]:
        try:
            found = await patiently(entry)
        except EdgesweepError as error:
            if error.code == "certificate_unusable":
                raise
            return Member(entry, fault=error), DeviceRecord(entry.name, entry.address, dict(entry.labels), None)
        record = DeviceRecord(
            entry.name, entry.address, dict(entry.labels), found.device, found.runtimes, found.reading, found.colocated
        )
        device = found.device
        return Member(entry, found.colocated, None, device.emulated, device.boot_id, found.runtimes), record

    answers = await asyncio.gather(*map(ask, entries))
    return tuple(member for member, _ in answers), tuple(record for _, record in answers)


async def facts_of_models(sources: Sequence[ModelSource], exports: Exports) -> dict[str, ModelFacts]:
    """What planning must know of each model; one that cannot be loaded is left out and fails at export."""

    async def ask(source: ModelSource) -> ModelFacts | None:
        try:
            return await exports.describe(source)
        except EdgesweepError as error:
            if error.code not in {"model_unusable", "inputs_unusable"}:
                raise
            return None

    found = await asyncio.gather(*map(ask, sources))
    return {source.name: facts for source, facts in zip(sources, found, strict=True) if facts is not None}


async def prepare(
    home: Home,
    loaded: LoadedPlan,
    exports: Exports,
    *,
    expression: str = "",
    budget_s: float = PATIENCE_S,
    say: Callable[[str], None] = log.info,
) -> Prepared:
    """Plans a run: reads the inventory, asks the devices and models, expands the matrix.

    Raises:
        EdgesweepError: `unknown_device` for a device that the inventory lacks, `nothing_selected` for an empty matrix.
    """
    plan = loaded.plan
    entries = load_inventory(home.inventory).select(plan.devices)
    if not entries:
        raise EdgesweepError(
            "nothing_selected",
            "no device is selected by the plan",
            remedy="put one into the inventory: edgesweep device add NAME HOST:PORT",
        )
    sources = sources_of(plan, loaded.base_dir)
    (members, devices), facts = await asyncio.gather(
        describe_members(entries, client_opener(home), budget_s=budget_s, say=say), facts_of_models(sources, exports)
    )
    choices = [
        DeviceChoice(record.name, record.labels, record.runtimes, reachable=record.device is not None)
        for record in devices
    ]
    run = new_run(loaded)
    expansion = expand(plan, sources, facts, choices, today=day_of(run))
    cells = tuple(select(expansion.cells, expression)) if expression else expansion.cells
    if not cells:
        raise EdgesweepError("nothing_selected")
    return Prepared(run, plan, sources, cells, members, devices, expansion.unplanned, expansion.notes)


def new_run(loaded: LoadedPlan) -> RunRecord:
    """A fresh run of a plan; its id sorts by time and names the plan."""
    now = time.time()
    stamp = dt.datetime.fromtimestamp(now, tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
    return RunRecord(
        id=f"{stamp}-{loaded.plan.name}-{secrets.token_hex(2)}",
        name=loaded.plan.name,
        plan_digest=loaded.digest,
        plan_text=loaded.text,
        plan=plan_to_json(loaded.plan),
        base_dir=str(loaded.base_dir),
        started=now,
        controller_version=edgesweep.__version__,
        host=host_facts(),
        seed=secrets.randbelow(2**31),
    )


def day_of(run: RunRecord) -> dt.date:
    """The day (UTC) on which `exclude` and `known_failures` are judged: one for the whole run, however often it is resumed."""
    return dt.datetime.fromtimestamp(run.started, tz=dt.UTC).date()


async def prepare_resume(
    home: Home, view: RunView, *, budget_s: float = PATIENCE_S, say: Callable[[str], None] = log.info
) -> Prepared:
    """Takes up a stored run again: its own plan, its own cells, the devices as they are now."""
    plan = plan_from_json(view.run.plan)
    inventory = load_inventory(home.inventory)
    entries = tuple(inventory.get(record.name) for record in view.devices)
    members, devices = await describe_members(entries, client_opener(home), budget_s=budget_s, say=say)
    return Prepared(
        replace(view.run, state=RunState.RUNNING),
        plan,
        sources_of(plan, view.run.base_dir),
        tuple(record.cell for record in view.cells),
        members,
        devices,
        {},
    )


async def execute(
    home: Home,
    prepared: Prepared,
    exports: Exports,
    store: Store,
    emit: Emit,
    *,
    resumed: RunView | None = None,
    budget_s: float = PATIENCE_S,
    resume_command: str = "edgesweep run --resume",
) -> SweepSummary:
    """Runs what is planned, or what a stored run still lacks, and returns when every cell has its outcome.

    Raises:
        EdgesweepError: `run_in_progress` when another process runs this very run, `store_unusable` when the store
            fails under it; what was stored is kept.
    """
    with only_process(home, prepared.run.id):
        return await _execute(home, prepared, exports, store, emit, resumed, budget_s, resume_command)


async def _execute(
    home: Home,
    prepared: Prepared,
    exports: Exports,
    store: Store,
    emit: Emit,
    resumed: RunView | None,
    budget_s: float,
    resume_command: str,
) -> SweepSummary:
    rules = read_rules(home.rules)
    writer = StoreWriter(store)
    try:
        if resumed is None:
            await writer.call(store.create_run, prepared.run, prepared.cells)
        else:
            await writer.call(store.set_run_state, prepared.run.id, RunState.RUNNING, None)
            resumed = retell(resumed, rules)
            for cell in resumed.cells:
                if cell.end is not None and cell.end.rule and cell.end.outcome is Outcome.LOST:
                    # Learnt since it was stored as failed: it is open again.
                    await writer.call(store.retell_cell, prepared.run.id, cell.end)
        for record in prepared.devices:
            if record.device is not None or resumed is None:
                await writer.call(store.save_device, prepared.run.id, record)
        ledger = Ledger(
            prepared.run.id,
            prepared.cells,
            store,
            writer,
            emit,
            known=known_failures(prepared),
            rules=rules,
            **_stored_books(resumed),
        )
        sweep = Sweep(
            prepared.run,
            ledger,
            sources=prepared.sources,
            members=prepared.members,
            exports=exports,
            store=store,
            writer=writer,
            preset=preset_of(prepared.plan.measure),
            fallback=prepared.plan.fallback_policy,
            open_client=client_opener(home),
            settings=LoopSettings(owner=owner_name(prepared.run.id), budget_s=budget_s),
            emit=emit,
            stored_exports=_stored_exports(resumed),
            skip=prepared.plan.skip,
            resume_command=resume_command,
            rules=VerifyRules.of(prepared.plan),
        )
        for note in prepared.notes:
            emit(Notice(note))
        return await sweep.run()
    finally:
        await writer.close()


def known_failures(prepared: Prepared) -> dict[str, str]:
    """The reason of each cell that the plan lists as a known failure on the day of the run's start, by cell name."""
    labels = {record.name: record.labels for record in prepared.devices}
    known = {}
    for cell in prepared.cells:
        found = trouble_of(cell, prepared.plan.known_failures, labels[cell.device], today=day_of(prepared.run))
        if found is not None:
            known[cell.name] = found[1].reason
    return known


@contextlib.contextmanager
def only_process(home: Home, run_id: str) -> Iterator[None]:
    """Keeps two processes of this host from working on one run, by a lock that dies with its holder.

    Raises:
        EdgesweepError: `run_in_progress` when another process holds it.
    """
    folder = home.state / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EdgesweepError("run_in_progress", f"another process is working on {run_id}") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _stored_exports(view: RunView | None) -> dict[str, ExportResult]:
    if view is None:
        return {}
    return {variant_key(record.cell): record.export for record in view.cells if record.export is not None}


def _stored_books(view: RunView | None) -> dict[str, Any]:
    """What a stored run already knows; lost cells are open again."""
    if view is None:
        return {}
    return {
        "trials": {record.cell.name: record.trials for record in view.cells},
        "ended": {
            record.cell.name: record.end.outcome
            for record in view.cells
            if record.end is not None and record.end.outcome is not Outcome.LOST
        },
    }
