from __future__ import annotations

import io
import re

import pytest
from edgesweep.dashboard.cell_text import with_device, without_device
from edgesweep.dashboard.plain import WIDEST, PlainProgress
from edgesweep.sweep.events import CellFinished, DeviceState, ExportFinished, Notice, SweepFinished, SweepStarted

CELL = "quickstart/mobile-cnn/dynamo-opset18-batch-fp32/1.23.2/cpu/example/t1"


def _passed(**changes) -> CellFinished:
    fields = {
        "device": "quickstart", "cell": CELL, "outcome": "pass", "stage": "placement", "cause": "", "message": "", "remedy": "",
        "verdict": "trusted", "median_s": 0.0124, "done": 12, "total": 78, "mad_s": 0.0003, "n": 200,
    }  # fmt: skip
    return CellFinished(**{**fields, **changes})


@pytest.fixture
def lines(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream, clock=clock)

    def write(*events) -> list[str]:
        stream.seek(0)
        stream.truncate()
        for event in events:
            progress.handle(event)
        return stream.getvalue().splitlines()

    return write


def test_a_cell_is_one_line_with_name_spread_n_and_verdict(lines):
    assert lines(_passed()) == [f"[12/78] pass     {CELL}  12.4 ms ±0.3 n=200 trusted"]
    assert lines(_passed(verdict="invalid"))[0].endswith("12.4 ms ±0.3 n=200 invalid")


def test_a_failure_is_one_line_however_long_and_its_remedy_comes_once(lines):
    message = "opset 17 was asked for,\nthe exporter produced opset 18 " + "and said so at length " * 20
    event = _passed(
        outcome="failed",
        stage="check",
        cause="opset_not_honoured",
        message=message,
        remedy="ask for opset 18",
        median_s=None,
        verdict=None,
    )
    line, remedy = lines(event)
    assert line.startswith(f"[12/78] failed   {CELL}  check opset_not_honoured: opset 17 was asked for, the exporter")
    assert line.endswith("at length")
    assert remedy == "    -> ask for opset 18"
    assert len(lines(event)) == 1


def test_an_outcome_without_stage_or_cause_is_still_told(lines):
    event = _passed(outcome="lost", stage="", median_s=None, message="nobody knows")
    assert lines(event) == [f"[12/78] lost     {CELL}  nobody knows"]


def test_the_remedy_names_the_run(lines):
    lost = _passed(
        outcome="lost", cause="device_unreachable", remedy="then `edgesweep run --resume RUN`", median_s=None
    )
    assert "    -> then `edgesweep run --resume r7`" in lines(SweepStarted("r7", "nightly", {"pi5": 1}, 1), lost)


def test_exports_are_lines_too(lines):
    assert lines(
        ExportFinished("m/dynamo-opset18-batch-fp32", "", "", 2.13, cached=False, done=3, total=20),
        ExportFinished("m/v", "", "", 2.13, cached=True, done=4, total=20),
        ExportFinished("m/w", "export_error", "no", 2.13, cached=False, done=5, total=20),
        ExportFinished("m/x", "export_error", "no", 2.13, cached=True, done=6, total=20),
    ) == [
        "export [3/20] ok      m/dynamo-opset18-batch-fp32  2.1 s",
        "export [4/20] ok      m/v  cached",
        "export [5/20] failed  m/w  export_error",
        "export [6/20] failed  m/x  export_error cached",
    ]


def test_devices_speak_up_only_when_something_is_wrong_or_right_again(lines):
    assert lines(
        DeviceState("pi5", "measuring", 3),
        DeviceState("pi5", "unreachable", 3, "no answer for 20 s"),
        DeviceState("pi5", "unreachable", 3, "no answer for 20 s"),
        DeviceState("pi5", "measuring", 3),
        DeviceState("pi5", "idle", 0),
        Notice("pi5 has rebooted"),
    ) == ["device pi5 unreachable: no answer for 20 s", "device pi5 measuring", "pi5 has rebooted"]


def test_waiting_for_the_exports_is_no_trouble_but_waiting_for_a_lease_is(lines):
    waits = DeviceState("pi5", "waiting", 3, "exports come first on this host")
    assert len(lines(SweepStarted("r7", "nightly", {"pi5": 3}, 1), waits)) == 3
    assert lines(
        ExportFinished("m/v", "", "", 2.13, cached=True, done=1, total=1),
        DeviceState("pi5", "waiting", 3, "held by ci"),
    ) == ["export [1/1] ok      m/v  cached", "device pi5 waiting: held by ci"]


def test_the_end_counts_and_leaves_the_next_command_to_the_caller(lines):
    lines(SweepStarted("r7", "nightly", {"pi5": 3}, 1))
    assert lines(SweepFinished("r7", {"failed": 1, "pass": 1}, 192.0, complete=False)) == [
        "stopped early after 3 min 12 s; 2 of 3 cells ended: 1 pass, 1 failed",
    ]
    assert lines(SweepFinished("r7", {"pass": 3}, 5.0, complete=True)) == ["finished after 5.0 s; 3 cells: 3 pass"]


def test_a_whole_run_has_one_line_a_cell_and_no_control_codes(lines, sample_events):
    written = lines(*(event for _, event in sample_events))
    ended = [event for _, event in sample_events if isinstance(event, CellFinished)]
    assert len(ended) == 160
    for event in ended:
        (line,) = (line for line in written if f" {event.cell} " in line)
        assert line.split("] ")[1].startswith(event.outcome)
    assert max(len(line) for line in written if not line.startswith(("[", "export ["))) <= WIDEST
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\n".join(written))


def test_control_codes_in_names_never_reach_the_log(lines):
    (line,) = lines(Notice("a\x1b[2Jb\rc\nd"))
    assert line == "a[2Jb c d"


def test_a_stream_without_unicode_gets_ascii(clock):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    PlainProgress(stream, clock=clock).handle(_passed(median_s=4e-4, mad_s=9e-6))
    assert b"400 us +/-9 n=200" in raw.getvalue()


def test_short_texts_of_a_cell():
    assert without_device(CELL) == "mobile-cnn dynamo-opset18-batch 1.23.2/cpu"
    assert with_device(CELL) == "quickstart/mobile-cnn dynamo-opset18-batch 1.23.2/cpu"
    assert with_device("odd") == without_device("odd") == "odd"


def test_a_matrix_is_told_in_variants_and_names_no_device():
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.handle(SweepStarted("m-1", "nightly", {}, 2, resume_command="edgesweep export matrix lab.yaml"))
    progress.handle(ExportFinished("net/dynamo-opset18-batch-fp32", "", "", 1.5, cached=False, done=1, total=2))
    progress.handle(
        ExportFinished("net/dynamo-opset13-batch-fp32", "opset_not_honoured", "18", 0.5, cached=True, done=2, total=2)
    )
    progress.handle(SweepFinished("m-1", {"pass": 1, "failed": 1, "skipped": 1}, 2.0, complete=True))
    assert stream.getvalue().splitlines() == [
        "matrix m-1: nightly, 2 exports",
        "export [1/2] ok      net/dynamo-opset18-batch-fp32  1.5 s",
        "export [2/2] failed  net/dynamo-opset13-batch-fp32  opset_not_honoured cached",
        "finished after 2.0 s; 3 variants: 1 pass, 1 failed, 1 skipped",
    ]
