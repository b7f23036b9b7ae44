"""CUDA on NVIDIA's GPUs."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts, Trap

FACTS = ProviderFacts(
    name="CUDAExecutionProvider",
    short="cuda",
    options={
        "device_id": "which GPU",
        "gpu_mem_limit": "most bytes that its arena takes",
        "arena_extend_strategy": "kNextPowerOfTwo or kSameAsRequested",
        "cudnn_conv_algo_search": "EXHAUSTIVE, HEURISTIC or DEFAULT: how convolutions are chosen",
        "cudnn_conv_use_max_workspace": "1: give that search all the memory it wants",
        "cudnn_conv1d_pad_to_nc1d": "1: pad one-dimensional convolutions differently",
        "do_copy_in_default_stream": "0: copy in a stream of its own",
        "enable_cuda_graph": "1: record the launches once and replay them",
        "tunable_op_enable": "1: use kernels found by tuning",
        "tunable_op_tuning_enable": "1: tune",
        "tunable_op_max_tuning_duration_ms": "longest tuning of one kernel",
        "use_tf32": "0: no TF32 in matrix products",
        "prefer_nhwc": "1: channels last",
        "fuse_conv_bias": "1: bias inside the convolution",
        "sdpa_kernel": "which attention kernels may be used, as a bit mask",
        "use_ep_level_unified_stream": "1: one stream for all inferences",
    },
    local_options=frozenset(
        {
            "user_compute_stream",
            "has_user_compute_stream",
            "gpu_external_alloc",
            "gpu_external_free",
            "gpu_external_empty_cache",
        }
    ),
    device_memory="nvml",
    drivers=("nvidia", "nvgpu", "l4t"),
    # Products of matrices and convolutions are TF32 unless told otherwise: ten bits of mantissa, as fp16 has.
    computes_in="tf32",
    precision_options={"use_tf32": {"0": "", "false": ""}},
    traps=(
        Trap(
            "a library of CUDA or cuDNN that is missing is only logged, and the session goes on without the provider",
            "the cell ends as provider_library_missing, which names the library",
            "onnxruntime#23372",
        ),
        Trap(
            "the build is for one major version of CUDA and cuDNN, and says so in its warning alone",
            "install the flavour for the board's CUDA",
            "onnxruntime#21424",
        ),
    ),
)
