"""A controller killed at any point leaves no half trial: whatever is stored has its samples, whatever was said is stored."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgesweep.store.store import Store

WRITER = """
import hashlib, os, sys
from pathlib import Path
from edgesweep_proto.blob import Blob
from edgesweep_proto.trial import Samples, Stage, TrialOutcome, TrialResult
from edgesweep.plan.cell import Cell, Variant
from edgesweep.store.records import CellEnd, Outcome, RunRecord, TrialRecord
from edgesweep.store.store import Store

store = Store.open(sys.argv[1], Path(sys.argv[2]))
cell = Cell(Variant("m", "dynamo", 17, "static"), "pi", "1.23.2", ("cpu",))
store.create_run(RunRecord("run", "n", "d", "t", {}, "/", 1.0), [cell])
print("ready", flush=True)
for number in range(100_000):
    data = os.urandom(8 * 2000)
    digest = hashlib.sha256(data).hexdigest()
    trial_id = f"run/{cell.key}/{number}/0"
    result = TrialResult(trial_id, TrialOutcome.PASS, Stage.MEASURE, samples=Samples(Blob(digest, len(data)), 0, 2000, 1, "ci"))
    assert store.save_trial("run", TrialRecord(trial_id, cell.name, number, 0, result, None, digest), data)
    print(trial_id, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_leaves_whole_trials_only(url, samples_dir, seed):
    chance = random.Random(seed)
    process = subprocess.Popen([sys.executable, "-c", WRITER, url, str(samples_dir)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        said = [process.stdout.readline().strip() for _ in range(chance.randrange(3))]
        time.sleep(chance.random() * 0.02)  # where in a trial the kill falls is the point of the test
    finally:
        os.kill(process.pid, signal.SIGKILL)
    said += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    with Store.open(url, samples_dir) as store:
        stored = [trial for trials in store.trials_of("run").values() for trial in trials]
        assert {trial.id for trial in stored} >= set(said)
        assert len(stored) <= len(said) + 1
        for trial in stored:
            times = store.read_samples("run", trial.id)
            assert hashlib.sha256(times.tobytes()).hexdigest() == trial.samples_digest
        whole = list(Path(samples_dir, "run").glob("[!.]*"))
        assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in whole)
        assert not store.load_run("run").cells[0].end
