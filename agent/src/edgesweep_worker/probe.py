"""What a runtime is and which of its providers really run a node: listing proves nothing, so each is tried."""

from __future__ import annotations

import platform
from typing import Any, Callable, Sequence

from edgesweep_worker import call_probe, limits, wheel_tag
from edgesweep_worker.failure import EVIDENCE_LIMIT
from edgesweep_worker.job import PluginLibrary

CPU = "CPUExecutionProvider"

#: A provider that hangs must not take the probe with it.
PROVIDER_SECONDS = 60.0


def probe_runtime(
    scratch_dir: str,
    named: Sequence[PluginLibrary] = (),
    doing: Callable[[str], None] = lambda _: None,
    provider_s: float = PROVIDER_SECONDS,
) -> dict[str, Any]:
    """Probe the onnxruntime of this interpreter.

    Args:
        scratch_dir: an existing folder for profiles; nothing is left in it.
        named: libraries of providers that the agent's settings name, besides those found in packages.
        doing: is told before each question that may take long.
        provider_s: how long a provider may be silent, in seconds.

    Returns:
        `runtime`, which is `device.Runtime` as JSON data without `id` and `flavour`, which only the agent knows, and
        `plugin_paths`, the libraries' paths by the names of its plug-ins. A runtime that cannot be used has `fault` set
        and everything else as far as it was found.
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
        "plugins": [],
    }
    paths: dict[str, str] = {}
    told = {"runtime": found, "plugin_paths": paths}
    try:
        import numpy as np
        import onnxruntime
    except Exception as error:  # noqa: BLE001 - a broken native library may raise anything
        found["fault"] = f"onnxruntime cannot be imported: {type(error).__name__}: {error}"[:EVIDENCE_LIMIT]
        return told
    ort: Any = onnxruntime
    found["numpy_version"] = np.__version__
    found["version"] = getattr(ort, "__version__", "")
    if not hasattr(ort, "InferenceSession"):
        found["fault"] = "the onnxruntime package is incomplete: two flavours may have been installed over each other"
        return told
    if hasattr(ort, "get_build_info"):
        found["build_info"] = ort.get_build_info()
    found["listed_providers"] = list(ort.get_available_providers())
    from edgesweep_worker import plugin_search, provider_probe

    trial = provider_probe.ProviderProbe(ort, scratch_dir, doing, provider_s)
    # Other providers first, each in a forked child: a fork is safe only while this process has made no session.
    tried = {name: trial.provider(name) for name in found["listed_providers"] if name != CPU}
    if CPU in found["listed_providers"]:
        tried[CPU] = trial.provider(CPU)
    found["providers"] = [tried[name] for name in found["listed_providers"]]
    for library in plugin_search.find(named):
        plugin, providers = trial.plugin(library)
        found["plugins"].append(plugin)
        paths[library.name] = library.path
        found["providers"] += [item for item in providers if item["name"] not in tried]
    if tried.get(CPU, {}).get("nodes"):
        found.update(limits.probe_limits(ort))
        found.update(call_probe.probe_calls(ort))
    return told
