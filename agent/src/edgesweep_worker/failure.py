"""How a trial fails: one exception with a catalogue cause and a diagnosis, and what a failed run of the session means."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Iterator

from edgesweep_worker.failures import read
from edgesweep_worker.failures.status import status_of

#: Longest evidence kept, in characters; a runtime may repeat a message for every node.
EVIDENCE_LIMIT = 4000

_IR = re.compile(r"Unsupported model IR version: (?P<asked>\d+), max supported IR version: (?P<highest>\d+)")
_OPSET = re.compile(
    r"ValidateOpsetForDomain|under development and support for this is limited"
    r"|only \*guarantees\* support for models stamped with official released onnx opset"
)
_OPSET_HIGHEST = re.compile(r"support for domain (?P<domain>\S+) is till opset (?P<highest>\d+)")

#: Causes that are told by holding outputs against references or against each other.
_COMPARED = ("wrong_output", "nan_output", "nondeterministic_output")


class TrialFailed(Exception):  # noqa: N818 - the words of the catalogue: a trial has failed
    """The trial ends as `failed`.

    Attributes:
        cause: catalogue code.
        message: one sentence for people.
        evidence: the runtime's own words.
        tags: further causes and facts, e.g. `also:ir_unsupported`.
        diagnosis: a Diagnosis as JSON data; made from cause and evidence where none is given.
        before_compiling: whether a session was refused before any provider compiled: such a trial ended in stage load,
            though the making of the session may have been announced as compiling.
    """

    def __init__(
        self,
        cause: str,
        message: str,
        evidence: str = "",
        tags: tuple[str, ...] = (),
        diagnosis: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.evidence = evidence[:EVIDENCE_LIMIT]
        self.tags = tags
        told_from = "comparison" if cause in _COMPARED else "message"
        self.diagnosis = read.diagnosis(told_from, evidence) if diagnosis is None else diagnosis
        self.before_compiling = False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, in Python, in C++ or in an onnxruntime arena."""
    found = read.read(str(error), "")
    return isinstance(error, MemoryError) or (found is not None and found.known.cause in ("oom", "oom_device"))


def refused_ir(text: str) -> tuple[int, int] | None:
    """The IR version asked for and the highest one the runtime takes, if `text` is that refusal."""
    match = _IR.search(text)
    return (int(match["asked"]), int(match["highest"])) if match else None


def refused_opset(text: str) -> tuple[str, int | None] | None:
    """Domain and highest released opset (None when not told), if `text` refuses an opset."""
    if not _OPSET.search(text):
        return None
    match = _OPSET_HIGHEST.search(text)
    return (match["domain"], int(match["highest"])) if match else ("ai.onnx", None)


def run_failure(error: Exception, stage: str = "first_run", model_path: str = "") -> TrialFailed:
    """What an error of a run of the session means.

    Args:
        error: whatever the runtime raised; its exceptions have no base class of their own.
        stage: the trial's stage.
        model_path: the model, for the types of an operator that is named; empty for none.

    Returns:
        A failure with the cause of the pattern that knows the words; `oom` for Python's own MemoryError, `unknown` for
        words that no pattern knows.
    """
    text = str(error)
    status = status_of(error)
    found = read.read(text, stage, model_path)
    if found is not None:
        told = read.diagnosis(
            "message",
            text,
            pattern=found.known.id,
            status=status,
            subject=found.words.get("subject", ""),
            operator=found.operator,
        )
        return TrialFailed(found.known.cause, found.sentence("the runtime"), text, diagnosis=told)
    if isinstance(error, MemoryError):
        return TrialFailed("oom", "the runtime could not get the memory it needs to run the model", text)
    node = read.running_node(text)
    where = f" at operator {read.operator_words(node)}" if node else ""
    told = read.diagnosis("message", text, status=status, operator=node)
    return TrialFailed("unknown", f"onnxruntime failed{where} with words that no pattern knows", text, diagnosis=told)


@contextlib.contextmanager
def failing_runs(stage: str = "warmup") -> Iterator[None]:
    """Around code that runs the session: whatever it raises becomes the failure that it means."""
    try:
        yield
    except TrialFailed:
        raise
    except Exception as error:
        raise run_failure(error, stage) from error
