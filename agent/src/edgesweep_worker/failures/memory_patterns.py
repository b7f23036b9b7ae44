"""Words for memory that ran out, on the host and on an accelerator."""

from __future__ import annotations

from edgesweep_worker.failures.pattern import pattern

MEMORY_PATTERNS = (
    pattern(
        "device-memory/1",
        r"CUDA failure 2: out of memory|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY"
        r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|Cuda Error in allocate: 2|HIP failure 2: out of memory|hipErrorOutOfMemory",
        "oom_device",
        "{runtime} could not get the accelerator's memory that the model needs",
        ("1.10.0", "1.19.0"),
    ),
    pattern(
        "arena/1",
        r"Failed to allocate memory for requested buffer of size (?P<subject>\d+)",
        "oom",
        "an arena of {runtime} could not get {subject} bytes",
        ("1.9.0", "1.32.0"),
    ),
    pattern(
        "arena-limit/1",
        r"Available memory of (?P<subject>\d+) is smaller than requested bytes of \d+",
        "oom",
        "an arena of {runtime} is at its limit of {subject} bytes",
        ("1.16.3", "1.32.0"),
    ),
    pattern(
        "bad-alloc/1",
        r"std::bad_alloc|\bbad allocation\b",
        "oom",
        "{runtime} could not get the memory it needs",
        ("1.16.3", "1.32.0"),
    ),
    pattern(
        "out-of-memory/1",
        r"(?i)\bout of memory\b|\bCannot allocate memory\b",
        "oom",
        "{runtime} could not get the memory it needs",
        ("", ""),
    ),
)
