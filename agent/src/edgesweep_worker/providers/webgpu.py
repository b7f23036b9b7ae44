"""WebGPU: any GPU that Dawn can drive, through Vulkan on Linux."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="WebGpuExecutionProvider",
    short="webgpu",
    plugins=("onnxruntime-ep-webgpu",),
    options={
        "preferredLayout": "NCHW or NHWC",
        "enableGraphCapture": "1: record the commands once and replay them",
        "validationMode": "disabled, wgpuOnly, basic or full",
        "storageBufferCacheMode": "disabled, lazyRelease, simple or bucket",
        "powerPreference": "high-performance or low-power",
        "deviceId": "which device",
    },
    local_options=frozenset({"dawnProcTable", "webgpuInstance", "webgpuDevice"}),
    compile_step="first_run",
    drivers=("nvidia", "nvgpu", "amdgpu", "i915", "xe", "panfrost", "panthor", "msm"),
)
