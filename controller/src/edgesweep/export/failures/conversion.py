"""What went wrong in an optimiser or a precision's converter: what its exception means, and whose fault a bad file is."""

from __future__ import annotations

import traceback
from dataclasses import replace

from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE
from edgesweep.export.failures.classify import shorten
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import diagnosis, host_failure, is_out_of_memory
from edgesweep.export.precisions import UnconvertibleError

_NUMBERS = frozenset({"wrong_output", "nan_output"})
#: What a rewritten file may end with for reasons that lie outside it.
_NOT_THE_TOOLS = frozenset({"unprovable_here", "ir_not_lowerable"})


def conversion_failure(error: BaseException, cause: str, tool: str) -> Failure:
    """The failure that a tool's exception stands for: the host's trouble, a lack of memory, or the tool's own refusal.

    Args:
        error: What the tool raised.
        cause: The catalogue's cause for its refusal.
        tool: The tool's name in plans, for the sentence.
    """
    trouble = host_failure(error)
    if trouble is not None:
        return trouble
    detail = diagnosis("".join(traceback.format_exception(error)))
    if is_out_of_memory(error):
        return Failure(Stage.EXPORT, "export_oom", f"{tool} ran out of the memory it was given", detail)
    words = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, UnconvertibleError):
        return Failure(Stage.EXPORT, cause, shorten(f"{tool}: {words}"), detail)
    told = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return Failure(Stage.EXPORT, cause, shorten(f"{tool} refuses the model: {told}"), detail)


def blame_step(failure: Failure, tool: str, *, precision: bool) -> Failure:
    """What `failure` of a rewritten file means when the file that it was made from is right.

    Trouble of the host, and what only the host's runtime cannot load, stay what they are: they say nothing of the tool.

    Args:
        failure: What checks or proof found.
        tool: The name of the step that wrote the file.
        precision: Whether the step changed the precision, so that its outputs could not stay the same.
    """
    if not CATALOGUE[failure.cause].stable or failure.cause in _NOT_THE_TOOLS:
        return failure
    numbers = failure.cause in _NUMBERS
    if precision:
        cause = "precision_lost" if numbers else "precision_unsupported"
        before = "the fp32 file is right"
    else:
        cause = failure.cause if numbers else "optimiser_failed"
        before = "the exporter's own file is right"
    return replace(failure, cause=cause, message=shorten(f"after {tool}, {failure.message}; {before}"))
