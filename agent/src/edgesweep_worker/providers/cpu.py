"""onnxruntime's own kernels, which are in every build."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts, Trap

FACTS = ProviderFacts(
    name="CPUExecutionProvider",
    short="cpu",
    traps=(
        Trap(
            "few operators have fp16 kernels: the rest is wrapped in casts to fp32, and the model is slower than its fp32 twin",
            "measure fp32 or int8 on processors",
            "onnxruntime#16778",
        ),
        Trap(
            "the same model may put another answer on top on x86-64 than on ARM",
            "compare outputs across devices by tolerance, as the report does",
            "onnxruntime#28609",
        ),
    ),
)
