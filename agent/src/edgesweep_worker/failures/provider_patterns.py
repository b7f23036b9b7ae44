"""Words for a provider that cannot be made: its library, its driver, its device, its options, its compiler.

Some stand in the exception, some only on standard error: then the session comes up without the provider.
"""

from __future__ import annotations

from edgesweep_worker.failures.pattern import LOADING, pattern

PROVIDER_PATTERNS = (
    pattern(
        "driver-too-old/1",
        r"CUDA failure 35\b|CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver",
        "driver_too_old",
        "the CUDA driver here is missing or too old for {runtime}",
        ("1.14.1", "1.23.2"),
    ),
    pattern(
        "device-missing/1",
        r"CUDA failure 100\b|no CUDA-capable device is detected|cudaErrorNoDevice",
        "provider_device_missing",
        "there is no GPU here that CUDA can use",
        ("1.8.2", "1.18.0"),
    ),
    pattern(
        "device-code-missing/1",
        r"cudaErrorNoKernelImageForDevice|no kernel image is available for execution on the device",
        "provider_device_missing",
        "{runtime} holds no CUDA code for the GPU here",
        ("1.1.0", "1.23.0"),
    ),
    pattern(
        "device-missing/2",
        r"\[OpenVINO\] Device (?P<subject>\S+) is not available",
        "provider_device_missing",
        "OpenVINO finds no {subject} here",
        ("1.24.1", "1.24.1"),
        *LOADING,
    ),
    pattern(
        "library-missing/1",
        r"(?:^|[\s/])(?P<subject>[^\s/:]+): cannot open shared object file",
        "provider_library_missing",
        "the provider's library {subject} is not there",
        ("1.11.0", "1.32.0"),
    ),
    pattern(
        "library-symbol/1",
        r"(?:^|[\s/])(?P<subject>[^\s/:]+\.so[.\d]*): (?:undefined symbol|version `[^']*' not found)",
        "provider_library_missing",
        "the library {subject} does not fit the others here",
        ("1.24.1", "1.24.1"),
    ),
    pattern(
        "library-missing/2",
        r"Please install TensorRT libraries",
        "provider_library_missing",
        "the TensorRT libraries are not there",
        ("1.23.2", "1.31.1"),
        *LOADING,
    ),
    pattern(
        "library-missing/3",
        r"Failed to load library (?:\S*/)?(?P<subject>[^\s/]+) with error|Unable to load backend, error",
        "provider_library_missing",
        "the provider's library cannot be loaded",
        ("1.16.1", "1.32.0"),
    ),
    pattern(
        "option-invalid/1",
        r"Invalid \S+ EP option: (?P<subject>[^\s;]+)",
        "provider_option_invalid",
        "the provider has no option {subject}",
        ("1.24.1", "1.24.1"),
        *LOADING,
    ),
    pattern(
        "option-invalid/2",
        r"Unknown provider option: \"(?P<subject>[^\"]*)\"",
        "provider_option_invalid",
        "the provider has no option {subject}",
        ("1.23.2", "1.23.2"),
        *LOADING,
    ),
    pattern(
        "option-invalid/3",
        r"\[OpenVINO\] Unsupported inference precision is selected\. (?P<subject>\w+ only supports [\w, ]+\w)",
        "provider_option_invalid",
        "OpenVINO does not take this value of the option precision: {subject}",
        ("1.24.1", "1.24.1"),
        *LOADING,
    ),
    # It takes such a node first, and finds out when it reads its part of the model.
    pattern(
        "op-provider/1",
        r"OpenVINO does not support the following ONNX operations: (?:(?P<domain>[\w.]+)\.)?(?P<operator>\w+)",
        "unsupported_op",
        "OpenVINO has no kernel for operator {what}",
        ("1.24.1", "1.24.1"),
        *LOADING,
    ),
    pattern(
        "compile-failed/1",
        r"\[OpenVINO-EP\] +Exception while (?:Loading Network|Reading network)",
        "compile_error",
        "OpenVINO could not compile the model",
        ("1.24.1", "1.24.1"),
    ),
    pattern(
        "compile-failed/2",
        r"TensorRT EP failed to create engine from network|TensorRT EP could not build [Ee]ngine"
        r"|TensorRT EP failed to build engine",
        "compile_error",
        "TensorRT could not build an engine for the model",
        ("1.2.0", "1.19.0"),
    ),
    pattern(
        "engine-unreadable/1",
        r"TensorRT EP could not deserialize engine",
        "compile_error",
        "TensorRT cannot read the engine that was built before",
        ("1.19.0", "1.19.0"),
    ),
)
