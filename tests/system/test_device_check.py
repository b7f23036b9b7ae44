"""`edgesweep device check` against a real agent, one that is gone, and one on a board that is made up."""

from __future__ import annotations

import json


def test_a_real_agent_is_looked_at_and_judged(lab):
    lab.add_agent("board")
    done = lab.cli("device", "check", "board", "-o", "json")
    # The agent runs on the controller's own machine: whatever else is in order, that is a problem.
    assert done.returncode == 1, done.stderr
    doc = json.loads(done.stdout)
    assert (doc["schema_version"], doc["name"], doc["fit"]) == (1, "board", False)
    found = {finding["subject"]: finding for finding in doc["findings"]}
    assert found["host"]["level"] == "problem"
    assert "start edgesweep on another machine" in found["host"]["remedy"]
    assert "CPUs in use over 2 s" in found["load"]["read"]
    assert any(subject.startswith("runtime ") and "runs on cpu" in f["read"] for subject, f in found.items())
    assert all(bool(finding["remedy"]) == (finding["level"] != "ok") for finding in doc["findings"])
    assert doc["reading"]["memory_available_bytes"] > 0
    table = lab.cli("device", "check", "board")
    assert table.returncode == 1
    lines = table.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith("board is not fit to measure on: ")


def test_an_agent_that_is_gone_is_lab_trouble(lab):
    lab.add_agent("board").stop()
    done = lab.cli("device", "check", "board")
    assert done.returncode == 4, done.stderr
    assert "error: " in done.stderr
    assert "check that its agent runs" in done.stderr
    assert done.stdout == ""
    assert lab.cli("device", "check", "nobody").returncode == 2
