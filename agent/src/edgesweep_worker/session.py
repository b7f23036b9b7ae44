"""Sessions: made as asked, read back as they came out, and refused with the cause when they did not."""

from __future__ import annotations

import os
from typing import Any

from edgesweep_worker import failure, model_file, null_model
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import SessionRequest, TrialJob

CPU = "CPUExecutionProvider"

_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def make_options(ort: Any, request: SessionRequest) -> Any:
    """Session options as asked.

    Threads are always set: onnxruntime's own default ignores the CPU mask of the process.

    Raises:
        TrialFailed: load_error, the optimisation level is none of disabled, basic, extended, all.
    """
    if request.graph_optimization not in _LEVELS:
        raise TrialFailed("load_error", f"there is no graph optimisation level {request.graph_optimization}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.intra_op_threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = request.inter_op_threads
    options.enable_cpu_mem_arena = not request.no_cpu_arena
    if request.inter_op_threads > 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[request.graph_optimization])
    return options


def usable_chain(ort: Any, job: TrialJob) -> tuple[list[tuple[str, dict[str, str]]], list[str]]:
    """The providers of the job that this build has, in order, and a tag for each that it lacks.

    Raises:
        TrialFailed: provider_unavailable, the first provider is not there. Nothing ever runs on the CPU instead.
    """
    listed = ort.get_available_providers()
    first = job.providers[0].name
    if first not in listed:
        raise TrialFailed(
            "provider_unavailable",
            f"onnxruntime {ort.__version__} here has no {first}",
            "available providers: " + ", ".join(listed),
        )
    chain = [(item.name, item.options) for item in job.providers if item.name in listed]
    return chain, [f"provider_missing:{item.name}" for item in job.providers if item.name not in listed]


def open_session(ort: Any, job: TrialJob, options: Any, chain: list[tuple[str, dict[str, str]]]) -> Any:
    """Make the session, by path: from bytes it would keep a second copy of the model for good.

    Args:
        ort: the onnxruntime module.
        job: the trial's job.
        options: SessionOptions.
        chain: provider names with options, all available in this build.

    Raises:
        TrialFailed: with the cause of the refusal.
    """
    first = chain[0][0]
    try:
        # Without enable_fallback=0 newer versions print an error and go on without the provider; older ones
        # do not know the word and are caught by the check below.
        session = ort.InferenceSession(job.model_path, options, providers=chain, enable_fallback=0)
    except Exception as error:
        raise load_failure(ort, error, job.model_path, first) from error
    session.disable_fallback()
    got = session.get_providers()
    if first not in got:
        raise TrialFailed(
            "provider_unavailable",
            f"{first} is in this build of onnxruntime {ort.__version__} but could not be used here",
            "the session came up with " + ", ".join(got) + "; the provider's own words are on stderr",
        )
    return session


def read_back(ort: Any, session: Any, io_mode: str, call: str = "", call_cost_s: float | None = None) -> dict[str, Any]:
    """SessionFacts as JSON data: what the session says of itself, not what was asked.

    Args:
        ort: the onnxruntime module.
        session: the session.
        io_mode: how inputs and outputs really travel.
        call: how it is called, "" before the first run has shown it.
        call_cost_s: what that costs above the cheapest call known; None when nothing was measured.
    """
    options = session.get_session_options()
    names = {getattr(ort.GraphOptimizationLevel, level): word for word, level in _LEVELS.items()}
    return {
        "runtime_version": ort.__version__,
        "providers": list(session.get_providers()),
        "intra_op_threads": int(options.intra_op_num_threads),
        "graph_optimization": names.get(options.graph_optimization_level, str(options.graph_optimization_level)),
        "io_mode": io_mode,
        "no_cpu_arena": not options.enable_cpu_mem_arena,
        "call": call,
        "call_cost_s": call_cost_s,
    }


def load_failure(ort: Any, error: Exception, model_path: str, first_provider: str) -> TrialFailed:
    """What a refusal to make a session means.

    The file itself is looked at where messages of different versions cannot be told apart.

    Returns:
        A failure with one of the causes oom, opset_unsupported, ir_unsupported, external_data_missing,
        invalid_model_file, unsupported_op, provider_unavailable, load_error.
    """
    text = str(error)
    if failure.refused_ir(text):
        return _ir_or_opset(ort, text, model_path)
    version = f"onnxruntime {ort.__version__}"
    opset = failure.refused_opset(text)
    fault = _external_fault(model_path)
    operator = failure.unsupported_operator(text)
    element_type = failure.unsupported_type(text)
    if failure.is_out_of_memory(error):
        cause, message = "oom", f"{version} could not get the memory it needs to load the model"
    elif opset:
        limit = f" (it takes up to {opset[1]} of {opset[0]})" if opset[1] else ""
        cause, message = "opset_unsupported", f"{version} is too old for {_asked_opsets(model_path)}{limit}"
    elif fault:
        cause, message = "external_data_missing", fault
    elif failure.is_invalid_file(text):
        cause, message = "invalid_model_file", "the file is not a whole ONNX model"
    elif operator:
        cause, message = "unsupported_op", f"{version} has no kernel for operator {operator}"
    elif element_type:
        cause, message = "unsupported_op", f"{version} does not have the element type {element_type}"
    elif first_provider != CPU and isinstance(error, (RuntimeError, ValueError)):
        # The C++ library raises its own types; these two come from making the provider itself.
        cause, message = "provider_unavailable", f"{version} could not make {first_provider}"
    else:
        cause, message = "load_error", f"{version} could not make a session"
    return TrialFailed(cause, message, text)


def _ir_or_opset(ort: Any, text: str, model_path: str) -> TrialFailed:
    """The IR version was refused; the runtime looks at it first, so the opset may be too new as well: try it."""
    asked, highest = failure.refused_ir(text) or (0, 0)
    version = f"onnxruntime {ort.__version__}"
    message = f"{version} is too old for IR version {asked} (it takes up to {highest})"
    try:
        opsets = model_file.read_header(model_path).opsets
    except (OSError, ValueError):
        opsets = ()
    if opsets:
        try:
            ort.InferenceSession(null_model.identity_model(highest, opsets), providers=[CPU])
        except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
            if failure.refused_opset(str(error)):
                names = _opset_words(opsets)
                return TrialFailed(
                    "opset_unsupported",
                    f"{version} is too old for {names} and for IR version {asked}",
                    f"{text}\n{error}",
                    ("also:ir_unsupported",),
                )
    return TrialFailed("ir_unsupported", message, text)


def _asked_opsets(model_path: str) -> str:
    try:
        return _opset_words(model_file.read_header(model_path).opsets)
    except (OSError, ValueError):
        return "the model's opset"


def _opset_words(opsets: tuple[tuple[str, int], ...]) -> str:
    return "opset " + ", ".join(f"{number} of {domain or 'ai.onnx'}" for domain, number in opsets)


def _external_fault(model_path: str) -> str | None:
    try:
        return model_file.missing_external_data(model_path, model_file.read_header(model_path))
    except (OSError, ValueError):
        return None
