"""DirectML on Windows, for any GPU with DirectX 12."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="DmlExecutionProvider",
    short="dml",
    options={
        "device_id": "which adapter",
        "performance_preference": "default, high_performance or minimum_power",
        "device_filter": "gpu, npu or any",
        "disable_metacommands": "true: none of the driver's own operators",
        "enable_graph_capture": "true: record the commands once and replay them",
        "enable_graph_serialization": "true: write the compiled graph",
    },
)
