"""Boards, links and controllers die; no cell vanishes and nothing is measured twice."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

SLOW = (
    "max_duration_s: 0.3, min_duration_s: 0.1",
    "trials: 2, max_duration_s: 2.5, min_duration_s: 2.5, max_inferences: 2000000",
)


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> object:
    """Polls a condition of the outside world; fails when it does not come true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    pytest.fail(f"never came true in {seconds} s")


def measuring_worker(agent) -> psutil.Process | None:
    """The worker of a trial (not of a probe) that has been alive long enough to be past its start."""
    for worker in agent.workers:
        try:
            if worker.cpu_times().user > 0.6 and "run.py" in " ".join(worker.cmdline()):
                return worker
        except psutil.Error:
            continue
    return None


@pytest.fixture
def slow_plan(lab) -> str:
    text = (lab.root / "tiny.yaml").read_text()
    assert SLOW[0] in text
    lab.write("slow.yaml", text.replace(*SLOW).replace("[17, 18]", "[17]"))
    return "slow.yaml"


def stored_trials(lab) -> list[tuple[str, str, str]]:
    path = lab.root / "home" / "data" / "store.sqlite"
    if not path.exists():
        return []
    query = "SELECT trials.id, cells.name, trials.outcome FROM trials JOIN cells ON cells.id = trials.cell_id"
    with contextlib.closing(sqlite3.connect(path)) as store:
        return store.execute(query).fetchall()


def assert_nothing_is_lost_or_doubled(lab, document: dict, trials_per_cell: int) -> None:
    names = [cell["name"] for cell in document["cells"]]
    assert len(names) == len(set(names))
    assert all(cell["outcome"] in {"pass", "fallback", "failed", "skipped", "lost"} for cell in document["cells"])
    stored = stored_trials(lab)
    assert max(Counter(trial_id for trial_id, _, _ in stored).values()) == 1
    completed = Counter(cell for _, cell, outcome in stored if outcome in {"pass", "fallback", "failed"})
    assert max(completed.values()) <= trials_per_cell


def test_a_killed_worker_is_a_crash_with_its_signal_and_the_sweep_goes_on(lab, slow_plan, outcomes) -> None:
    agent = lab.add_agent("board")
    text = (lab.root / slow_plan).read_text().replace("trials: 2", "trials: 1")
    lab.write(slow_plan, text)
    running = lab.start_cli("run", slow_plan, "-o", "json", "--progress", "none")
    wait_for(lambda: measuring_worker(agent)).send_signal(signal.SIGKILL)
    out, err = running.communicate(timeout=100)
    document = json.loads(out)
    crashed = [cell for cell in document["cells"] if cell["outcome"] == "failed"]
    assert {cell["cause"] for cell in crashed} == {"crash"}, err
    assert all("SIGKILL" in cell["message"] for cell in crashed)
    assert running.returncode == 1
    passed = [name for name, outcome in outcomes(document).items() if outcome == "pass"]
    assert len(crashed) >= 1
    assert len(passed) >= 1
    assert len(crashed) + len(passed) == len(document["cells"])


def test_a_killed_agent_loses_nothing_once_the_run_is_resumed(lab, slow_plan, outcomes) -> None:
    agent = lab.add_agent("board")
    running = lab.start_cli("run", slow_plan, "-o", "json", "--progress", "none", "--patience", "2")
    worker = wait_for(lambda: measuring_worker(agent))
    wait_for(lambda: len(stored_trials(lab)) >= 1)
    worker = wait_for(lambda: measuring_worker(agent))
    agent.kill()
    wait_for(lambda: not psutil.pid_exists(worker.pid) or worker.status() == psutil.STATUS_ZOMBIE)
    out, err = running.communicate(timeout=100)
    assert running.returncode == 4, err
    first = json.loads(out)
    assert "lost" in outcomes(first).values()
    assert f"edgesweep run --resume {first['run']['id']}" in err

    agent.start()
    done = lab.cli("run", "--resume", first["run"]["id"], "-o", "json", "--progress", "none")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["run"]["id"] == first["run"]["id"]
    assert sorted(outcomes(document)) == sorted(outcomes(first))
    assert set(outcomes(document).values()) == {"pass"}
    assert_nothing_is_lost_or_doubled(lab, document, trials_per_cell=2)


def test_an_agent_that_comes_back_in_time_is_waited_for(lab, slow_plan, outcomes) -> None:
    agent = lab.add_agent("board")
    running = lab.start_cli("run", slow_plan, "-o", "json", "--progress", "none", "--patience", "60")
    wait_for(lambda: measuring_worker(agent))
    agent.kill()
    agent.start()
    out, err = running.communicate(timeout=110)
    assert running.returncode == 0, err
    document = json.loads(out)
    assert set(outcomes(document).values()) == {"pass"}
    assert_nothing_is_lost_or_doubled(lab, document, trials_per_cell=2)


def test_a_killed_controller_is_resumed_and_the_agent_keeps_its_results(lab, slow_plan, outcomes) -> None:
    agent = lab.add_agent("board")
    running = lab.start_cli("run", slow_plan, "-o", "json", "--progress", "none")
    wait_for(lambda: measuring_worker(agent))
    running.kill()
    running.communicate(timeout=20)
    run_id = json.loads(lab.cli("runs", "-o", "json").stdout)["runs"][0]["id"]
    done = lab.cli("run", "--resume", run_id, "-o", "json", "--progress", "none")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(outcomes(document).values()) == {"pass"}
    assert_nothing_is_lost_or_doubled(lab, document, trials_per_cell=2)


def test_interrupt_keeps_what_is_done_and_says_how_to_resume(lab, slow_plan, outcomes) -> None:
    agent = lab.add_agent("board")
    running = lab.start_cli("run", slow_plan, "--progress", "plain")
    wait_for(lambda: measuring_worker(agent))
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    run_id = json.loads(lab.cli("runs", "-o", "json").stdout)["runs"][0]["id"]
    assert f"edgesweep run --resume {run_id}" in err
    wait_for(lambda: not any(child.is_running() for child in children), 5)
    wait_for(lambda: not agent.workers, 5)
    done = lab.cli("run", "--resume", run_id, "-o", "json", "--progress", "none")
    assert done.returncode == 0, done.stderr
    assert set(outcomes(json.loads(done.stdout)).values()) == {"pass"}


def test_the_death_of_one_agent_leaves_the_cells_of_the_other_untouched(lab, slow_plan) -> None:
    doomed, sound = lab.add_agent("doomed"), lab.add_agent("sound")
    running = lab.start_cli("run", slow_plan, "-o", "json", "--progress", "none", "--patience", "1")
    wait_for(lambda: measuring_worker(doomed))
    doomed.kill()
    out, err = running.communicate(timeout=110)
    assert running.returncode == 4, err
    by_device: dict[str, set[str]] = {}
    for cell in json.loads(out)["cells"]:
        by_device.setdefault(cell["device"], set()).add(cell["outcome"])
    assert by_device["sound"] == {"pass"}
    assert "lost" in by_device["doomed"]
    assert by_device["doomed"] <= {"lost", "pass"}
    assert sound.process.poll() is None
