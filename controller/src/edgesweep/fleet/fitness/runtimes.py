"""What there is to measure with."""

from __future__ import annotations

from collections.abc import Iterator

from edgesweep_proto.device import Runtime

from edgesweep.fleet.fitness.finding import Finding, Look, advice, listed, ok, problem

_SUFFIX = "ExecutionProvider"
#: Listed by every plain wheel, and never ran a node: it calls a service, not the board.
_NEVER_RUNS = f"Azure{_SUFFIX}"
_WORDS_CHARS = 160


def check_runtimes(look: Look) -> Iterator[Finding]:
    """Every runtime and every provider that it only lists."""
    runtimes = look.found.runtimes
    if not [runtime for runtime in runtimes if not runtime.fault]:
        yield problem(
            "runtimes",
            "none that works",
            "install onnxruntime beside the agent, or name an interpreter that has it: edgesweep-agent serve --runtime PYTHON",
        )
    for runtime in runtimes:
        yield from _runtime(runtime)


def _runtime(runtime: Runtime) -> Iterator[Finding]:
    subject = f"runtime {runtime.id}"
    if runtime.fault:
        yield advice(subject, f"cannot be used: {_words(runtime.fault)}", "mend its environment, or take it away")
        return
    ran = [name.removesuffix(_SUFFIX).lower() for name in runtime.usable_providers]
    if ran:
        yield ok(subject, f"runs on {listed(ran)}")
    else:
        yield problem(subject, "no provider ran a node", "install onnxruntime again; see edgesweep device show NAME")
    for probe in runtime.providers:
        if not probe.nodes and probe.name != _NEVER_RUNS:
            name = probe.name.removesuffix(_SUFFIX).lower()
            why = f": {_words(probe.message)}" if probe.message else ""
            yield advice(
                subject,
                f"{name} is listed and ran nothing{why}",
                f"install what {name} needs, or leave it out of plans",
            )


def _words(text: str) -> str:
    """The first line of somebody else's words, cut to a length that a table can hold."""
    first = (text.strip().splitlines() or [""])[0]
    return first if len(first) <= _WORDS_CHARS else f"{first[: _WORDS_CHARS - 1]}…"
