"""Qualcomm's QNN: the HTP (NPU), GPU and CPU of their chips."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts, Trap

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
        "htp_bf16_enable": "1: bfloat16 where the NPU has it",
        "enable_htp_graph_splitting": "1: split large graphs",
        "num_graph_prepare_threads": "threads that prepare graphs",
        "extended_udma": "1: wider memory transfers",
        "skip_backend_op_validation": "1: take nodes without asking the backend",
        "skip_qnn_version_check": "1: take another version of QNN's libraries",
        "rpc_control_latency": "microseconds that a call may wait",
        "qnn_context_priority": "low, normal, normal_high or high",
        "profiling_level": "off, basic, detailed or optrace",
        "offload_graph_io_quantization": "1: quantise inputs and outputs on the CPU",
        "enable_htp_spill_fill_buffer": "1: share a spill buffer between graphs",
        "enable_htp_shared_memory_allocator": "1: share memory with the HTP",
        "enable_htp_weight_sharing": "1: graphs of one context share weights",
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
            "dump_qnn_ep_input_graph",
            "dump_qnn_ep_input_graph_dir",
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
    traps=(
        Trap(
            "where its backend cannot be started the session is made, and every node is on the CPU",
            "the cell ends as fallback: see the backend's words in its detail",
            "onnxruntime-qnn#715",
        ),
        Trap(
            "the generation of the NPU may be newer than the package: then no node is taken",
            "install the newest onnxruntime-qnn",
            "onnxruntime#26845",
        ),
    ),
)
