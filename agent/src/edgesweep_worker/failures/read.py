"""Reads a runtime's words: the first pattern that knows them, and what it says of operator and subject."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from edgesweep_worker.failures.graph_patterns import GRAPH_PATTERNS
from edgesweep_worker.failures.memory_patterns import MEMORY_PATTERNS
from edgesweep_worker.failures.model_operator import find_operator
from edgesweep_worker.failures.normalise import message_hash, normalise, sound
from edgesweep_worker.failures.pattern import Pattern
from edgesweep_worker.failures.provider_patterns import PROVIDER_PATTERNS
from edgesweep_worker.failures.run_patterns import RUN_PATTERNS

#: Read in this order: memory can run out anywhere, and a provider's own trouble is wrapped in the words of a load or run.
PATTERNS: Tuple[Pattern, ...] = (*MEMORY_PATTERNS, *PROVIDER_PATTERNS, *GRAPH_PATTERNS, *RUN_PATTERNS)

#: What is read of either end of a text, in characters.
_MOST_CHARS = 8000

#: What any failing node is announced with, whatever its trouble is.
_RUNNING_NODE = re.compile(r"while running (?P<operator>[\w.-]+) node\. Name:'(?P<node>[^']*)'")

#: What a provider made of many nodes: no operator of the model.
_COMPILED_PART = re.compile(r"\W|^TRTKernel")

#: numpy's names of element types where onnxruntime has others.
_NUMPY = {
    "float": "float32", "double": "float64", "float8e4m3fn": "float8_e4m3fn", "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2", "float8e5m2fnuz": "float8_e5m2fnuz", "float4e2m1": "float4_e2m1fn",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What `known` said: its pattern, the text of its groups, and the operator as JSON data, None when it is about none."""

    known: Pattern
    words: Dict[str, str]
    operator: Dict[str, Any] | None

    def sentence(self, runtime: str, **more: str) -> str:
        """The pattern's sentence for people; `runtime` names onnxruntime with its version."""
        what = operator_words(self.operator) if self.operator else ""
        at_operator = f" at operator {what}" if what else ""
        words = dict(self.words, runtime=runtime, what=what, at_operator=at_operator, **more)
        types = ", ".join(numpy_types(self.words.get("types", ""))) or self.words.get("types", "")
        return self.known.sentence.format(**dict(words, types=types))


def read(text: str, stage: str, model_path: str = "") -> Reading | None:
    """What `text`, told in `stage`, means; None when no pattern knows it.

    Args:
        text: the runtime's words.
        stage: the trial's stage.
        model_path: the model, which is asked for what the words leave out of an operator; empty for none.
    """
    text = _shortened(sound(text))
    for known in PATTERNS:
        if known.stages and stage not in known.stages:
            continue
        match = known.regex.search(text)
        if match:
            words = {name: value or "" for name, value in match.groupdict().items()}
            return Reading(known, words, _operator(words, model_path))
    return None


def _shortened(text: str) -> str:
    """The two ends of a text that no message is as long as: a library may write without end."""
    return text if len(text) <= 2 * _MOST_CHARS else f"{text[:_MOST_CHARS]}\n{text[-_MOST_CHARS:]}"


def running_node(text: str) -> Dict[str, Any] | None:
    """The operator whose node failed, as JSON data, from the words around any failing node."""
    match = _RUNNING_NODE.search(_shortened(sound(text)))
    return _operator(dict(match.groupdict()), "") if match else None


def diagnosis(
    evidence: str,
    words: str = "",
    *,
    pattern: str = "",
    status: str = "",
    subject: str = "",
    operator: Dict[str, Any] | None = None,
) -> Dict[str, Any]:
    """A Diagnosis as JSON data; `evidence` is what the cause was told from, `words` are the runtime's own."""
    normalised = normalise(words)
    return {
        "evidence": evidence,
        "pattern": pattern,
        "status": status,
        "subject": sound(subject),
        "operator": operator,
        "normalised": normalised,
        "message_hash": message_hash(normalised),
    }


def operator_words(operator: Dict[str, Any]) -> str:
    """An operator as people write it: `Det(11)`, `com.acme.Magic`, with its types and its node where they are told."""
    name = str(operator["name"])
    if operator["domain"] not in ("", "ai.onnx"):
        name = f"{operator['domain']}.{name}"
    if operator["version"] is not None:
        name += f"({operator['version']})"
    if operator["types"]:
        name += " for " + ", ".join(operator["types"])
    return f"{name} (node {operator['node']})" if operator["node"] else name


def numpy_types(text: str) -> Tuple[str, ...]:
    """The distinct element types that `text` names as `tensor(float)`, by numpy's names, in order."""
    found = re.findall(r"tensor\((\w+)\)", text)
    return tuple(dict.fromkeys(_NUMPY.get(name, name) for name in found))


def _operator(words: Dict[str, str], model_path: str) -> Dict[str, Any] | None:
    name = words.get("operator", "")
    if not name or _COMPILED_PART.search(name):
        return None
    version = int(words["op_version"]) if words.get("op_version") else -1
    domain, node, types = words.get("domain", ""), words.get("node", ""), numpy_types(words.get("types", ""))
    if model_path and not (domain and types):
        found = find_operator(model_path, name, node)
        if found is not None:
            domain = domain or found.domain
            node = node or found.name
            types = types or tuple(dict.fromkeys(found.input_types))
    return {
        "domain": domain or "ai.onnx",
        "name": name,
        "version": version if version > 0 else None,
        "types": list(types),
        "node": node,
    }
