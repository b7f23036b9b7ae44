"""Predicts from an artifact's facts and a runtime's limits what cannot load: pure rules, and none without a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgesweep_proto.device import Runtime

from edgesweep.compat.prediction import Prediction
from edgesweep.export.result import Produced
from edgesweep.plan.providers import full_name

#: The domain of the standard operators, which every runtime has: it is their opset that may be too new.
_STANDARD = "ai.onnx"

_CPU = "CPUExecutionProvider"


def predict(produced: Produced, runtime: Runtime, providers: Sequence[str] = ("cpu",)) -> tuple[Prediction, ...]:
    """Why the artifact cannot be loaded by the runtime, in the order in which a load would find out.

    Opset and IR version are looked at before any provider is made. Types and domains were probed on the CPU, and another
    provider may bring its own: they count where nothing but the CPU is asked for. A chain whose first provider the
    build lacks ends with a cause of its own, whatever the artifact is like.

    Args:
        produced: the artifact's facts as read back.
        runtime: the runtime as its agent probed it; a limit that was not found predicts nothing.
        providers: the cell's provider chain, short names in order.

    Returns:
        Predictions in the state `predicted`. The load should end with the first one's cause; the others are further
        reasons. Empty when nothing speaks against the artifact.
    """
    chain = [full_name(name) for name in providers]
    if runtime.fault or not chain or chain[0] not in runtime.listed_providers:
        return ()
    found = [*_of_versions(produced, runtime)]
    if set(chain) == {_CPU}:
        found += [*_of_domains(produced, runtime), *_of_types(produced, runtime)]
    return tuple(found)


def _of_versions(produced: Produced, runtime: Runtime) -> Iterator[Prediction]:
    versions = (
        ("opset_unsupported", "opset", produced.opset, runtime.max_opset),
        ("ir_unsupported", "IR version", produced.ir_version, runtime.max_ir_version),
    )
    for cause, word, value, newest in versions:
        if newest is not None and value > newest:
            sentence = f"the artifact has {word} {value}, and onnxruntime {runtime.version} takes up to {newest}"
            yield Prediction(cause, sentence, limit=f"{word} {newest}")


def _of_domains(produced: Produced, runtime: Runtime) -> Iterator[Prediction]:
    """Domains of the operators that the graph really calls: a domain that is only imported does no harm."""
    if not runtime.domains:
        return
    called = {name.rpartition(".")[0] or _STANDARD: name for name in reversed(produced.operators)}
    for domain, operator in sorted(called.items()):
        if domain != _STANDARD and domain not in runtime.domains:
            sentence = (
                f"the artifact calls {operator}, and onnxruntime {runtime.version} knows no operators of {domain} "
                f"(it knows {', '.join(runtime.domains)})"
            )
            yield Prediction("unsupported_op", sentence, limit=f"domain {domain}")


def _of_types(produced: Produced, runtime: Runtime) -> Iterator[Prediction]:
    for name in produced.types if runtime.types else ():
        if name not in runtime.types:
            sentence = f"the artifact holds {name}, and onnxruntime {runtime.version} has no such element type"
            yield Prediction("element_type_unsupported", sentence, limit=f"type {name}")
