"""ROCm on AMD's GPUs, which onnxruntime 1.23 and newer no longer have: MIGraphX took its place."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="ROCMExecutionProvider",
    short="rocm",
    options={
        "device_id": "which GPU",
        "gpu_mem_limit": "most bytes that its arena takes",
        "arena_extend_strategy": "kNextPowerOfTwo or kSameAsRequested",
        "miopen_conv_exhaustive_search": "1: try all convolutions",
        "tunable_op_enable": "1: use kernels found by tuning",
        "tunable_op_tuning_enable": "1: tune",
    },
    local_options=frozenset({"user_compute_stream", "has_user_compute_stream"}),
    drivers=("amdgpu",),
)
