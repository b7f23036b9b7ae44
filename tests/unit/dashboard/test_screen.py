from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import pytest
from edgesweep.dashboard.live import REDRAW_S, REDRAW_WHILE_MEASURED_S, LiveDashboard
from edgesweep.dashboard.picture import draw_dashboard, draw_tables, main, to_svg, view_of
from edgesweep.dashboard.recording import until_share
from edgesweep.dashboard.report_picture import draw_report
from edgesweep.dashboard.screen import draw
from edgesweep.dashboard.view import SweepView
from edgesweep.report.outcomes import OUTCOMES
from edgesweep.sweep.events import (
    DeviceState,
    ExportFinished,
    ExportStarted,
    Notice,
    SweepFinished,
    SweepStarted,
    Telemetry,
    TrialProgressed,
)
from edgesweep_proto.device import Reading
from edgesweep_proto.trial import Stage
from rich.console import Console


def _lines(view: SweepView, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    console.print(draw(view, width, height))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 23), (100, 30), (140, 39), (200, 60)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_the_dashboard_fits_its_terminal(sample_events, width, height, share):
    lines = _lines(view_of(until_share(sample_events, share)), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 23), (140, 39)])
def test_the_picture_of_a_run_in_the_middle(sample_events, snapshot, width, height):
    assert "\n".join(_lines(view_of(until_share(sample_events, 0.55)), width, height)) == snapshot


def test_the_picture_in_colour(sample_events, snapshot):
    view = view_of(until_share(sample_events, 0.55))
    assert to_svg(draw(view, 100, 30), width=100, title="edgesweep") == snapshot


def test_the_next_command_is_whole_on_a_narrow_terminal(sample_events):
    text = "\n".join(_lines(view_of(until_share(sample_events, 0.5)), 80, 23))
    assert "Ctrl-C stops; go on with: edgesweep run --resume 20261123-0914-7f3a" in text


def test_a_run_cut_short_ends_with_the_next_command(clock):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 2}, 1))
    view.apply(SweepFinished("r1", {"pass": 1}, 3.0, complete=False))
    lines = _lines(view, 80, 23)
    assert "stopped early, 3.0 s" in lines[0]
    assert lines[-1] == "Next: edgesweep run --resume r1"


def test_values_say_how_old_they_are(clock):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 2}, 0))
    view.apply(Telemetry("pi5", Reading(0.0, {"cpu": 61.4})))
    view.apply(DeviceState("pi5", "measuring", 2))
    view.apply(TrialProgressed("pi5", "pi5/m/dynamo-opset18-batch-fp32/1.23.2/cpu/batch4/t4", Stage.MEASURE))
    clock.now += 12
    text = "\n".join(_lines(view, 80, 23))
    assert "61 °C 12 s ago" in text
    assert "measure 12 s" in text
    assert "m dynamo-opset18-batch 1.23.2/cpu batch4 t4" in text
    assert "time left not known yet" in text


def test_a_device_says_what_its_trial_waits_for(clock):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 2}, 0))
    view.apply(Telemetry("pi5", Reading(0.0, {"cpu": 71.4})))
    view.apply(DeviceState("pi5", "measuring", 2))
    cell = "pi5/m/dynamo-opset18-batch-fp32/1.23.2/cpu/batch4/t4"
    view.apply(TrialProgressed("pi5", cell, Stage.LOAD, waits_for="thermal"))
    clock.now += 45
    (line,) = (line for line in _lines(view, 80, 23) if line.startswith("pi5"))
    assert line.split()[1:5] == ["waiting", "to", "cool", "45"]
    assert "71 °C" in line
    view.apply(TrialProgressed("pi5", cell, Stage.LOAD, waits_for="idle"))
    clock.now += 3
    assert "to be idle 3.0 s" in "\n".join(_lines(view, 80, 23))
    view.apply(TrialProgressed("pi5", cell, Stage.COMPILE))
    clock.now += 184
    assert "compile 3 min " in "\n".join(_lines(view, 80, 23))
    view.apply(TrialProgressed("pi5", cell, Stage.MEASURE))
    (line,) = (line for line in _lines(view, 80, 23) if line.startswith("pi5"))
    assert "measuring" in line
    assert "measure 0.0 s" in line


def test_many_devices_are_counted_where_they_do_not_fit(clock):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {f"board-{number:02d}": 2 for number in range(40)}, 1))
    for number in range(40):
        view.apply(DeviceState(f"board-{number:02d}", "measuring" if number > 30 else "idle", 2))
    lines = _lines(view, 80, 23)
    assert len(lines) <= 23
    shown = [line for line in lines if line.startswith("board-")]
    assert all("measuring" in line for line in shown[:5])
    more = next(line for line in lines if line.startswith("and "))
    assert "31 idle" in more
    assert int(more.split()[1]) + len(shown) == 40


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_long_note_never_squeezes_the_figures(clock, width):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 2}, 20))
    for number in range(3):
        view.apply(ExportStarted(f"a-model-with-a-rather-long-name/torchscript-opset2{number}-batch+height+width-fp32"))
    lines = _lines(view, width, 23)
    assert lines[1].startswith("exports  ")
    assert "0 of 20" in lines[1]
    assert "0 of 2  measured after" in lines[2]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 23), (140, 39)])
def test_exports_show_what_is_in_work_how_far_it_came_and_how_the_last_ones_went(clock, width, height):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 9}, 9))
    view.apply(DeviceState("pi5", "waiting", 9, "exports come first on this host"))
    for number, cause in enumerate(["", "", "opset_not_honoured", ""]):
        variant = f"m/dynamo-opset{number}-batch-fp32"
        view.apply(ExportStarted(variant))
        clock.now += 5
        view.apply(ExportFinished(variant, cause, "", 5.0, cached=False, done=number + 1, total=9))
    view.apply(ExportStarted("m/torchscript-opset17-full-fp32"))
    view.apply(ExportFinished("m/w", "", "", 0.0, cached=True, done=5, total=9))
    clock.now += 4
    lines = _lines(view, width, height)
    assert "5 of 9  ~25 s left, 1 failed, 1 cached" in lines[1]
    assert "measured after the exports" in lines[2]
    text = "\n".join(line.rstrip() for line in lines)
    assert "exports come first on this host" in text
    assert "exporting now\n  m torchscript-opset17-full  for 4.0 s" in text
    assert "last exports, newest first\n✓ m w                    cached\n✓ m dynamo-opset3-batch   5.0 s\n" in text
    assert "✗ m dynamo-opset2-batch   5.0 s  opset_not_honoured" in text
    view.apply(ExportFinished("m/last", "", "", 0.0, cached=True, done=9, total=9))
    assert "exporting now" not in "\n".join(_lines(view, width, height))


@pytest.mark.parametrize("height", [6, 9, 12, 23])
def test_many_exports_at_a_time_never_outgrow_the_terminal(clock, height):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 2}, 64))
    for number in range(32):
        view.apply(ExportStarted(f"m/v{number}"))
    lines = _lines(view, 80, height)
    assert len(lines) <= max(height, 12)
    assert height < 12 or "more" in "\n".join(lines)


def test_a_device_without_thermometer_shows_its_load(clock):
    view = SweepView(clock)
    view.apply(SweepStarted("r1", "nightly", {"pi5": 2, "odd": 1}, 0))
    view.apply(Telemetry("pi5", Reading(0.0, {}, load_1m=1.84)))
    view.apply(Telemetry("odd", Reading(0.0, {})))
    text = "\n".join(_lines(view, 80, 23))
    assert "load 1.8 now" in text
    assert "no sensor" in text


def test_a_notice_is_shown(clock):
    view = SweepView(clock)
    view.apply(Notice("pi5 has rebooted"))
    assert "pi5 has rebooted" in "\n".join(_lines(view, 80, 23))


# Live


def test_live_draws_and_gives_the_terminal_back(sample_events):
    stream = io.StringIO()
    console = Console(file=stream, width=100, height=30, force_terminal=True, legacy_windows=False)
    with LiveDashboard(console) as dashboard:
        for _, event in sample_events:
            dashboard.handle(event)
    text = stream.getvalue()
    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "160 of 162" in text
    assert not dashboard._thread.is_alive()


def test_live_gives_the_terminal_back_after_an_error():
    stream = io.StringIO()
    console = Console(file=stream, width=100, height=30, force_terminal=True, legacy_windows=False)
    with pytest.raises(KeyboardInterrupt), LiveDashboard(console) as dashboard:
        raise KeyboardInterrupt
    assert "\x1b[?25h" in stream.getvalue()
    assert not dashboard._thread.is_alive()


def test_live_redraws_seldom_while_this_host_is_measured(clock):
    dashboard = LiveDashboard(Console(file=io.StringIO()), clock=clock)
    dashboard.handle(SweepStarted("r1", "nightly", {"near": 1}, 1, ("near",)))
    assert dashboard.redraw_every_s == REDRAW_S
    dashboard.handle(DeviceState("near", "measuring", 1))
    assert dashboard.redraw_every_s == REDRAW_WHILE_MEASURED_S
    dashboard.handle(DeviceState("near", "idle", 1))
    assert dashboard.redraw_every_s == REDRAW_S


# Pictures


def test_pictures_of_one_document_are_equal_and_load_nothing_unasked(make_doc):
    doc = make_doc()
    svg = draw_dashboard(doc, share=0.6, width=120, height=32)
    assert svg == draw_dashboard(doc, share=0.6, width=120, height=32)
    assert "Edgesweep" in svg
    assert "url(http" not in svg
    assert "@font-face" not in svg
    assert "opset&#160;13" in draw_tables(doc, width=100)


def _no_address_but_its_own_kind(svg: str) -> bool:
    return "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_no_picture_points_outside(make_doc):
    doc = make_doc()
    pictures = [draw_dashboard(doc, share=0.6, width=120, height=32), draw_tables(doc, width=100), draw_report(doc)]
    for svg in pictures:
        assert _no_address_but_its_own_kind(svg)
        assert len(svg) < 300_000
        ET.fromstring(svg)


def test_the_picture_of_a_report_tells_outcomes_latencies_and_findings(make_doc):
    doc = make_doc()
    svg = draw_report(doc)
    assert svg == draw_report(doc)
    texts = ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]
    assert any(text.startswith(f"{OUTCOMES['pass'].mark} ") and text.endswith(" pass") for text in texts)
    assert any(text.startswith("Outcomes") for text in texts)
    assert any("median latency in ms" in text for text in texts)
    assert any(text.startswith("fastest of ") and "n=" in text for text in texts)
    assert any(text.startswith("failed at ") for text in texts)
    assert {cell["model"] for cell in doc["cells"]} <= set(texts)


def test_an_invalid_number_is_never_called_the_fastest(make_doc):
    doc = make_doc()
    for cell in doc["cells"]:
        if cell.get("latency_s"):
            cell["verdict"] = "invalid"
    svg = draw_report(doc)
    assert "fastest" not in svg
    assert "none to be used: invalid" in svg


def test_the_picture_of_a_report_escapes_names_and_stands_an_empty_run(make_doc):
    doc = make_doc()
    doc["run"]["name"] = "<b>&"
    assert "&lt;b&gt;&amp;" in draw_report(doc)
    assert "The run has no cell." in draw_report({**doc, "cells": []})


def test_the_picture_command_reads_a_document_and_writes_a_file(make_doc, tmp_path, capsys):
    import json

    (tmp_path / "doc.json").write_text(json.dumps(make_doc()))
    out = tmp_path / "out.svg"
    assert main([str(out), "--from", str(tmp_path / "doc.json")]) == 0
    assert out.read_text().startswith("<svg")
    assert main([str(out), "--of", "report", "--from", str(tmp_path / "doc.json")]) == 0
    assert out.read_text() == draw_report(make_doc())
    assert main([str(out), "--from", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def matrix_screen(width: int, height: int, *events) -> str:
    view = SweepView(lambda: 10.0)
    for event in events:
        view.apply(event)
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(draw(view, width, height))
    return console.file.getvalue()


def test_a_matrix_shows_its_exports_and_how_to_start_it_again():
    begun = SweepStarted("m-1", "nightly", {}, 3, resume_command="edgesweep export matrix lab.yaml")
    events = [
        begun,
        ExportStarted("net/dynamo-opset18-batch-fp32"),
        ExportFinished("net/dynamo-opset13-batch-fp32", "opset_not_honoured", "18", 0.5, cached=False, done=1, total=3),
    ]
    for width, height in ((80, 24), (120, 40)):
        text = matrix_screen(width, height, *events)
        assert max(map(len, text.splitlines())) <= width
        assert len(text.splitlines()) <= height
        assert "matrix m-1" in text
        assert "1 of 3" in text
        assert "0 pass" in text
        assert "1 failed" in text
        assert "net dynamo-opset18-batch" in text
        assert "opset_not_honoured" in text
        assert "Ctrl-C stops; go on with: edgesweep export matrix lab.yaml" in text
        assert "device" not in text
        assert "cells" not in text
    over = matrix_screen(80, 24, *events, SweepFinished("m-1", {"failed": 1}, 3.0, complete=False))
    assert "Next: edgesweep export matrix lab.yaml" in over.replace("\n", " ")
    assert "m-1" not in over.split("Next:")[1]
