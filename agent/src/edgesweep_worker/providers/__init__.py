"""The execution providers that are known, a file each; a further one is a file and a line here.

This is plain data that the worker and the controller share: it imports nothing else, and no provider's file before it
is asked for.
"""

from __future__ import annotations

import importlib

from edgesweep_worker.providers.facts import Cache, ProviderFacts, Trap

__all__ = ["SHORT_NAMES", "Cache", "ProviderFacts", "Trap", "all_facts", "facts_of"]

#: The word in plans, on command lines and in cell names, which is also the file's name, and onnxruntime's own name.
SHORT_NAMES = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "acl": "ACLExecutionProvider",
    "armnn": "ArmNNExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
}

_FILES = {full: short for short, full in SHORT_NAMES.items()}


def facts_of(name: str) -> ProviderFacts:
    """What is known of a provider.

    Args:
        name: onnxruntime's full name. One that is not known has facts too: nothing but its name.
    """
    short = _FILES.get(name)
    if short is None:
        return ProviderFacts(name=name, short=name)
    found: ProviderFacts = importlib.import_module(f"{__name__}.{short}").FACTS
    return found


def all_facts() -> tuple[ProviderFacts, ...]:
    """The facts of every provider that has a file, in the order of `SHORT_NAMES`."""
    return tuple(map(facts_of, _FILES))
