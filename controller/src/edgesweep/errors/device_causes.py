"""Causes of outcomes on the device, and the trouble of the lab that is none of the model's."""

from __future__ import annotations

from edgesweep.errors.entry import cause

#: Where a session is made, and where it runs.
_LOADING = "load compile placement"
_RUNNING = "first_run warmup measure placement"

_CUDA_NEEDS = "https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#requirements"
_PROVIDERS = "https://onnxruntime.ai/docs/execution-providers/"
_VERSIONS = "https://onnxruntime.ai/docs/reference/compatibility.html"

DEVICE_CAUSES = (
    cause(
        "provider_unavailable",
        "the runtime does not have the provider asked for, or cannot use it here",
        "install a runtime of the flavour that carries it; where it is there, its own words in the detail say what it lacks",
        stages="load",
        link=_PROVIDERS,
    ),
    cause(
        "provider_library_missing",
        "a library that the provider needs is not on the board, or does not fit the others",
        "install the library that the message names, in the version that this runtime was built for",
        stages="load",
        link=_CUDA_NEEDS,
    ),
    cause(
        "driver_too_old",
        "the accelerator's driver is missing or too old for the runtime",
        "update the driver, or use a runtime that was built for an older one",
        stages="load first_run",
        link=_CUDA_NEEDS,
    ),
    cause(
        "provider_device_missing",
        "the provider finds no device here that it can drive",
        "check that the board has the device and that its driver is loaded, or ask for another device in the provider's "
        "options",
        stages="load first_run",
    ),
    cause(
        "provider_option_invalid",
        "the provider does not know an option of the plan, or does not take its value",
        "correct the option that the message names under `providers:`",
        stages="load",
        link=_PROVIDERS,
    ),
    cause(
        "provider_crash",
        "the worker died with an execution provider other than the CPU in its process",
        "try another version of the provider, its library or its driver; the model runs without it where the CPU's cell "
        "passes",
        stages="load compile first_run warmup measure placement",
    ),
    cause(
        "option_refused",
        "an option of a provider names a file, a library or an address on the device",
        "leave it out: caches and libraries are the device's own; see docs/providers.md",
        stages="load",
    ),
    cause(
        "runtime_unavailable",
        "the device does not have the runtime asked for",
        "see `edgesweep runtime list NAME`, and add it with `edgesweep runtime install NAME RUNTIME`",
        stages="load",
    ),
    cause(
        "opset_unsupported",
        "the runtime is too old for the model's opset",
        "export at a lower opset or use a newer runtime",
        stages="load",
        link=_VERSIONS,
    ),
    cause(
        "ir_unsupported",
        "the runtime is too old for the model's IR version",
        "lower the artifact's ir_version or use a newer runtime",
        stages="load",
        link=_VERSIONS,
    ),
    cause(
        "unsupported_op",
        "the runtime has no kernel for an operator of the model",
        "use another opset, precision or provider",
        stages="load first_run",
        link="https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md",
    ),
    cause(
        "element_type_unsupported",
        "the runtime does not have an element type of the model",
        "use another precision or a newer runtime",
        stages="load",
    ),
    cause(
        "locale_missing",
        "the board lacks a locale that an operator of the model needs",
        "make the locale that the message names on the board (on Debian: install the package locales, then "
        "`dpkg-reconfigure locales`), and start the agent again",
        stages="load first_run",
    ),
    cause(
        "external_data_missing",
        "the model names external data that is not there",
        "keep the .onnx file and its data files in one folder and push again",
        stages="load",
        link="https://github.com/onnx/onnx/blob/main/docs/ExternalData.md",
    ),
    cause(
        "shape_mismatch",
        "a shape does not fit: that of an input, or two of them inside the model",
        "check `dynamic` and `shapes` in the plan against what the model takes",
        stages="load first_run",
    ),
    cause(
        "compile_error",
        "the provider could not compile the model",
        "try another opset, precision or version of the provider; its own words are in the detail",
        stages="load compile first_run",
    ),
    cause(
        "load_error",
        "onnxruntime could not make a session",
        "see the runtime's own message in the detail",
        stages="load",
    ),
    cause(
        "run_error",
        "onnxruntime failed while it ran the model",
        "see the runtime's own message in the detail",
        stages=f"check {_RUNNING}",
    ),
    cause(
        "nondeterministic_output",
        "the same inputs give other outputs from run to run",
        "see in the message which output; another provider, or one thread, may be deterministic",
        stages="verify measure",
    ),
    cause(
        "no_nodes",
        "the provider asked for got no node of the model",
        "use a model or an opset that the provider supports, or ask for the CPU",
        stages="placement",
    ),
    cause(
        "partial_placement",
        "some nodes ran outside the provider asked for",
        "see `placement` for the nodes; allow it by `fallback: allow`, or lower the limits of the plan's `placement`",
        stages="placement",
    ),
    cause(
        "placement_untold",
        "nothing tells on which provider the nodes ran, so that no number may go by its name",
        "use onnxruntime 1.24.1 or newer, which can be asked; an older one tells it in its profile, which could not be read",
        stages="placement",
    ),
    cause(
        "oom",
        "the worker ran out of memory",
        "use a smaller model, batch or shape on this board",
        stages=f"{_LOADING} {_RUNNING}",
    ),
    cause(
        "oom_device",
        "the accelerator ran out of memory",
        "use a smaller model, batch or shape, or bound the provider's own memory in its options",
        stages=f"{_LOADING} {_RUNNING}",
        link="https://github.com/microsoft/onnxruntime/issues/16307",
    ),
    cause(
        "illegal_instruction",
        "the runtime uses an instruction that this processor does not have",
        "use a build of onnxruntime for this processor, or an older one",
    ),
    cause("crash", "the worker process died", "see the signal and the last lines of its stderr in the detail"),
    cause(
        "timeout",
        "the worker made no progress within the stage's deadline",
        "raise measure.deadlines_s for the stage in the plan",
    ),
    cause(
        "compile_timeout",
        "the provider did not compile the model within the stage's deadline",
        "raise measure.deadlines_s.compile in the plan; session.provider_cache: primed compiles before the start that is "
        "timed, within the same deadline",
    ),
    cause(
        "worker_protocol",
        "the worker ended without a result",
        "see its stderr in the detail; the runtime's environment may be broken",
    ),
    # Transient: say nothing about the model
    cause(
        "interrupted",
        "the agent or the board went down under the trial",
        "resume the run: the trial is run again",
        stable=False,
    ),
    cause(
        "board_rebooted",
        "the board started anew under the trial",
        "resume the run: the trial is run again; if it happens again at the same cell, look at the board's power and heat",
        stable=False,
    ),
    cause("cancelled", "the trial was cancelled before it ended", "resume the run", stable=False),
    cause(
        "device_unreachable",
        "the device did not answer within the retry budget",
        "check the board, then `edgesweep run --resume RUN`",
        stable=False,
    ),
    cause(
        "upload_failed",
        "the artifact did not reach the device",
        "check the link and the device's disk, then resume the run",
        stable=False,
    ),
    cause("not_run", "the run ended before this cell's turn", "resume the run", stable=False),
    cause(
        "export_host_trouble",
        "the host could not finish the export",
        "free disk space, memory or open files on the host, or start a lost Dask worker again, then resume the run: "
        "the variant is exported again",
        stable=False,
    ),
    cause(
        "unknown",
        "an error that the catalogue does not know",
        "see the detail; `edgesweep failure learn HASH --cause CODE` tells what it is from now on",
        repeatable=False,
    ),
)
"""Stable findings first, then what is tried again."""
