"""MIGraphX on AMD's GPUs: compiles a program per subgraph."""

from __future__ import annotations

from edgesweep_worker.providers.facts import Cache, ProviderFacts, Trap

FACTS = ProviderFacts(
    name="MIGraphXExecutionProvider",
    short="migraphx",
    options={
        "device_id": "which GPU",
        "migraphx_fp16_enable": "1: half precision",
        "migraphx_bf16_enable": "1: bfloat16",
        "migraphx_fp8_enable": "1: eight-bit floats",
        "migraphx_int8_enable": "1: eight bits where the model is calibrated",
        "migraphx_exhaustive_tune": "1: try all kernels while compiling",
        "migraphx_mem_limit": "most bytes that its arena takes",
        "migraphx_arena_extend_strategy": "kNextPowerOfTwo or kSameAsRequested",
    },
    local_options=frozenset(
        {
            "migraphx_model_cache_dir",
            "migraphx_int8_calibration_table_name",
            "migraphx_use_native_calibration_table",
            "migraphx_save_compiled_model",
            "migraphx_save_compiled_path",
            "migraphx_load_compiled_model",
            "migraphx_load_compiled_path",
            "migraphx_external_alloc",
            "migraphx_external_free",
            "migraphx_external_empty_cache",
        }
    ),
    compile_step="session",
    compile_deadline_s=1800.0,
    cache=Cache("migraphx_model_cache_dir", files=("*.mxr",)),
    drivers=("amdgpu",),
    precision_options={
        "migraphx_bf16_enable": {"true": "bf16", "1": "bf16"},
        "migraphx_fp16_enable": {"true": "fp16", "1": "fp16"},
        "migraphx_fp8_enable": {"true": "fp8", "1": "fp8"},
        "migraphx_int8_enable": {"true": "int8", "1": "int8"},
    },
    traps=(
        Trap(
            "programs are for one shape: every new shape is compiled inside the inference that brings it",
            "measure static variants, and each shape as a cell of its own",
            "KataGo#1235",
        ),
        Trap(
            "compiling may take half an hour for a model that other providers compile in a minute",
            "give measure.deadlines_s.compile the time that it needs",
            "AMDMIGraphX#4164",
        ),
    ),
)
