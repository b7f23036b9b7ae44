"""TensorRT on NVIDIA's GPUs: builds an engine per subgraph, which takes minutes on a small board."""

from __future__ import annotations

from edgesweep_worker.providers.facts import Cache, ProviderFacts, Trap

FACTS = ProviderFacts(
    name="TensorrtExecutionProvider",
    short="tensorrt",
    options={
        "device_id": "which GPU",
        "trt_max_workspace_size": "most bytes of scratch memory while building",
        "trt_max_partition_iterations": "tries to split the graph",
        "trt_min_subgraph_size": "least nodes of a subgraph that it takes",
        "trt_fp16_enable": "True: half precision where it is faster",
        "trt_bf16_enable": "True: bfloat16 where it is faster",
        "trt_int8_enable": "True: eight bits where the model is calibrated",
        "trt_int8_use_native_calibration_table": "True: a table of TensorRT's own",
        "trt_dla_enable": "True: run on a Jetson's DLA",
        "trt_dla_core": "which DLA",
        "trt_engine_cache_enable": "True: keep engines",
        "trt_engine_cache_path": "folder of the engines",
        "trt_engine_hw_compatible": "True: engines for other GPUs of the same line or newer",
        "trt_weight_stripped_engine_enable": "True: engines without weights",
        "trt_timing_cache_enable": "True: keep what was timed while building",
        "trt_timing_cache_path": "folder of the timings",
        "trt_force_timing_cache": "True: use timings of another GPU",
        "trt_force_sequential_engine_build": "True: build engines one by one",
        "trt_context_memory_sharing_enable": "True: engines share scratch memory",
        "trt_layer_norm_fp32_fallback": "True: layer norms stay fp32 in half precision",
        "trt_build_heuristics_enable": "True: build faster by guessing",
        "trt_sparsity_enable": "True: use zeros in the weights",
        "trt_builder_optimization_level": "0 to 5: how long it searches",
        "trt_auxiliary_streams": "streams inside an engine",
        "trt_profile_min_shapes": "smallest sizes, as name:1x3x64x64",
        "trt_profile_max_shapes": "largest sizes",
        "trt_profile_opt_shapes": "sizes that engines are built best for",
        "trt_cuda_graph_enable": "True: record the launches once and replay them",
        "trt_detailed_build_log": "True: tell each step of a build",
        "trt_dump_subgraphs": "True: write each subgraph to a file",
        "trt_op_types_to_exclude": "operators that it leaves to others",
    },
    local_options=frozenset(
        {
            "user_compute_stream",
            "has_user_compute_stream",
            "trt_engine_cache_path",
            # It is put before the engines' names as it is, so that it may lead out of their folder.
            "trt_engine_cache_prefix",
            "trt_timing_cache_path",
            "trt_int8_calibration_table_name",
            "trt_engine_decryption_lib_path",
            "trt_engine_decryption_enable",
            "trt_extra_plugin_lib_paths",
            "trt_onnx_model_folder_path",
            "trt_onnx_bytestream",
            "trt_onnx_bytestream_size",
            "trt_external_data_bytestream",
            "trt_external_data_bytestream_size",
            "trt_ep_context_file_path",
        }
    ),
    # Of subgraphs whose shapes are known; those with dynamic ones are built in the first run.
    compile_step="session",
    compile_deadline_s=1800.0,
    cache=Cache("trt_engine_cache_path", {"trt_engine_cache_enable": "True"}, ("*.engine", "*.profile", "*.timing")),
    context=True,
    device_memory="nvml",
    drivers=("nvidia", "nvgpu", "l4t"),
    # Products of matrices and convolutions are TF32 unless told otherwise: ten bits of mantissa, as fp16 has.
    computes_in="tf32",
    precision_options={
        "trt_bf16_enable": {"true": "bf16", "1": "bf16"},
        "trt_fp16_enable": {"true": "fp16", "1": "fp16"},
        "trt_int8_enable": {"true": "int8", "1": "int8"},
    },
    traps=(
        Trap(
            "an engine is built without a sign of life, for minutes on a small board",
            "give measure.deadlines_s.compile the time that it needs",
            "onnxruntime#22244",
        ),
        Trap(
            "a shape outside those it was built for builds another engine in the middle of a run",
            "name the range with trt_profile_min_shapes, trt_profile_opt_shapes and trt_profile_max_shapes",
            "onnxruntime#12120",
        ),
        Trap(
            "with explicit shape ranges the cached engine may be built anew all the same",
            "compare files before and after in the cell's `compile`",
            "onnxruntime#16889",
        ),
    ),
)
