"""What an exporter's exception means: a catalogue cause, the sentence that helps, and the exporter's own full words."""

from __future__ import annotations

import re
import traceback

from edgesweep_proto.trial import Stage

from edgesweep.export.failures.diagnosis import (
    constraints_in,
    is_value_of_data,
    operator_in,
    place_of,
    specialised_in,
    suggestions_in,
    without_colours,
)
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import causes_of, diagnosis, host_failure, is_out_of_memory, text_of

_MESSAGE_MAX_CHARS = 300

_DATA_DEPENDENT = (
    "data-dependent",
    "data dependent",
    "GuardOnDataDependentSymNode",
    "DynamicOutputShape",
    "DataDependentOutput",
    "dynamic control flow",
)
_UNSUPPORTED = frozenset({"UnsupportedOperatorError", "UnsupportedOperatorException", "DispatchError"})
_UNSUPPORTED_OPSET = re.compile(
    r"Unsupported (ONNX opset version|onnx_opset_version)|Target opset version \d+ is not supported", re.IGNORECASE
)


def classify(error: BaseException, exporter: str, opset: int) -> Failure:
    """The failure that an exporter's exception stands for.

    Args:
        error: What the exporter raised.
        exporter: The exporter's name, for the sentence.
        opset: The opset that was asked for.
    """
    trouble = host_failure(error)
    if trouble is not None:
        return trouble
    chain = list(causes_of(error))
    words = without_colours("\n".join(f"{type(link).__name__}: {text_of(link)}" for link in chain))
    told = without_colours("".join(traceback.format_exception(error)))
    cause, message = _meaning(chain, words, place_of(told), exporter, opset)
    return Failure(Stage.EXPORT, cause, shorten(message), diagnosis(told))


def shorten(text: str) -> str:
    """The first sentence or so of `text`, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_MAX_CHARS else f"{line[: _MESSAGE_MAX_CHARS - 1]}…"


def _meaning(chain: list[BaseException], words: str, place: str, exporter: str, opset: int) -> tuple[str, str]:
    if is_out_of_memory(chain[0]) or "can't allocate memory" in words:
        return "export_oom", "the export ran out of the memory it was given"
    if _UNSUPPORTED_OPSET.search(words):
        return "export_unsupported_opset", f"{exporter} does not offer opset {opset}"
    at = f" at {place}" if place else ""
    names = {type(link).__name__ for link in chain}
    if "InterfaceError" in names:
        return "interface_mismatch", f"{exporter} lost an input or an output of the model: {_root(chain)}"
    operator = operator_in(words)
    if operator or names & _UNSUPPORTED:
        return "export_unsupported_op", f"{exporter} has no ONNX form for {operator or 'an operator'} at opset {opset}"
    return _of_capture(words, at) or ("export_error", f"{exporter} refused the model{at}: {_root(chain)}")


def _of_capture(words: str, at: str) -> tuple[str, str] | None:
    """What torch says of shapes and values when it cannot capture the model for all that was asked."""
    suggested = "; ".join(suggestions_in(words))
    advice = f"; torch suggests {suggested}" if suggested else ""
    specialised = specialised_in(words)
    if specialised:
        name, size = specialised
        return (
            "dynamic_dim_static",
            f"torch made dimension '{name}' static at {size}{at}, though it was asked to be dynamic",
        )
    constraints = constraints_in(words)
    if constraints:
        return "dynamic_dim_refused", f"the model does not take every size of the range{at}: {constraints[0]}{advice}"
    if is_value_of_data(words):
        return "export_data_dependent", f"the model makes a Python number of a value of its input{at}{advice}"
    if any(mark in words for mark in _DATA_DEPENDENT):
        return "export_data_dependent", f"the model branches on the values of its input{at}{advice}"
    return None


def _root(chain: list[BaseException]) -> str:
    """The innermost error in a line: exporters wrap it in pages of advice."""
    told = [link for link in chain if text_of(link).strip()]
    root = told[-1] if told else chain[-1]
    text = without_colours(text_of(root))
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return f"{type(root).__name__}: {line}" if line else type(root).__name__
