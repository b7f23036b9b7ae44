"""What an exporter's exception means: a catalogue cause, the sentence that helps, and the exporter's own full words."""

from __future__ import annotations

import re
import traceback

from edgesweep_proto.trial import Stage

from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import DETAIL_MAX_CHARS, causes_of, host_failure, is_out_of_memory

_MESSAGE_MAX_CHARS = 300

_ANSI = re.compile(r"\x1b\[[0-9;]*m|\[9\dm|\[0m")

_DATA_DEPENDENT = (
    "data-dependent",
    "data dependent",
    "GuardOnDataDependentSymNode",
    "DynamicOutputShape",
    "dynamic control flow",
)
_UNSUPPORTED_OPSET = re.compile(r"Unsupported (ONNX opset version|onnx_opset_version)", re.IGNORECASE)
_OPERATOR = re.compile(
    r"(?:operator '(?P<script>[\w:.]+)'|No ONNX function found for (?:<OpOverload\(op='(?P<overload>[\w.:]+)'[^>]*>"
    r"|(?P<dynamo>\S+?))(?=[\s.,]|$))"
)
_SPECIALISED = re.compile(
    r"You marked (?P<name>\w+) as dynamic but your code specialized it to be a constant \((?P<size>\d+)\)"
)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<where>\S+)', re.MULTILINE)


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
    words = _ANSI.sub("", "\n".join(f"{type(link).__name__}: {link}" for link in chain))
    detail = _ANSI.sub("", "".join(traceback.format_exception(error)))[-DETAIL_MAX_CHARS:]
    cause, message = _meaning(chain, words, exporter, opset)
    return Failure(Stage.EXPORT, cause, shorten(message), detail)


def shorten(text: str) -> str:
    """The first sentence or so of `text`, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_MAX_CHARS else f"{line[: _MESSAGE_MAX_CHARS - 1]}…"


def _meaning(chain: list[BaseException], words: str, exporter: str, opset: int) -> tuple[str, str]:
    if is_out_of_memory(chain[0]) or "can't allocate memory" in words:
        return "export_oom", "the export ran out of the memory it was given"
    if _UNSUPPORTED_OPSET.search(words):
        return "export_unsupported_opset", f"{exporter} does not offer opset {opset}"
    names = {type(link).__name__ for link in chain}
    operator = _OPERATOR.search(words)
    if operator or names & {"UnsupportedOperatorError", "DispatchError"}:
        name = next((group for group in operator.groups() if group), "") if operator else ""
        return "export_unsupported_op", f"{exporter} has no ONNX form for {name or 'an operator'} at opset {opset}"
    specialised = _SPECIALISED.search(words)
    if specialised:
        return (
            "dynamic_dim_static",
            f"torch made dimension '{specialised['name']}' static at {specialised['size']} and refuses to export it as dynamic",
        )
    if any(mark in words for mark in _DATA_DEPENDENT):
        return "export_data_dependent", f"the model branches on the values of its input{_place(words)}"
    return "export_error", f"{exporter} refused the model: {_root(chain)}"


def _root(chain: list[BaseException]) -> str:
    """The innermost error in a line: exporters wrap it in pages of advice."""
    told = [link for link in chain if str(link).strip()]
    root = told[-1] if told else chain[-1]
    text = _ANSI.sub("", str(root))
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return f"{type(root).__name__}: {line}" if line else type(root).__name__


def _place(words: str) -> str:
    """` at file.py:12 in forward`, when torch says which line of the model it was."""
    frames = [frame for frame in _FRAME.finditer(words) if "site-packages" not in frame["file"]]
    if not frames:
        return ""
    frame = frames[-1]
    return f" at {frame['file'].rsplit('/', 1)[-1]}:{frame['line']} in {frame['where']}"
