"""What a SIGKILL means depends on evidence: only a counted memory kill makes it `oom`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from edgesweep_agent.findings import Findings
from edgesweep_agent.oom import OomCount
from edgesweep_agent.verdicts import judge, signal_name
from edgesweep_agent.worker_process import Ending
from edgesweep_proto.execution import Diagnosis
from edgesweep_proto.trial import TrialOutcome

KILLED = Ending(exit_code=None, signal=signal.SIGKILL, end=None)


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        (OomCount(3, "/memory.events"), OomCount(4, "/memory.events"), "oom"),
        (OomCount(3, "/memory.events"), OomCount(3, "/memory.events"), "crash"),
        (None, OomCount(4, "/memory.events"), "crash"),
        (None, None, "crash"),
    ],
)
def test_a_memory_kill_needs_evidence(
    tmp_path: Path, before: OomCount | None, after: OomCount | None, cause: str
) -> None:
    result = judge(Findings("t", tmp_path / "s"), KILLED, "", before, after)
    assert (result.outcome, result.cause) == (TrialOutcome.FAILED, cause)
    assert ("SIGKILL" in result.message) == (cause == "crash")
    assert ("/memory.events counts 1" in result.evidence) == (cause == "oom")


def test_another_signal_is_a_crash_whatever_the_counters_say(tmp_path: Path) -> None:
    ending = Ending(exit_code=None, signal=signal.SIGSEGV, end=None)
    result = judge(Findings("t", tmp_path / "s"), ending, "", OomCount(1, "x"), OomCount(2, "x"))
    assert result.cause == "crash"


def test_a_last_word_counts_even_when_the_process_then_died(tmp_path: Path) -> None:
    ending = Ending(exit_code=None, signal=signal.SIGSEGV, end={"outcome": "pass", "stage": "placement"})
    result = judge(Findings("t", tmp_path / "s"), ending, "", None, None)
    assert result.outcome is TrialOutcome.PASS
    assert result.signal == signal.SIGSEGV


@pytest.mark.parametrize(
    ("stage", "cause", "words"),
    [("compile", "compile_timeout", "still compiling"), ("first_run", "timeout", "no progress in stage first_run")],
)
def test_a_deadline_while_compiling_has_a_cause_of_its_own(tmp_path: Path, stage: str, cause: str, words: str) -> None:
    findings = Findings("t", tmp_path / "s")
    findings.take({"event": "stage", "stage": stage})
    ending = Ending(exit_code=None, signal=None, end=None, timed_out_s=90.0)
    result = judge(findings, ending, "", None, None)
    assert (result.outcome, result.stage, result.cause) == (TrialOutcome.FAILED, stage, cause)
    assert words in result.message
    assert "90 s" in result.message


def test_signals_without_a_name_have_a_number() -> None:
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(60) == "signal 60"


FOREIGN = "OpenVINOExecutionProvider"


@pytest.mark.parametrize(
    ("number", "provider", "cause"),
    [
        (signal.SIGILL, "CPUExecutionProvider", "illegal_instruction"),
        (signal.SIGILL, FOREIGN, "illegal_instruction"),
        (signal.SIGSEGV, "CPUExecutionProvider", "crash"),
        (signal.SIGSEGV, FOREIGN, "provider_crash"),
        (signal.SIGABRT, FOREIGN, "provider_crash"),
        (signal.SIGBUS, FOREIGN, "provider_crash"),
        (signal.SIGFPE, FOREIGN, "provider_crash"),
        (signal.SIGFPE, "CPUExecutionProvider", "crash"),
        (signal.SIGKILL, FOREIGN, "crash"),
    ],
)
def test_a_signal_names_the_provider_whose_code_ran(tmp_path: Path, number: int, provider: str, cause: str) -> None:
    ending = Ending(exit_code=None, signal=number, end=None)
    result = judge(Findings("t", tmp_path / "s"), ending, "words", None, None, provider=provider)
    foreign = provider == FOREIGN
    assert (result.outcome, result.cause, result.evidence) == (TrialOutcome.FAILED, cause, "words")
    assert (FOREIGN in result.message) == foreign
    assert result.diagnosis == Diagnosis("signal", status=signal_name(number), subject=FOREIGN if foreign else "")


def test_a_memory_kill_says_whose_memory_it_was(tmp_path: Path) -> None:
    for source, words in (("/sys/fs/cgroup/a/memory.events", "control group's"), ("/proc/vmstat", "the machine's")):
        result = judge(Findings("t", tmp_path / "s"), KILLED, "", OomCount(0, source), OomCount(1, source))
        assert words in result.message
        assert result.diagnosis == Diagnosis("kernel", status="SIGKILL", subject=source)


def test_a_deadline_is_told_from_with_its_stage(tmp_path: Path) -> None:
    findings = Findings("t", tmp_path / "s")
    findings.take({"event": "stage", "stage": "first_run"})
    result = judge(findings, Ending(exit_code=None, signal=None, end=None, timed_out_s=5.0), "", None, None)
    assert (result.cause, result.diagnosis) == ("timeout", Diagnosis("deadline", subject="first_run"))


def test_an_end_without_a_word_says_its_exit_status(tmp_path: Path) -> None:
    result = judge(Findings("t", tmp_path / "s"), Ending(exit_code=3, signal=None, end=None), "", None, None)
    assert (result.cause, result.diagnosis) == ("worker_protocol", Diagnosis("status", subject="exit status 3"))
