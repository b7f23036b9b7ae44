"""onnxruntime's status code as a word, from its message or from the class of its exception."""

from __future__ import annotations

import re

_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : (?P<word>[A-Z_]+)")

#: Classes of onnxruntime.capi.onnxruntime_pybind11_state, for messages without the prefix.
_CLASSES = {
    "Fail": "FAIL",
    "InvalidArgument": "INVALID_ARGUMENT",
    "NoSuchFile": "NO_SUCHFILE",
    "NoModel": "NO_MODEL",
    "EngineError": "ENGINE_ERROR",
    "RuntimeException": "RUNTIME_EXCEPTION",
    "InvalidProtobuf": "INVALID_PROTOBUF",
    "ModelLoaded": "MODEL_LOADED",
    "NotImplemented": "NOT_IMPLEMENTED",
    "InvalidGraph": "INVALID_GRAPH",
    "EPFail": "EP_FAIL",
    "ModelLoadCanceled": "MODEL_LOAD_CANCELED",
    "ModelRequiresCompilation": "MODEL_REQUIRES_COMPILATION",
    "NotFound": "NOT_FOUND",
}


def status_of(error: BaseException) -> str:
    """The status such as NOT_IMPLEMENTED, the outermost one; empty when `error` is none of onnxruntime's own."""
    found = _PREFIX.search(str(error))
    if found:
        return found["word"]
    of_runtime = type(error).__module__.startswith("onnxruntime.")
    return _CLASSES.get(type(error).__name__, "") if of_runtime else ""
