"""What is known of providers is whole, plain data, and lights up no room of the worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from edgesweep_worker import providers
from edgesweep_worker.providers import SHORT_NAMES, all_facts, facts_of

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"

#: Prints what a fresh interpreter has loaded once every provider's facts were read.
_LOADED = """
import sys
from edgesweep_worker.providers import all_facts
all_facts()
print(" ".join(name for name in sys.modules if name.split(".")[0] in ("edgesweep_worker", "numpy", "onnxruntime")))
"""


def test_the_files_and_the_table_agree() -> None:
    assert {facts.short: facts.name for facts in all_facts()} == SHORT_NAMES


def test_reading_all_facts_loads_nothing_else_of_the_worker() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(providers.__file__).parents[2])}
    command = [sys.executable, "-c", _LOADED]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    loaded = told.stdout.split()
    strangers = [
        name for name in loaded if name != "edgesweep_worker" and not name.startswith("edgesweep_worker.providers")
    ]
    assert strangers == []
    assert "edgesweep_worker.providers.tensorrt" in loaded


@pytest.mark.parametrize("facts", all_facts(), ids=lambda facts: facts.short)
def test_each_provider_is_described_whole(facts) -> None:
    assert facts.compile_step in {"", "session", "first_run"}
    assert facts.device_memory in {"", "nvml"}
    assert facts.computes_in in {"", "fp16", "tf32"}
    for option, by_value in facts.precision_options.items():
        assert option in facts.options
        assert all(pattern == pattern.lower() for pattern in by_value)
        assert set(by_value.values()) <= {"", "fp16", "bf16", "fp8", "int8"}
    assert all(facts.options.values()), "each option says what it does"
    if facts.cache is not None:
        assert facts.compile_step, "what keeps compiled models compiles them in some step"
        assert facts.cache.option in facts.local_options, "the folder of a cache is never taken from a plan"
        assert facts.cache.files
    if facts.compile_deadline_s is not None:
        assert facts.compile_step
        assert facts.compile_deadline_s > 0
    for trap in facts.traps:
        assert trap.sentence
        assert trap.remedy
        assert trap.source.count("#") == 1 or trap.source.startswith("measured with "), "a trap says who met it"


def test_a_provider_that_nobody_knows_has_facts_too() -> None:
    facts = facts_of("FutureExecutionProvider")
    assert (facts.name, facts.short) == ("FutureExecutionProvider", "FutureExecutionProvider")
    assert facts.cache is None
    assert not facts.options
    assert facts.compile_step == ""


def test_the_page_tells_what_the_facts_tell() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [tuple(cell.strip(" `") for cell in line.strip("|").split("|")) for line in lines if line.startswith("| `")]
    described = [row for row in rows if row[1].endswith("ExecutionProvider")]
    assert described == [
        (
            facts.short,
            facts.name,
            ", ".join(facts.plugins),
            facts.compile_step,
            facts.cache.option if facts.cache is not None else "",
            facts.computes_in or "fp32",
        )
        for facts in all_facts()
    ]
    met = [row for row in rows if row[0] in SHORT_NAMES and row not in described]
    assert met == [
        (facts.short, trap.sentence, trap.remedy.strip("`"), trap.source)
        for facts in all_facts()
        for trap in facts.traps
    ]
