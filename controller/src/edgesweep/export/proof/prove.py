"""Proof that an artifact does what the model does: run it on the host at many sizes and compare with torch."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesweep_proto.codec import to_json
from edgesweep_proto.trial import Numerics, Stage, Tolerance

from edgesweep.export.failures.classify import shorten
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import STOP_SIGNALS, diagnosis, failure_of_host, tells_of_host
from edgesweep.export.proof.nursery import NURSERY
from edgesweep.export.result import SizeProof


@dataclass(frozen=True, slots=True)
class Case:
    """One set of inputs as `.npy` files by input name, and the outputs that torch gave for them.

    `example` tells that the sizes are the example's own, `measured` that the errors count as the artifact's numerics.
    `slack` is a factor on the tolerance; `outputs` a path prefix where the runtime's own outputs are wanted.
    """

    label: str
    inputs: Mapping[str, Path]
    references: tuple[Path, ...] | None
    example: bool = False
    measured: bool = True
    slack: float = 1.0
    outputs: Path | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What the host's runtime did. `outputs` holds the files it wrote per case, where they were asked for."""

    failure: Failure | None
    numerics: Numerics | None
    sizes: tuple[SizeProof, ...]
    outputs: dict[str, tuple[Path, ...]]


def prove(
    model: Path, cases: Sequence[Case], tolerance: Tolerance, timeout_s: float, *, as_written: bool = False
) -> Proof:
    """Run `model` at every case in a process of its own.

    Args:
        model: The artifact, its external data beside it.
        cases: The example first.
        tolerance: What counts as agreement.
        timeout_s: How long all cases together may take.
        as_written: Have the runtime leave the graph as it is, instead of as it would be measured.

    Returns:
        A failure when the runtime cannot load the file (`unprovable_here`), refuses the example (`run_error`) or
        another size (`dynamic_dim_refused`), gives other numbers (`wrong_output`, `nan_output`), or when the host itself
        is in trouble (`export_host_trouble`).
    """
    job = {"model": str(model), "as_written": as_written, "tolerance": to_json(tolerance)}
    job["cases"] = [_as_job(case) for case in cases]
    answer = _ask(job, timeout_s)
    if isinstance(answer, Failure):
        return Proof(answer, None, (), {})
    if not answer["loaded"]:
        words = answer["error"]
        if tells_of_host(words):
            return Proof(failure_of_host(shorten(words), words, Stage.CHECK), None, (), {})
        return Proof(_unprovable(f"the host's onnxruntime cannot load the artifact: {words}", words), None, (), {})
    answers = dict(zip((case.label for case in cases), answer["cases"], strict=True))
    found = [failure for case in cases if (failure := _judge(case, answers[case.label])) is not None]
    # A wrong number is worse than a refusal: nobody notices it.
    failure = min(found, key=lambda failure: failure.cause == "dynamic_dim_refused", default=None)
    outputs = {label: tuple(Path(file) for file in found["files"]) for label, found in answers.items()}
    return Proof(failure, _numerics(cases, answers), _sizes(cases, answers), outputs)


def _sizes(cases: Sequence[Case], answers: Mapping[str, dict[str, Any]]) -> tuple[SizeProof, ...]:
    return tuple(
        SizeProof(
            case.label,
            shorten(answer["refused"]),
            answer["wrong"],
            answer["offender"],
            answer["absolute"],
            answer["relative"],
        )
        for case in cases
        for answer in [answers[case.label]]
    )


def _as_job(case: Case) -> dict[str, Any]:
    job: dict[str, Any] = {"label": case.label, "inputs": {name: str(path) for name, path in case.inputs.items()}}
    if case.references is not None:
        job |= {"references": [str(path) for path in case.references], "slack": case.slack}
    if case.outputs is not None:
        job["outputs"] = str(case.outputs)
    return job


def _ask(job: dict[str, Any], timeout_s: float) -> dict[str, Any] | Failure:
    """The process's answer, or why there is none."""
    try:
        ended = NURSERY.ask(job, timeout_s)
    except TimeoutError:
        return _unprovable(f"the host's onnxruntime did not finish within {timeout_s:g} s", "")
    if ended.answer is not None:
        if "host" in ended.answer:
            return failure_of_host(ended.answer["host"], ended.stderr, Stage.CHECK)
        return ended.answer
    if -ended.status in STOP_SIGNALS:
        words = f"the proof was stopped from outside ({_end(ended.status)})"
        return failure_of_host(words, ended.stderr, Stage.CHECK)
    return _unprovable(f"the host's onnxruntime died on the artifact ({_end(ended.status)})", ended.stderr)


def _end(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _unprovable(message: str, detail: str) -> Failure:
    return Failure(Stage.CHECK, "unprovable_here", shorten(message), diagnosis(detail))


def _judge(case: Case, answer: dict[str, Any]) -> Failure | None:
    if answer["refused"]:
        words = answer["refused"]
        if case.example:
            return Failure(Stage.CHECK, "run_error", shorten(f"the artifact fails on its own example: {words}"), words)
        return Failure(
            Stage.CHECK, "dynamic_dim_refused", shorten(f"the artifact refuses {case.label}: {words}"), words
        )
    if answer["wrong"]:
        output = f"output '{answer['offender']}' is wrong" if answer["offender"] else "the outputs are wrong"
        message = shorten(f"{output} at {case.label}: {answer['wrong']}")
        return Failure(Stage.CHECK, "nan_output" if answer["nan"] else "wrong_output", message)
    return None


def _numerics(cases: Sequence[Case], answers: Mapping[str, dict[str, Any]]) -> Numerics | None:
    """The largest errors over all sizes that were really compared; None when none was."""
    counted = [answers[case.label] for case in cases if case.measured and answers[case.label]["compared"]]
    if not counted:
        return None
    return Numerics(
        max_absolute_error=max(answer["absolute"] for answer in counted),
        max_relative_error=max(answer["relative"] for answer in counted),
        outputs_compared=sum(answer["compared"] for answer in counted),
        first_offender=next((answer["offender"] for answer in counted if answer["offender"]), ""),
    )
