"""Causes of outcomes on the device, and the trouble of the lab that is none of the model's."""

from __future__ import annotations

from edgesweep.errors.entry import cause

DEVICE_CAUSES = (
    cause(
        "provider_unavailable",
        "the runtime does not have the provider asked for",
        "install a runtime of the flavour that carries it",
    ),
    cause(
        "runtime_unavailable",
        "the device does not have the runtime asked for",
        "see `edgesweep runtime list NAME`, and add it with `edgesweep runtime install NAME RUNTIME`",
    ),
    cause(
        "opset_unsupported",
        "the runtime is too old for the model's opset",
        "export at a lower opset or use a newer runtime",
    ),
    cause(
        "ir_unsupported",
        "the runtime is too old for the model's IR version",
        "lower the artifact's ir_version or use a newer runtime",
    ),
    cause(
        "unsupported_op",
        "the runtime has no kernel for an operator of the model",
        "use another opset, precision or provider",
    ),
    cause(
        "external_data_missing",
        "the model names external data that is not there",
        "keep the .onnx file and its data files in one folder and push again",
    ),
    cause(
        "shape_mismatch",
        "the session refuses the shape of an input",
        "check `dynamic` and `shapes` in the plan against the model's own inputs",
    ),
    cause("load_error", "onnxruntime could not make a session", "see the runtime's own message in the detail"),
    cause("run_error", "onnxruntime failed while it ran the model", "see the runtime's own message in the detail"),
    cause(
        "nondeterministic_output",
        "the model gives another answer each time it runs on the same inputs",
        "give its random operators a seed, or export it in eval mode, where dropout is off",
    ),
    cause(
        "no_nodes",
        "the provider asked for got no node of the model",
        "use a model or an opset that the provider supports, or ask for the CPU",
    ),
    cause(
        "partial_placement",
        "some nodes ran outside the provider asked for",
        "see `placement` for the nodes, or set `fallback: allow`",
    ),
    cause("oom", "the worker ran out of memory", "use a smaller model, batch or shape on this board"),
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
    cause("unknown", "an error that the catalogue does not know", "see the detail, and report it", repeatable=False),
)
"""Stable findings first, then what is tried again."""
