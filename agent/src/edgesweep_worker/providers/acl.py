"""The Arm Compute Library on ARM processors."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="ACLExecutionProvider",
    short="acl",
    options={"enable_fast_math": "true: bfloat16 kernels for fp32 models where the processor has them"},
    precision_options={"enable_fast_math": {"true": "bf16", "1": "bf16"}},
)
