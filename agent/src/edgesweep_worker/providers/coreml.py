"""Core ML on Apple's devices."""

from __future__ import annotations

from edgesweep_worker.providers.facts import Cache, ProviderFacts, Trap

FACTS = ProviderFacts(
    name="CoreMLExecutionProvider",
    short="coreml",
    options={
        "ModelFormat": "MLProgram or NeuralNetwork",
        "MLComputeUnits": "ALL, CPUOnly, CPUAndGPU or CPUAndNeuralEngine",
        "RequireStaticInputShapes": "1: leave nodes with dynamic shapes to others",
        "EnableOnSubgraphs": "1: take nodes inside loops and branches too",
        "SpecializationStrategy": "Default or FastPrediction",
        "ProfileComputePlan": "1: tell where each operator runs",
        "AllowLowPrecisionAccumulationOnGPU": "1: add up in half precision on the GPU",
    },
    local_options=frozenset({"ModelCacheDirectory"}),
    compile_step="session",
    compile_deadline_s=600.0,
    cache=Cache("ModelCacheDirectory", files=("*.mlmodelc", "*.mlpackage", "*.mlmodel")),
    computes_in="fp16",
    precision_options={"MLComputeUnits": {"cpuonly": ""}},
    traps=(
        Trap(
            "the model is converted and compiled anew for every session",
            "onnxruntime 1.21 and newer can keep it: measure with provider_cache: primed",
            "onnxruntime#21761",
        ),
        Trap(
            "fp16 models are slow as NeuralNetwork, which leaves half precision to the CPU",
            "set ModelFormat to MLProgram",
            "onnxruntime#17033",
        ),
    ),
)
