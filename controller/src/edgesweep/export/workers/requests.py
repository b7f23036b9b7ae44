"""What a slot is asked for, and what its answers, its deadlines and its deaths mean.

Nothing here knows how many slots there are or where they run: the host's own service and a Dask worker ask alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from edgesweep_proto.codec import from_json, to_json
from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.export.artifacts.digest import source_key
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import STOP_SIGNALS, failure_of_host, file_failure
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.result import ExportResult
from edgesweep.export.schedule import ExportJob, Schedule
from edgesweep.export.workers.slot import Slot, WorkerDiedError, WorkerTimeoutError
from edgesweep.models.source import ModelFacts, ModelSource

#: What a worker announces on a variant's way, in order; what is known already is passed over.
STEPS = ("import", "factory", "waiting", "prepare", "capture", "export", "convert", "check", "prove")

#: Steps before the model's own code runs: what takes too long there is the host's fault.
_STARTING = frozenset({"start", "import"})
#: Steps that every opset of a profile goes through alike: what hangs there would hang again at each.
_SHARED_STEPS = frozenset({"prepare", "capture"})
#: A process that died may die of one opset alone, unless it only ran the model.
_SHARED_DEATHS = frozenset({"prepare"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one job ended, and whose jobs are bound to end the same way: its own alone, its profile's or its model's."""

    result: ExportResult
    binds: Literal["job", "profile", "model"] = "job"

    def all_results(self, job: ExportJob, schedule: Schedule) -> list[ExportResult]:
        """The job's result, and the same failure for what is still waiting in `schedule` and bound to it."""
        model = source_key(job.source)
        others: list[ExportJob] = []
        if self.binds == "model":
            others = schedule.drop(model)
        elif self.binds == "profile":
            others = schedule.drop(model, exporter=job.variant.exporter, axes=job.variant.axes)
        result = self.result
        failure = Failure(result.stage, result.cause, result.message, result.detail)
        return [result, *(failed_job(other, failure) for other in others)]


def failed_job(job: ExportJob, failure: Failure) -> ExportResult:
    """The result of a job that no worker answered for."""
    return ExportResult(
        job.variant,
        failure.stage,
        failure.cause,
        failure.message,
        failure.detail,
        tolerance=tolerance_for(job.variant.precision, job.source.tolerances),
    )


async def attempt(
    slot: Slot,
    job: ExportJob,
    timeout_s: float,
    on_step: Callable[[str], None] | None = None,
    leave: Callable[[int], Awaitable[None]] | None = None,
) -> Attempt:
    """Export one variant on `slot`, whose lock the caller holds. Every end of the worker is a result.

    Args:
        slot: Where to export.
        job: The variant.
        timeout_s: What `slot` allows, in seconds, for the sentence.
        on_step: Told of every step of `STEPS` that the variant comes to.
        leave: Given the bytes of the model's weights, returns when the host has the memory to go on.
    """
    request: dict[str, Any] = {
        "op": "export",
        "source": to_json(job.source),
        "variant": to_json(job.variant),
        "shapes": [to_json(shape) for shape in job.shapes],
    }
    try:
        answer = await slot.ask(request, on_step, leave)
    except OSError as error:
        return Attempt(failed_job(job, file_failure(error)))
    except WorkerTimeoutError as error:
        return _bound(job, error.step, _SHARED_STEPS, _timed_out(error, timeout_s))
    except WorkerDiedError as error:
        return _bound(job, error.step, _SHARED_DEATHS, _died(error))
    result: ExportResult = from_json(ExportResult, answer["result"])
    return Attempt(result, "model" if result.cause in {"factory_failed", "inputs_unusable"} else "job")


async def warm_up(slot: Slot) -> None:
    """Start the worker of `slot`, whose lock the caller holds, and have it import what exports need.

    What fails here fails again where somebody waits for a result, and is told there.
    """
    with suppress(OSError, WorkerTimeoutError, WorkerDiedError):
        await slot.ask({"op": "warm"})


async def describe(slot: Slot, source: ModelSource, timeout_s: float) -> ModelFacts:
    """The facts of a model, loaded on `slot`, whose lock the caller holds.

    Raises:
        EdgesweepError: `model_unusable`, `missing_extra`, or `export_host_trouble`.
    """
    try:
        answer = await slot.ask({"op": "describe", "source": to_json(source)})
    except OSError as error:
        raise EdgesweepError("export_host_trouble", file_failure(error).message) from error
    except WorkerTimeoutError as error:
        if error.step in _STARTING:
            raise EdgesweepError("export_host_trouble", _timed_out(error, timeout_s).message) from error
        sentence = f"model '{source.name}': its factory did not return within {timeout_s:g} s"
        raise EdgesweepError("model_unusable", sentence) from error
    except WorkerDiedError as error:
        if -error.status in STOP_SIGNALS:
            raise EdgesweepError("export_host_trouble", _died(error).message) from error
        sentence = f"model '{source.name}': the process died in its factory ({error.how})"
        raise EdgesweepError("model_unusable", sentence) from error
    if "error" in answer:
        told = answer["error"]
        raise EdgesweepError(told["code"], told["message"], remedy=told["remedy"])
    facts: ModelFacts = from_json(ModelFacts, answer["facts"])
    return facts


def _bound(job: ExportJob, step: str, shared: frozenset[str], failure: Failure) -> Attempt:
    """The job's failure; its model shares it when the factory was running, its profile in a `shared` step."""
    result = failed_job(job, failure)
    if not CATALOGUE[failure.cause].stable:
        return Attempt(result)
    if step == "factory":
        return Attempt(result, "model")
    return Attempt(result, "profile" if step in shared else "job")


def _timed_out(error: WorkerTimeoutError, timeout_s: float) -> Failure:
    if error.step in _STARTING:
        return failure_of_host("the export process did not start in time", error.evidence)
    if error.step == "factory":
        message = f"the model's factory did not return within {timeout_s:g} s"
        return Failure(Stage.EXPORT, "factory_timeout", message, error.evidence)
    message = f"the exporter did not finish within {timeout_s:g} s"
    return Failure(Stage.EXPORT, "export_timeout", message, error.evidence)


def _died(error: WorkerDiedError) -> Failure:
    if error.killed_for_memory:
        return Failure(Stage.EXPORT, "export_oom", "the kernel killed the export process for memory", error.evidence)
    if -error.status in STOP_SIGNALS:
        return failure_of_host(f"the export process was stopped from outside ({error.how})", error.evidence)
    where = "in the model's factory" if error.step == "factory" else "while it exported this variant"
    return Failure(Stage.EXPORT, "export_crash", f"the export process died {where} ({error.how})", error.evidence)
