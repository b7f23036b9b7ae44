"""How a trial fails: one exception with a catalogue cause, and the reading of onnxruntime's own messages."""

from __future__ import annotations

import contextlib
import re
from typing import Iterator

#: Longest evidence kept, in characters; a runtime may repeat a message for every node.
EVIDENCE_LIMIT = 4000

_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|bad allocation|Failed to allocate memory|out of memory|Available memory of \d+ is smaller",
    re.IGNORECASE,
)
_IR = re.compile(r"Unsupported model IR version: (?P<asked>\d+), max supported IR version: (?P<highest>\d+)")
_OPSET = re.compile(
    r"ValidateOpsetForDomain|under development and support for this is limited"
    r"|only \*guarantees\* support for models stamped with official released onnx opset"
)
_OPSET_HIGHEST = re.compile(r"support for domain (?P<domain>\S+) is till opset (?P<highest>\d+)")
_OPERATOR = re.compile(
    r"No Op registered for (?P<unknown>\S+)|(?P<foreign>\S+) is not a registered function/op"
    r"|Could not find an implementation for (?P<missing>\S+)|No opset import for domain '(?P<domain>[^']*)'"
)
_TYPE = re.compile(
    r"MLDataType for: tensor\((?P<missing>\w+)\)|Invalid tensor data type (?P<number>\d+)"
    r"|Attribute to does not specify a valid type"
)
_INVALID_FILE = re.compile(
    r"INVALID_PROTOBUF|Protobuf parsing failed|No graph was found in the protobuf|does not have a graph|NO_SUCHFILE"
    r"|invalid ORT format model|The ORT format model version"
)
_SHAPE = re.compile(
    r"Got invalid dimensions for input|Invalid rank for input|Unexpected input data type|Invalid Feed Input Name"
    r"|Required inputs \(.*\) are missing|Missing Input"
)


class TrialFailed(Exception):  # noqa: N818 - the words of the catalogue: a trial has failed
    """The trial ends as `failed`.

    Attributes:
        cause: catalogue code.
        message: one sentence for people.
        evidence: the runtime's own words.
        tags: further causes and facts, e.g. `also:ir_unsupported`.
    """

    def __init__(self, cause: str, message: str, evidence: str = "", tags: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.evidence = evidence[:EVIDENCE_LIMIT]
        self.tags = tags


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, in Python, in C++ or in an onnxruntime arena."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


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


def unsupported_operator(text: str) -> str | None:
    """The operator that `text` says the runtime does not have; None when it says no such thing."""
    match = _OPERATOR.search(text)
    if match is None:
        return None
    if match["domain"] is not None:
        return f"{match['domain'] or 'ai.onnx'}:*"
    return next(name for name in (match["unknown"], match["foreign"], match["missing"]) if name)


def unsupported_type(text: str) -> str | None:
    """The element type that `text` says the runtime does not have, or its number; None when it says no such thing."""
    match = _TYPE.search(text)
    if match is None:
        return None
    return match["missing"] or (f"number {match['number']}" if match["number"] else "that it casts to")


def is_invalid_file(text: str) -> bool:
    """Whether `text` says that the file is not a whole model."""
    return _INVALID_FILE.search(text) is not None


def run_failure(error: Exception) -> TrialFailed:
    """What an error of a run of the session means.

    Args:
        error: whatever the runtime raised; its exceptions have no base class of their own.

    Returns:
        A failure with cause oom, shape_mismatch, unsupported_op or run_error.
    """
    text = str(error)
    if is_out_of_memory(error):
        return TrialFailed("oom", "the runtime could not get the memory it needs to run the model", text)
    if _SHAPE.search(text):
        return TrialFailed("shape_mismatch", "the session refuses the shape or type of an input", text)
    operator = unsupported_operator(text)
    if operator:
        return TrialFailed("unsupported_op", f"the runtime cannot run operator {operator}", text)
    return TrialFailed("run_error", "onnxruntime failed while it ran the model", text)


@contextlib.contextmanager
def failing_runs() -> Iterator[None]:
    """Around code that runs the session: whatever it raises becomes the failure that it means."""
    try:
        yield
    except TrialFailed:
        raise
    except Exception as error:
        raise run_failure(error) from error
