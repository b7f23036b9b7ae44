"""Intel's OpenVINO: processors, graphics and NPUs of Intel; its CPU part runs on others' x86-64 too."""

from __future__ import annotations

from edgesweep_worker.providers.facts import Cache, ProviderFacts, Trap

FACTS = ProviderFacts(
    name="OpenVINOExecutionProvider",
    short="openvino",
    plugins=("onnxruntime-ep-openvino",),
    options={
        "device_type": "what it runs on: CPU, GPU, NPU, or AUTO:, HETERO: and MULTI: with a list",
        "precision": "FP32, FP16 or ACCURACY (as the model says)",
        "num_of_threads": "threads of its CPU part",
        "num_streams": "inferences that it runs side by side",
        "cache_dir": "folder of its compiled blobs",
        "load_config": "file with OpenVINO properties by device",
        "model_priority": "HIGH, MEDIUM, LOW or DEFAULT",
        "disable_dynamic_shapes": "True: compile again for each shape instead of once for all",
        "device_id": "which of several devices of a kind",
        "enable_causallm": "True: keep the state of a language model inside",
        "enable_opencl_throttling": "True: less load on the host while the GPU works",
        "enable_qdq_optimizer": "True: keep quantised operators on an NPU",
        "reshape_input": "fixed sizes of inputs",
        "layout": "layouts of inputs and outputs",
    },
    local_options=frozenset({"cache_dir", "load_config", "context"}),
    compile_step="session",
    compile_deadline_s=600.0,
    cache=Cache("cache_dir", files=("*.blob", "*.cl_cache")),
    context=True,
    libraries=("libopenvino.so.????",),
    drivers=("i915", "xe", "intel_vpu"),
    # Graphics and NPUs compute in half precision unless they are told to keep the model's.
    precision_options={
        "device_type": {"*gpu*": "fp16", "*npu*": "fp16"},
        "precision": {"fp16": "fp16", "fp32": "", "accuracy": ""},
    },
    traps=(
        Trap(
            "it tells none of its options, so that nothing shows whether they are in force",
            "see the tag options_not_reported, and compare two cells",
            "measured with 1.24.1",
        ),
        Trap(
            "a precision that the device does not take is only logged, and the session goes on without the provider",
            "the cell ends as provider_option_invalid: leave precision out on a CPU",
            "measured with 1.24.1",
        ),
        Trap(
            "the plug-in takes Intel's hardware alone, the compiled-in flavour any x86-64 processor",
            "install the flavour: `edgesweep runtime install DEVICE openvino-newest`",
            "measured with 1.8.1",
        ),
    ),
)
