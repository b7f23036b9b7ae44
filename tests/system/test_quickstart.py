"""The quickstart, cut small: what a new user sees first."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import psutil
import pytest

CUT = "detector and (opset13 or opset18)"


def test_the_quickstart_sweeps_and_leaves_a_report_and_no_process(lab) -> None:
    before = {process.pid for process in psutil.process_iter()}
    done = lab.cli("quickstart", "-k", CUT, "-o", "json", "--progress", "plain", timeout=115)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    cells = document["cells"]
    assert len({cell["name"] for cell in cells}) == len(cells) == 8
    for cell in cells:
        if cell["exporter"] == "dynamo" and cell["opset"] == 13:
            assert (cell["outcome"], cell["cause"]) == ("failed", "opset_not_honoured")
            assert cell["produced"]["opset"] != 13
            assert cell["see"] is None or "opset18" in cell["see"]
        elif cell["outcome"] == "pass":
            assert cell["latency_s"]["n"] >= 10
            assert cell["memory_bytes"]["session_peak"] > 0
    assert sum(cell["outcome"] == "pass" for cell in cells) >= 4
    assert str(lab.root / "report.html") in done.stderr
    assert done.stderr.count("edgesweep ") >= 3
    assert "\x1b" not in done.stderr + done.stdout

    page = (lab.root / "report.html").read_text().replace("<wbr>", "")
    assert len(page.encode()) < 1_000_000
    assert 'src="http' not in page
    for cell in cells:
        assert cell["name"] in page

    left = [
        process
        for process in psutil.process_iter()
        if process.pid not in before and "edgesweep" in " ".join(process.cmdline() or ())
    ]
    assert left == []


def test_the_report_opens_in_a_real_browser(lab, tmp_path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here: the report was NOT opened in a browser")
    lab.add_agent("board")
    lab.run_json("tiny.yaml")
    assert lab.cli("report", "latest", "-o", "html").returncode == 0
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    shown = subprocess.run(
        [
            chromium,
            *options,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"file://{lab.root / 'report.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "torchscript-opset17-static-fp32" in shown.stdout
    assert "<svg" in shown.stdout


def test_ctrl_c_leaves_no_process_and_says_how_to_resume(lab) -> None:
    running = lab.start_cli("quickstart", "-k", CUT, "--progress", "plain")
    family: set[int] = set()
    deadline = time.monotonic() + 60
    while len(family) < 3 and time.monotonic() < deadline:
        family |= {child.pid for child in psutil.Process(running.pid).children(recursive=True)}
        time.sleep(0.05)
    for line in running.stderr:
        if "detector" in line:
            break
    family |= {child.pid for child in psutil.Process(running.pid).children(recursive=True)}
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "edgesweep quickstart --resume" in err
    deadline = time.monotonic() + 5
    while any(map(psutil.pid_exists, family)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, family))
