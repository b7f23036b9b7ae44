from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from edgesweep.report.document import build_document
from edgesweep.report.measured import measured_document, measured_table
from edgesweep.store.records import RunView
from edgesweep_proto.evidence import ThreadFacts
from edgesweep_proto.trial import MemoryPhase
from rich.console import Console

ASKED = {"models": [{"onnx": "/lab/mobile.onnx"}], "measure": {"preset": "quick"}}


def alone(view: RunView, number: int) -> RunView:
    """The view of a measurement of that one cell."""
    run = replace(view.run, plan=ASKED)
    return replace(view, run=run, devices=view.devices[:1], cells=(view.cells[number],))


def printed(view: RunView, width: int = 100) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    console.print(measured_table(measured_document(view)))
    return stream.getvalue()


def test_the_cell_has_the_fields_of_the_result_document(view):
    doc = measured_document(alone(view, 0))
    assert json.loads(json.dumps(doc, allow_nan=False)) == doc
    cell = build_document(view)["cells"][0]
    assert {key: doc[key] for key in cell} == cell
    assert set(doc) - set(cell) == {"schema_version", "file", "preset", "run", "machine"}
    assert (doc["file"], doc["preset"]) == ("/lab/mobile.onnx", "quick")
    assert set(doc["machine"]) == {"facts", "runtimes", "reading"}


def test_an_accelerators_own_memory_is_told_apart_from_the_processors(view):
    (record,) = alone(view, 0).cells
    phases = (MemoryPhase("device_session", 2**30, "nvml"), MemoryPhase("device_steady", 3 * 2**29, "nvml"))
    trials = tuple(
        replace(trial, result=replace(trial.result, memory=(*trial.result.memory, *phases))) for trial in record.trials
    )
    text = printed(replace(alone(view, 0), cells=(replace(record, trials=trials),)))
    assert "of the accelerator's own: 1.50 GiB" in text
    assert "accelerator" not in printed(alone(view, 0))


def test_every_figure_stands_in_the_table_with_its_unit(view):
    text = " ".join(printed(alone(view, 0)).split())
    for words in (
        "mobile opset 17, IR 10, 65 nodes, 4.00 KiB",
        "Raspberry Pi 5, Cortex-A76, aarch64",
        "x float32 4x3, sha256 565656565656",
        "latency median 1.00 ms ±",
        " (MAD), 95 % interval ",
        "n=450 in 3 trials, timed in batches of 2",
        "p99 needs n=662",
        "throughput 1,000 inferences/s, 4,000 items/s",
        "session 1,000 B, first run 1.46 KiB, steady 1.95 KiB, retained 900 B",
        "import 100 ms, provider 50.0 ms, session 40.0 ms, first run 3.00 ms, second run 2.00 ms",
        "each held to its core (CPU 0, 1)",
        "xnnpack 60, cpu 5 nodes (by assignment)",
        "floor 1.30 µs for a model that does nothing, 0.13% of the median",
        "waited 10 s for the machine to be cool, began although it was not cool",
        "30 looks at its sensors, 62 °C at most, 2.20 GHz at least",
        "20.0 mJ an inference by pmic",
        "minute 2 is 1.30 times the first",
        "doubtful throttled: soft_limit; cool the device",
    ):
        assert words in text


def test_callers_and_threads_that_are_held_to_nothing_are_told_once(view):
    record = view.cells[0]
    loose = ThreadFacts((), (0, 1), ("0-1",) * 63, pinned=False, note="64 threads share the 2 cores of the cluster")
    trials = tuple(replace(trial, result=replace(trial.result, threads=loose)) for trial in record.trials)
    view = replace(view, cells=(replace(record, trials=trials), *view.cells[1:]))
    text = " ".join(printed(alone(view, 0)).split())
    assert "not pinned: 64 threads share the 2 cores of the cluster (CPU 0, 1, 0-1) placement" in text
    crowd = replace(record.cell, session=replace(record.cell.session, concurrency=4))
    view = replace(view, cells=(replace(record, cell=crowd), *view.cells[1:]))
    text = " ".join(printed(alone(view, 0)).split())
    assert "threads, 4 callers at a time, each held to its core placement" in text


def test_what_failed_is_told_with_stage_cause_and_remedy(view):
    lines = [line.strip() for line in printed(alone(view, 6)).splitlines()]
    at = lines.index("failed at first_run: crash")
    assert lines[at + 1] == "killed by signal 11"
    assert lines[at + 2].startswith("-> see the signal")
    lines = printed(alone(view, 2)).splitlines()
    assert "failed at check: opset_not_honoured" in [line.strip() for line in lines]


@pytest.mark.parametrize("number", [0, 2, 3, 5, 6])
@pytest.mark.parametrize("width", [60, 100, 180])
def test_nothing_is_wider_than_asked_and_never_wider_than_100_off_a_terminal(view, number, width):
    assert max(map(len, printed(alone(view, number), width).splitlines())) <= min(width, 100)


def test_what_the_outputs_were_held_to_is_told_where_it_is_not_the_default(view):
    record = view.cells[0]
    half = replace(record, cell=replace(record.cell, providers=("coreml",)))
    assert "1 compared, largest error 3e-06; coreml computes in fp16" in printed(alone(replace(view, cells=(half,)), 0))
    payload = replace(record.export.payloads["batch4"], sampled=1_048_576)
    large = replace(record, export=replace(record.export, payloads={"batch4": payload}))
    assert "1 compared at 1,048,576 elements, largest" in printed(alone(replace(view, cells=(large,)), 0))
