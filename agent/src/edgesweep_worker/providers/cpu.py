"""onnxruntime's own kernels, which are in every build."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts, Trap

FACTS = ProviderFacts(
    name="CPUExecutionProvider",
    short="cpu",
    traps=(
        Trap(
            "fp16 models run slower than fp32 ones on most processors: few operators have a kernel of that type, and "
            "each node is wrapped in casts",
            "measure the fp32 variant on the CPU",
            "onnxruntime#23053",
        ),
    ),
)
