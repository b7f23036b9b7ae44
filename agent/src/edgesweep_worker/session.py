"""Sessions: made as asked, read back as they came out, and refused with the cause when they did not."""

from __future__ import annotations

import os
from typing import Any

from edgesweep_worker import failure, model_file, null_model, plugins, provider_options
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.failures import read
from edgesweep_worker.failures.own_words import OwnWords
from edgesweep_worker.failures.provider_patterns import PROVIDER_PATTERNS
from edgesweep_worker.failures.status import status_of
from edgesweep_worker.job import SessionRequest, TrialJob

CPU = "CPUExecutionProvider"

#: What a runtime finds out before it looks for external data, so that a missing file is not the reason.
_BEFORE_THE_FILE = ("oom", "opset_unsupported", "external_data_missing")

#: What may end the making of a session in any of its parts.
_OF_COMPILING = ("compile_error", "oom", "oom_device", "unknown")

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
    """The providers of the job that are compiled in or registered, in order, and a tag for each that is not.

    Raises:
        TrialFailed: provider_unavailable, the first provider is not there. Nothing ever runs on the CPU instead.
    """
    listed = list(ort.get_available_providers())
    listed += [item.name for item in job.providers if item.name not in listed and plugins.ep_devices(ort, item.name)]
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
        chain: provider names with options, all compiled into this build or registered with it.

    Raises:
        TrialFailed: with the cause of the refusal.
    """
    first = chain[0][0]
    own_words = OwnWords()
    try:
        # Without enable_fallback=0 newer versions print an error and go on without the provider; older ones
        # do not know the word and are caught by the check below.
        named = None if plugins.use_devices(ort, job, options, chain) else chain
        session = ort.InferenceSession(job.model_path, options, providers=named, enable_fallback=0)
    except TrialFailed:
        raise
    except Exception as error:
        refused = load_failure(ort, error, job.model_path, first, own_words.told())
        refused.before_compiling = refused.cause not in _OF_COMPILING
        raise refused from error
    session.disable_fallback()
    got = session.get_providers()
    if first not in got:
        absent = absent_provider(ort, first, list(got), own_words.told())
        absent.before_compiling = True
        raise absent
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
        "provider_options": provider_options.read_back(session),
    }


def load_failure(ort: Any, error: Exception, model_path: str, first_provider: str, told: str = "") -> TrialFailed:
    """What a refusal to make a session means.

    The file itself is looked at where messages of different versions cannot be told apart.

    Args:
        ort: the onnxruntime module.
        error: what was raised.
        model_path: the model.
        first_provider: the provider that the session was asked for first.
        told: what the runtime wrote to standard error meanwhile.

    Returns:
        A failure with the cause of the pattern that knows the words, `external_data_missing` where the file shows it,
        `oom` for Python's own MemoryError, `provider_unavailable` where making the provider itself failed, else `unknown`.
    """
    text = str(error)
    if failure.refused_ir(text):
        return _ir_or_opset(ort, text, model_path)
    version, status = f"onnxruntime {ort.__version__}", status_of(error)
    fault = _external_fault(model_path)
    making = first_provider != CPU and isinstance(error, (RuntimeError, ValueError))
    # Standard error is asked first where the provider itself failed: there it names the library, here only the remedy.
    found = (read.read(told, "load") if making else None) or read.read(text, "load", model_path)
    words = f"{text}\n{told}".strip() if making else text
    if found is not None and (not fault or found.known.cause in _BEFORE_THE_FILE):
        subject = found.words.get("subject", "")
        known = read.diagnosis(
            "message", text, pattern=found.known.id, status=status, subject=subject, operator=found.operator
        )
        sentence = found.sentence(version, opsets=_asked_opsets(model_path, found.words.get("highest", "")))
        if fault and found.known.cause == "external_data_missing":
            sentence = fault
        return TrialFailed(found.known.cause, sentence, words, diagnosis=known)
    evidence = "file" if fault else "message"
    unknown = read.diagnosis(evidence, text, status=status)
    if fault:
        return TrialFailed("external_data_missing", fault, words, diagnosis=unknown)
    if isinstance(error, MemoryError):
        sentence = f"{version} could not get the memory it needs to load the model"
        return TrialFailed("oom", sentence, words, diagnosis=unknown)
    if making:
        # The C++ library raises its own types; these two come from making the provider itself.
        sentence = f"{version} could not make {first_provider}"
        return TrialFailed("provider_unavailable", sentence, words, diagnosis=unknown)
    return TrialFailed(
        "unknown", f"{version} could not make a session, with words that no pattern knows", words, diagnosis=unknown
    )


def absent_provider(ort: Any, first_provider: str, got: list[str], told: str) -> TrialFailed:
    """What it means that a session came up without its first provider, by what was written to standard error meanwhile."""
    found = read.read(told, "load")
    if found is not None and found.known in PROVIDER_PATTERNS:
        known = read.diagnosis("message", told, pattern=found.known.id, subject=found.words.get("subject", ""))
        sentence = f"{first_provider} could not be made: {found.sentence(f'onnxruntime {ort.__version__}')}"
        return TrialFailed(found.known.cause, sentence, told, diagnosis=known)
    words = told or "the session came up with " + ", ".join(got) + "; the provider's own words are on stderr"
    return TrialFailed(
        "provider_unavailable",
        f"{first_provider} is in this build of onnxruntime {ort.__version__} but could not be used here",
        words,
        diagnosis=read.diagnosis("message", told),
    )


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
                    read.diagnosis("message", str(error), pattern="opset/1", status=status_of(error)),
                )
    known = read.diagnosis("message", text, pattern="ir/1", status="FAIL")
    return TrialFailed("ir_unsupported", message, text, diagnosis=known)


def _asked_opsets(model_path: str, highest: str) -> str:
    try:
        asked = _opset_words(model_file.read_header(model_path).opsets)
    except (OSError, ValueError):
        asked = "the model's opset"
    return f"{asked} (it takes up to {highest})" if highest else asked


def _opset_words(opsets: tuple[tuple[str, int], ...]) -> str:
    return "opset " + ", ".join(f"{number} of {domain or 'ai.onnx'}" for domain, number in opsets)


def _external_fault(model_path: str) -> str | None:
    try:
        return model_file.missing_external_data(model_path, model_file.read_header(model_path))
    except (OSError, ValueError):
        return None
