"""One `.onnx` file measured on this machine: the cell, trials and verdict of a run with one cell, and no store."""

from __future__ import annotations

import datetime as dt
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgesweep_proto.trial import TrialEvent
from pydantic import ValidationError

import edgesweep
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.failures.advice import advice_on
from edgesweep.failures.retell import deciding_trial
from edgesweep.fleet.description import Description
from edgesweep.fleet.local_bench import DEVICE, LocalBench
from edgesweep.home import Home
from edgesweep.models.asked_sizes import asked_sizes
from edgesweep.models.describe import describe_source
from edgesweep.models.onnx_file import header_of
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind
from edgesweep.plan.cell import Cell
from edgesweep.plan.expand import DeviceChoice, expand
from edgesweep.plan.load import digest_of, plan_to_json
from edgesweep.plan.preset import Preset, preset_of
from edgesweep.plan.schema import PlanFile
from edgesweep.plan.sources import sources_of
from edgesweep.plan.tolerances import VerifyRules
from edgesweep.store.records import (
    CellEnd,
    CellRecord,
    DeviceRecord,
    Outcome,
    RunRecord,
    RunState,
    RunView,
    TrialRecord,
)
from edgesweep.sweep.host import host_facts
from edgesweep.sweep.outcome import end_of_failed_export, end_of_refused_shape, end_of_trials
from edgesweep.sweep.run_verdict import UNUSABLE
from edgesweep.sweep.trial_record import trial_record
from edgesweep.sweep.work import Group, History, build_trial, group_cells, schedule, variant_key

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Request:
    """What `edgesweep measure` was asked for.

    `shapes` are as the command line has them; `session` and `measure` hold what is given of a plan's sections, `seed` that of
    inputs that are made up. `python` is another interpreter to measure with.
    """

    file: Path
    shapes: tuple[str, ...] = ()
    inputs: Path | None = None
    references: Path | None = None
    providers: str = "cpu"
    session: Mapping[str, Any] = field(default_factory=dict)
    measure: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Told of what goes on: sentences, the steps of a trial, and each trial with the number of its round at its end."""

    say: Callable[[str], None]
    step: Callable[[TrialEvent], None]
    ended: Callable[[TrialRecord, int], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was found right: the file as a source, what is known of it, and the plan that it stands for."""

    source: ModelSource
    facts: ModelFacts
    plan: PlanFile


async def measure_file(home: Home, request: Request, progress: Progress) -> RunView:
    """Measure the file and judge the numbers.

    Whatever this machine does for us (checks, references, inputs) has ended when the first trial begins.

    Returns:
        A run of one cell; nothing of it is stored.

    Raises:
        EdgesweepError: `usage`, `model_unusable` or `inputs_unusable` for a wrong request, `machine_busy` or
            `machine_unfit` when the machine is in the way.
    """
    asked = _check(request)
    async with LocalBench(home.state / "measure", request.python) as bench:
        progress.say("looking at this machine and its onnxruntime")
        runtime = await bench.runtime()
        plan = _with_runtime(asked.plan, runtime.id)
        found = await bench.describe()
        (cell,) = _cells(plan, asked, found)
        run = _new_run(request, plan)
        async with ExportService(home.exports, slots=1) as exports:
            progress.say(f"checking {request.file.name}")
            (export,) = [
                result async for result in exports.export([ExportJob(asked.source, cell.variant, (cell.shape,))])
            ]
            path_of = exports.path_of
        preset = preset_of(plan.measure)
        groups = group_cells([cell], {variant_key(cell): export}, VerifyRules.of(plan))
        if not groups:
            end = end_of_refused_shape(cell) if export.passed else end_of_failed_export(cell, export, [cell])
            return _view(run, cell, end, export, (), found)
        trials = await _run_trials(bench, groups[0], run, preset, path_of, progress)
        # Not `shared_host`: this process waits on a pipe while times are taken, and nothing else runs for us (ADR 0006).
        end = end_of_trials(
            groups[0],
            trials,
            planned=preset.trials,
            protocol=preset.protocol_for(cell.session),
            fallback=plan.fallback_policy,
            host_tags=(),
        )
        return _view(run, cell, _with_whole_hash(end, trials), export, trials, found)


def _with_whole_hash(end: CellEnd, trials: Sequence[TrialRecord]) -> CellEnd:
    """Nothing is stored here that the start of a hash could be looked up in: what is to be learnt is named in full."""
    decisive = deciding_trial(end, trials)
    if end.cause != "unknown" or decisive is None:
        return end
    return replace(end, remedy=advice_on(end.cause, decisive.result.diagnosis, digits=64))


def exit_code_of(view: RunView) -> ExitCode:
    """0 for a number, whatever its verdict; 1 for a finding about the model, 2 for a wrong file, 4 for lab trouble."""
    (record,) = view.cells
    end = record.end
    if end is None or end.outcome is Outcome.LOST:
        return ExitCode.LAB
    if end.cause in UNUSABLE:
        return ExitCode.USAGE
    return ExitCode.OK if end.outcome is Outcome.PASS else ExitCode.FINDING


def _with_runtime(plan: PlanFile, runtime_id: str) -> PlanFile:
    """The plan for one runtime."""
    return plan.model_copy(update={"runtimes": (runtime_id,)})


def _check(request: Request) -> _Asked:
    """Everything that can be wrong with the request, found before anything is started."""
    if not request.file.exists():
        raise EdgesweepError("usage", f"there is no file {request.file}", remedy="give the path of an .onnx file")
    bare = ModelSource(SourceKind.ONNX, str(request.file.absolute()), _model_name(request.file))
    if request.shapes and request.inputs is not None:
        raise EdgesweepError(
            "usage", "--shape and --inputs both give the sizes", remedy="leave one of them out: the arrays have sizes"
        )
    if request.references is not None and request.inputs is None:
        raise EdgesweepError(
            "usage", "--references are the outputs for given inputs, and none are given", remedy="give --inputs too"
        )
    sizes = asked_sizes(header_of(bare), request.shapes)
    plan = _plan_of(request, bare, sizes.sizes, sizes.dynamic)
    (source,) = sources_of(plan, Path.cwd())
    source = replace(source, seed=request.seed)
    facts = describe_source(source)
    if facts is None:
        raise EdgesweepError("model_unusable", f"{request.file.name} says nothing of itself")
    return _Asked(source, facts, plan)


def _plan_of(
    request: Request, source: ModelSource, sizes: Mapping[str, int], dynamic: Mapping[str, Mapping[int, str]]
) -> PlanFile:
    """The plan of one cell that stands for the request, with a plan's own checks."""
    given = {
        name: str(path.absolute())
        for name, path in (("inputs", request.inputs), ("references", request.references))
        if path is not None
    }
    model = {"onnx": source.ref, "name": source.name, "dynamic": {k: dict(v) for k, v in dynamic.items()}, **given}
    try:
        return PlanFile.model_validate(
            {
                "version": 1,
                "name": "measure",
                "models": [model],
                "devices": [DEVICE],
                "providers": [request.providers],
                "shapes": [dict(sizes) or "example"],
                "session": dict(request.session),
                "measure": dict(request.measure),
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][:2])
        sentence = str(first.get("ctx", {}).get("sentence") or f"{where}: {first['msg']}")
        raise EdgesweepError("usage", sentence, remedy="see edgesweep measure --help") from error


def _cells(plan: PlanFile, asked: _Asked, found: Description) -> tuple[Cell, ...]:
    choice = DeviceChoice(DEVICE, {}, found.runtimes, reachable=True)
    facts = {asked.source.name: asked.facts}
    return expand(plan, [asked.source], facts, [choice], today=dt.datetime.now(tz=dt.UTC).date()).cells


async def _run_trials(
    bench: LocalBench,
    group: Group,
    run: RunRecord,
    preset: Preset,
    path_of: Callable[[str], Path],
    progress: Progress,
) -> tuple[TrialRecord, ...]:
    """The trials that the preset asks for, each in a process of its own; one that was interrupted is tried again."""
    trials: list[TrialRecord] = []
    while waiting := schedule([group], lambda _: History(tuple(trials)), preset.trials, str(run.seed)):
        planned = waiting[0]
        progress.say(f"trial {planned.round + 1} of {preset.trials} begins")
        fetched = await bench.run(build_trial(planned, run.id, preset), path_of, progress.step)
        trials.append(trial_record(planned, fetched.result, fetched.samples))
        progress.ended(trials[-1], planned.round + 1)
    return tuple(trials)


def _new_run(request: Request, plan: PlanFile) -> RunRecord:
    now = time.time()
    stamp = dt.datetime.fromtimestamp(now, tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
    return RunRecord(
        id=f"{stamp}-measure-{secrets.token_hex(2)}",
        name=request.file.name,
        plan_digest=digest_of(plan),
        plan_text="",
        plan=plan_to_json(plan),
        base_dir=str(Path.cwd()),
        started=now,
        controller_version=edgesweep.__version__,
        host=host_facts(),
        seed=request.seed,
    )


def _view(
    run: RunRecord,
    cell: Cell,
    end: CellEnd,
    export: ExportResult,
    trials: tuple[TrialRecord, ...],
    found: Description,
) -> RunView:
    record = CellRecord(cell, end, export, trials)
    device = DeviceRecord(DEVICE, "", {}, found.device, found.runtimes, found.reading, found.colocated)
    return RunView(replace(run, finished=time.time(), state=RunState.COMPLETE), (device,), (record,), (export,))


def _model_name(file: Path) -> str:
    """The file's stem as a cell's name can hold it."""
    name = _NO_NAME.sub("_", file.name.removesuffix(".onnx"))
    return name if name[:1].isalnum() or name[:1] == "_" else f"_{name}"
