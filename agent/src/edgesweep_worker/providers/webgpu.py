"""WebGPU: any GPU that Dawn can drive, through Vulkan on Linux."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts, Trap

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
        "dawnBackendType": "Vulkan or D3D12",
        "forceCpuNodeNames": "nodes to leave to the CPU",
        "enableRobustness": "1: check bounds in shaders",
        "maxStorageBufferBindingSize": "most bytes of one buffer",
        "uniformBufferCacheMode": "as storageBufferCacheMode",
        "queryResolveBufferCacheMode": "as storageBufferCacheMode",
        "defaultBufferCacheMode": "as storageBufferCacheMode",
    },
    local_options=frozenset({"dawnProcTable", "webgpuInstance", "webgpuDevice"}),
    compile_step="first_run",
    drivers=("nvidia", "nvgpu", "amdgpu", "i915", "xe", "panfrost", "panthor", "msm"),
    traps=(
        Trap(
            "on Linux it needs the Vulkan loader, libvulkan.so.1, and without it finds no device",
            "install the distribution's package of the Vulkan loader",
            "measured with 0.4.0",
        ),
    ),
)
