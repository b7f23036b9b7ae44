"""How far a runtime goes: the newest opset and IR version it takes, its element types and its operator domains.

No runtime can be asked for these, and the lists that some builds keep of their kernels crash others. So models of one
node each are loaded and run, all of them on the CPU: what it cannot load, no session of this build is made from.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Iterable, Sequence

from edgesweep_worker import null_model
from edgesweep_worker.forked import NoAnswer, ask_child

#: Where the search for the newest opset or IR version ends: a build that takes this one names no limit.
HIGHEST_TRIED = 60

#: numpy's name and the bits of each TensorProto.DataType (onnx.proto); `object` is a string.
ELEMENT_TYPES = {
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("object", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32),
    13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16),
    17: ("float8_e4m3fn", 8), 18: ("float8_e4m3fnuz", 8), 19: ("float8_e5m2", 8), 20: ("float8_e5m2fnuz", 8),
    21: ("uint4", 4), 22: ("int4", 4), 23: ("float4_e2m1fn", 4), 24: ("float8_e8m0fnu", 8), 25: ("uint2", 2),
    26: ("int2", 2), 27: ("float6_e2m3fn", 6), 28: ("float6_e3m2fn", 6),
}  # fmt: skip

#: All questions together take a fifth of a second; a slow board gets fifty times that for each.
_SECONDS = 10.0


def probe_limits(ort: Any) -> dict[str, Any]:
    """The limits of the onnxruntime module `ort`, of which this process has made no session yet.

    Returns:
        `max_opset`, `max_ir_version`, `types` and `domains` as in `device.Runtime`; None or empty for what could not
        be found, because the build takes whatever it is given, crashes or hangs.
    """
    opset = _highest(ort, lambda number: null_model.add_model(opset=number), null_model.OPSET)
    ir_version = _highest(ort, lambda number: null_model.add_model(ir_version=number), null_model.IR_VERSION)
    types: list[str] = []
    if opset is not None and ir_version is not None:
        # What a type may be used for grows with the opset, but a build may lack kernels of the newest ones.
        opsets = range(opset, null_model.OPSET - 1, -1)
        models = {
            name: [model for tried in opsets for model in null_model.models_with_type(number, bits, ir_version, tried)]
            for number, (name, bits) in ELEMENT_TYPES.items()
        }
        types = _loading(ort, models)
    domains = _loading(ort, null_model.models_of_domains())
    return {"max_opset": opset, "max_ir_version": ir_version, "types": types, "domains": domains}


def _highest(ort: Any, model_of: Callable[[int], bytes], lowest: int) -> int | None:
    """The last number, counted up from `lowest`, whose model runs; None where there is no such end."""

    def climb() -> str:
        numbers = range(lowest, HIGHEST_TRIED + 1)
        return str(next((number - 1 for number in numbers if not _runs(ort, model_of(number))), HIGHEST_TRIED))

    try:
        found = int(ask_child(climb, _SECONDS))
    except (NoAnswer, ValueError):
        return None
    return found if lowest <= found < HIGHEST_TRIED else None


def _loading(ort: Any, models: dict[str, Sequence[bytes]]) -> list[str]:
    """The names of which any model can be loaded; none at all when the question has no answer."""

    def ask(names: Iterable[str]) -> list[str]:
        found = ask_child(
            lambda: json.dumps([name for name in names if any(_loads(ort, model) for model in models[name])]), _SECONDS
        )
        return [str(name) for name in json.loads(found)]

    try:
        return ask(models)
    except NoAnswer as error:
        if not error.died:
            return []
    # One of them crashes the runtime, which is an answer for that one only.
    found: list[str] = []
    for name in models:
        try:
            found += ask([name])
        except NoAnswer as error:
            if not error.died:
                return []
    return found


def _loads(ort: Any, model: bytes) -> bool:
    try:
        _session(ort, model)
    except Exception:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
        return False
    return True


def _runs(ort: Any, model: bytes) -> bool:
    import numpy as np

    try:
        _session(ort, model).run(None, {"x": np.ones((1, 8), dtype=np.float32)})
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _session(ort: Any, model: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # a refusal is the answer asked for, no error
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
