"""Qualcomm's QNN: the HTP (NPU), GPU and CPU of their chips."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="QNNExecutionProvider",
    short="qnn",
    plugins=("onnxruntime-qnn",),
    options={
        "backend_type": "cpu, gpu, htp or saver",
        "htp_performance_mode": "burst, balanced, default, high_performance, power_saver and others",
        "htp_graph_finalization_optimization_mode": "0 to 3: how long it optimises",
        "htp_arch": "generation of the HTP to compile for",
        "soc_model": "number of the chip to compile for",
        "device_id": "which HTP",
        "enable_htp_fp16_precision": "1: run fp32 models in half precision",
        "vtcm_mb": "megabytes of fast memory to use",
        "rpc_control_latency": "microseconds that a call may wait",
        "qnn_context_priority": "low, normal, normal_high or high",
        "profiling_level": "off, basic, detailed or optrace",
        "offload_graph_io_quantization": "1: quantise inputs and outputs on the CPU",
        "enable_htp_spill_fill_buffer": "1: share a spill buffer between graphs",
        "enable_htp_shared_memory_allocator": "1: share memory with the HTP",
        "enable_htp_weight_sharing": "1: graphs of one context share weights",
        "disable_cpu_ep_fallback": "1: refuse a model that it cannot run whole",
    },
    local_options=frozenset(
        {
            "backend_path",
            "profiling_file_path",
            "op_packages",
            "qnn_saver_path",
            "qnn_ir_backend_path",
            "serializer_dir",
            "dump_json_qnn_graph",
            "json_qnn_graph_dir",
            "dump_qnn_ir_dlc",
            "dump_qnn_ir_dlc_dir",
        }
    ),
    compile_step="session",
    compile_deadline_s=1200.0,
    context=True,
    drivers=("fastrpc",),
    computes_in="fp16",
    precision_options={"enable_htp_fp16_precision": {"0": ""}, "backend_type": {"cpu": ""}},
)
