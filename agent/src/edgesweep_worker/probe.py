"""What a runtime is and which of its providers really run a node: listing proves nothing, so each is tried."""

from __future__ import annotations

import json
import platform
import tempfile
from typing import Any, Callable

from edgesweep_worker import call_probe, limits, null_model, wheel_tag
from edgesweep_worker.failure import EVIDENCE_LIMIT
from edgesweep_worker.forked import NoAnswer, ask_child

#: A provider that hangs must not take the probe with it.
_PROVIDER_SECONDS = 60.0
_MESSAGE_LIMIT = 500


def probe_runtime(scratch_dir: str) -> dict[str, Any]:
    """Probe the onnxruntime of this interpreter.

    Args:
        scratch_dir: an existing folder for profiles; nothing is left in it.

    Returns:
        `device.Runtime` as JSON data without `id` and `flavour`, which only the agent knows. A runtime that cannot be
        used has `fault` set and everything else as far as it was found.
    """
    found: dict[str, Any] = {
        "version": "",
        "build_info": "",
        "python_version": platform.python_version(),
        "numpy_version": "",
        "listed_providers": [],
        "providers": [],
        "harness_floor_s": None,
        "fault": "",
        "max_opset": None,
        "max_ir_version": None,
        "types": [],
        "domains": [],
        "call": "",
        "call_costs_s": {},
        "wheel_tag": wheel_tag.newest(),
    }
    try:
        import numpy as np
        import onnxruntime
    except Exception as error:  # noqa: BLE001 - a broken native library may raise anything
        found["fault"] = f"onnxruntime cannot be imported: {type(error).__name__}: {error}"[:EVIDENCE_LIMIT]
        return found
    ort: Any = onnxruntime
    found["numpy_version"] = np.__version__
    found["version"] = getattr(ort, "__version__", "")
    if not hasattr(ort, "InferenceSession"):
        found["fault"] = "the onnxruntime package is incomplete: two flavours may have been installed over each other"
        return found
    if hasattr(ort, "get_build_info"):
        found["build_info"] = ort.get_build_info()
    found["listed_providers"] = list(ort.get_available_providers())
    # Other providers first, each in a forked child: a fork is safe only while this process has made no session.
    tried = {
        name: _in_child(lambda name=name: _try_provider(ort, name, scratch_dir))
        for name in found["listed_providers"]
        if name != "CPUExecutionProvider"
    }
    if "CPUExecutionProvider" in found["listed_providers"]:
        tried["CPUExecutionProvider"] = _in_child(lambda: _try_provider(ort, "CPUExecutionProvider", scratch_dir))
    found["providers"] = [
        {"name": name, "nodes": tried[name][0], "message": tried[name][1]} for name in found["listed_providers"]
    ]
    if tried.get("CPUExecutionProvider", (0, ""))[0]:
        found.update(limits.probe_limits(ort))
        found.update(call_probe.probe_calls(ort))
    return found


def _try_provider(ort: Any, name: str, scratch_dir: str) -> tuple[int, str]:
    """Nodes that `name` really ran, and the runtime's last words when it ran none."""
    import numpy as np

    from edgesweep_worker import placement

    words = ""
    models = (
        (null_model.dense_model(), (1, 8)),
        (null_model.add_model(), (1, 8)),
        (null_model.convolution_model(), (1, 3, 8, 8)),
    )
    for model, shape in models:
        with tempfile.TemporaryDirectory(dir=scratch_dir) as folder:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4  # a refusal is the answer asked for, no error
            placement.watch_placement(ort, options, folder)
            if name != "CPUExecutionProvider":
                # The two conflict when the CPU is listed as well, so only the one provider is.
                options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            try:
                session = ort.InferenceSession(model, options, providers=[name], enable_fallback=0)
                session.disable_fallback()
                found = placement.read_placement(ort, session, {"x": np.ones(shape, dtype=np.float32)})
            except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
                words = str(error)
                continue
            if found.counts[name]:
                return found.counts[name], ""
            words = "the session ran on " + ", ".join(session.get_providers())
    return 0, words[:_MESSAGE_LIMIT]


def _in_child(try_it: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """Run `try_it` in a forked child, so that a provider that crashes or hangs is a finding of its own."""
    try:
        nodes, words = json.loads(ask_child(lambda: json.dumps(try_it()), _PROVIDER_SECONDS))
    except NoAnswer as error:
        return 0, str(error)
    return int(nodes), str(words)
