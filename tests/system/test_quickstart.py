"""The quickstart, cut small: what a new user sees first."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest

CUT = "detector and (opset13 or opset18)"


def of_this_lab(lab) -> list[psutil.Process]:
    """The living processes that were started in this lab, whatever else runs on the machine beside this test."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("EDGESWEEP_HOME") == lab.env["EDGESWEEP_HOME"]
            if ours or any(str(lab.root) in word for word in process.cmdline()):
                found.append(process)
    return found


def test_the_quickstart_sweeps_and_leaves_a_report_and_no_process(lab) -> None:
    done = lab.cli("quickstart", "-k", CUT, "-o", "json", "--progress", "plain", timeout=115)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    cells = document["cells"]
    assert len({cell["name"] for cell in cells}) == len(cells) == 8
    for cell in cells:
        if cell["exporter"] == "dynamo" and cell["opset"] == 13:
            assert (cell["outcome"], cell["cause"]) == ("failed", "opset_not_honoured")
            assert cell["produced"]["opset"] != 13
            assert cell["see"] == cell["name"].replace("opset13", "opset18")
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

    assert of_this_lab(lab) == []
    assert lab.cli("device", "list", "-o", "name").stdout == "local\n"


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


@pytest.mark.parametrize("until", [r"^run ", r"^\[1/4\] pass "], ids=["exporting", "measuring"])
def test_ctrl_c_leaves_no_process_and_says_how_to_resume(lab, until) -> None:
    running = lab.start_cli("quickstart", "-k", "detector and opset18", "--progress", "plain")
    said = ""
    for line in running.stderr:
        said += line
        if re.search(until, line):
            break
    deadline = time.monotonic() + 30
    while len(of_this_lab(lab)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    said += running.communicate(timeout=30)[1]
    assert running.returncode == 130, said
    deadline = time.monotonic() + 5
    while of_this_lab(lab) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert of_this_lab(lab) == []

    run_id = re.search(r"^run (\S+):", said, flags=re.MULTILINE)[1]
    advice = set(re.findall(r"edgesweep (\w+ --resume \S+)", said))
    assert advice == {f"quickstart --resume {run_id}"}, said
    resumed = lab.cli(*advice.pop().split(), "-o", "json", "--progress", "plain")
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads(resumed.stdout)
    assert document["run"]["id"] == run_id
    assert [cell["outcome"] for cell in document["cells"]] == ["pass"] * 4
    assert lab.cli("device", "list", "-o", "name").stdout == "local\n"
