"""What the end of a worker process says about its trial."""

from __future__ import annotations

import re
import signal
from dataclasses import replace

from edgesweep_proto.codec import from_json
from edgesweep_proto.execution import Diagnosis
from edgesweep_proto.trial import Stage, TrialOutcome, TrialResult

from edgesweep_agent.findings import Findings
from edgesweep_agent.oom import OomCount
from edgesweep_agent.worker_process import Ending

_LAST_WORDS = (TrialOutcome.PASS, TrialOutcome.FALLBACK, TrialOutcome.FAILED, TrialOutcome.INTERRUPTED)
_NEED_A_CAUSE = (TrialOutcome.FAILED, TrialOutcome.INTERRUPTED)

#: What somebody sends who wants it stopped. A service manager signals the agent and its worker together, and the worker
#: may be the first to go: that says nothing about the model.
_TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: What a process is ended with for a fault of its own code.
_FAULTS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)

#: The last words of a library whose request for memory was refused: C++ that nobody catches, C, and allocators' own.
_NO_MEMORY = re.compile(
    r"std::bad_alloc|out of memory|cannot allocate memory|memory allocation of \d+ bytes failed", re.IGNORECASE
)

_CPU = "CPUExecutionProvider"


def judge(
    findings: Findings,
    ending: Ending,
    stderr: str,
    oom_before: OomCount | None,
    oom_after: OomCount | None,
    *,
    provider: str = _CPU,
) -> TrialResult:
    """The trial's result: the worker's last word if it gave one, else its signal, its deadline, or nothing known.

    Args:
        findings: What the worker told while it lived; all of it is kept.
        ending: How its process ended.
        stderr: The end of its standard error.
        oom_before: The kernel's count of memory kills when it started.
        oom_after: The same when it had ended.
        provider: The first provider that the trial asks for: whose code ran beside the runtime's own.
    """
    broken = ending.broken
    if not broken:
        try:
            findings.seal_samples()
        except ValueError as error:
            broken = str(error)
    result = replace(findings.result, stage=findings.stage, exit_code=ending.exit_code, signal=ending.signal)
    where = f"stage {findings.stage}" + (f" while {findings.doing}" if findings.doing else "")
    if ending.signal is not None and ending.end is None:
        if _killed_for_memory(ending.signal, oom_before, oom_after):
            return _by_kernel(result, where, stderr, oom_before, oom_after)
        return _by_signal(result, ending.signal, where, stderr, provider)
    if broken:
        return _failed(result, "worker_protocol", broken, stderr)
    if ending.end is not None:
        return _last_word(result, ending, stderr)
    if ending.timed_out_s is not None:
        return _by_deadline(result, ending.timed_out_s, where, stderr)
    sentence = f"the worker ended with exit status {ending.exit_code} and without a result"
    result = replace(result, diagnosis=Diagnosis("status", subject=f"exit status {ending.exit_code}"))
    return _failed(result, "worker_protocol", sentence, stderr)


def is_passed(ending: Ending) -> bool:
    """Whether the worker's last word is that its trial passes so far."""
    return not ending.broken and (ending.end or {}).get("outcome") == TrialOutcome.PASS.value


def was_told_to_stop(number: int) -> bool:
    """Whether this signal is somebody's wish to end the process, and not a fault of the process."""
    return number in _TOLD_TO_STOP


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_word(result: TrialResult, ending: Ending, stderr: str) -> TrialResult:
    end = ending.end or {}
    outcome = from_json(TrialOutcome, end.get("outcome"))
    cause = str(end.get("cause") or "")
    if outcome not in _LAST_WORDS or (outcome in _NEED_A_CAUSE and not cause):
        return _failed(
            result, "worker_protocol", f"the worker's last word is {end!r:.300}, which names no outcome", stderr
        )
    stage = from_json(Stage, end.get("stage"))
    return replace(
        result,
        outcome=outcome,
        stage=result.stage if stage is Stage.UNKNOWN else stage,
        cause=cause,
        message=str(end.get("message") or ""),
        evidence=str(end.get("evidence") or ("" if outcome is TrialOutcome.PASS else stderr)),
    )


def _killed_for_memory(number: int, before: OomCount | None, after: OomCount | None) -> bool:
    return number == signal.SIGKILL and before is not None and after is not None and after.kills > before.kills


def _by_kernel(
    result: TrialResult, where: str, stderr: str, before: OomCount | None, after: OomCount | None
) -> TrialResult:
    kills, source = (after.kills - before.kills, after.source) if before and after else (0, "")
    whose = "its control group's" if "cgroup" in source else "the machine's"
    counted = f"{source} counts {kills} memory kills more than before"
    sentence = f"the kernel killed the worker for memory in {where}: {whose} was used up"
    told = replace(result, diagnosis=Diagnosis("kernel", status="SIGKILL", subject=source))
    return _failed(told, "oom", sentence, f"{counted}\n{stderr}".strip())


def _by_signal(result: TrialResult, number: int, where: str, stderr: str, provider: str) -> TrialResult:
    name = signal_name(number)
    if was_told_to_stop(number):
        sentence = f"the worker was told to stop by {name} in {where}"
        return replace(result, outcome=TrialOutcome.INTERRUPTED, cause="interrupted", message=sentence, evidence=stderr)
    foreign = provider != _CPU
    told_from = Diagnosis("signal", status=name, subject=provider if foreign else "")
    result = replace(result, diagnosis=told_from)
    beside = f" with {provider}" if foreign else ""
    if number == signal.SIGILL:
        sentence = f"the worker died of SIGILL in {where}{beside}: the processor lacks an instruction"
        return _failed(result, "illegal_instruction", sentence, stderr)
    if number in _FAULTS and (words := _NO_MEMORY.search(stderr)):
        # A limit of ours does not kill, it refuses, and few libraries get over that.
        told = replace(result, diagnosis=replace(told_from, pattern=words.group(0)))
        sentence = f"the worker died of {name} in {where}{beside}: it was refused memory"
        return _failed(told, "oom", sentence, stderr)
    cause = "provider_crash" if foreign and number in _FAULTS else "crash"
    return _failed(result, cause, f"the worker died of {name} in {where}{beside}", stderr)


def _by_deadline(result: TrialResult, seconds: float, where: str, stderr: str) -> TrialResult:
    result = replace(result, diagnosis=Diagnosis("deadline", subject=str(result.stage)))
    if result.stage is Stage.COMPILE:
        # Compiling may just be slow on this board, which is mended in another way than a worker that hangs.
        sentence = f"the provider was still compiling the model after {seconds:g} s; the worker was killed"
        return _failed(result, "compile_timeout", sentence, stderr)
    sentence = f"no progress in {where} for {seconds:g} s; the worker was killed"
    return _failed(result, "timeout", sentence, stderr)


def _failed(result: TrialResult, cause: str, sentence: str, stderr: str) -> TrialResult:
    return replace(result, outcome=TrialOutcome.FAILED, cause=cause, message=sentence, evidence=stderr)
