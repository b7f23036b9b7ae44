"""How right the memory ledger is, against models whose memory is known; one JSON object on stdout.

Each model runs in real worker processes, driven as the agent drives them: three values of 4, 16 and 64 MiB that live at
once, with the CPU arena on and off, and 200 MB of weights in matrix products and in convolutions, each several times.
What a session costs without any model (the same nodes with values of one element) is taken off where values are held
against their known size. A poller reads the worker's statm every 10 ms from a process of its own, to show what it misses.

Bars: values within 1 % + 1 MiB; weights within 5 % of what an ordinary process holds after malloc_trim; every figure
the same within 5 % (or 1 MiB) on repeat; the doubling of the second run with the arena on is seen. With the arena on the
known size is told by onnxruntime's own figure; the resident figure has the arena's bookkeeping on top, which is known
too: 8 bytes for each 256 that it holds (the chunk handles of BFCArena's regions).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import memory_models
import numpy as np
from edgesweep.stats.memory import over_trials
from edgesweep_agent.worker_package import install_worker
from edgesweep_agent.worker_process import run_worker, worker_environment

MIB = 1 << 20
SIZES_MIB = (4, 16, 64)
ALIVE = 3
WEIGHT_BYTES = 200_000_000
SHARE, SLACK = 0.01, MIB
WEIGHT_SHARE = 0.05
#: What is seen of a doubling: the second run holds the first one's blocks and one block of its own.
DOUBLED = 1.9
HANDLE_SHARE = 8 / 256
PHASES = ("session_peak", "first_run_peak", "steady_peak", "retained")

POLLER = """
import json, os, sys, time
page, rows = os.sysconf("SC_PAGE_SIZE"), []
file = os.open("/proc/" + sys.argv[1] + "/statm", os.O_RDONLY)
print("ready", flush=True)
try:
    while True:
        resident = int(os.pread(file, 200, 0).split()[1]) * page
        if not resident:
            break
        rows.append((time.time(), resident))
        time.sleep(0.01)
except (OSError, IndexError):
    pass
print(json.dumps(rows))
"""

#: An ordinary process: malloc as it comes, the model by path, ten runs, then what is left after malloc_trim.
TRIMMED = """
import ctypes, gc, sys
import numpy as np
import onnxruntime
x = np.load(sys.argv[2])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))
before = resident()
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(10):
    session.run(None, {"x": x})
print(resident() - before)
"""


class Poller:
    """Reads one process's resident size every 10 ms, as most tools do, from a process of its own."""

    def __init__(self, pid: int) -> None:
        command = [sys.executable, "-I", "-S", "-c", POLLER, str(pid)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            raise SystemExit("the poller did not start")

    def rows(self) -> list[tuple[float, int]]:
        """Unix time and resident bytes of each reading; the process has ended."""
        out, _ = self._process.communicate()
        return [(at, resident) for at, resident in json.loads(out)]


def grown(rows: Sequence[tuple[float, int]], begin: float, end: float) -> int:
    """How much more than just before `begin` a poller saw until `end`."""
    before = [resident for at, resident in rows if at <= begin]
    within = [resident for at, resident in rows if begin < at <= end]
    return max([0, *within]) - before[-1] if before and within else 0


class Worker:
    """Runs trials as the agent does, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run_py = install_worker(folder)

    async def trial(self, model: Path, shape: Sequence[int], *, arena: bool = True) -> dict[str, Any]:
        """The memory that one trial told, in bytes: `phases`, `arena` (or None), and what a poller saw of the runs."""
        x = self._folder / "x.npy"
        np.save(x, np.ones(shape, np.float32))
        job = {
            "kind": "trial",
            "model_path": str(model),
            "samples_path": str(self._folder / "samples.bin"),
            "inputs": [{"name": "x", "path": str(x)}],
            "session": {"intra_op_threads": 1, "no_cpu_arena": not arena},
            "protocol": {"min_inferences": 1, "min_duration_s": 0.0},
        }
        stages: dict[str, float] = {}
        facts: dict[str, Any] = {}
        pollers: list[Poller] = []

        def take(event: dict[str, Any]) -> None:
            if event["event"] == "stage":
                stages[event["stage"]] = event["at"]
            else:
                facts.update(event)

        ending = await run_worker(
            [sys.executable, "-I", str(self._run_py)],
            job,
            folder=self._folder,
            stderr_path=self._folder / "stderr.txt",
            deadline_s=lambda: 300.0,
            on_start=lambda pid: pollers.append(Poller(pid)),
            on_event=take,
        )
        rows = pollers[0].rows()
        if ending.end is None or ending.end["outcome"] != "pass":
            raise SystemExit(f"the worker failed: {ending}\n{(self._folder / 'stderr.txt').read_text()}")
        return {
            "phases": {phase["phase"]: phase["size_bytes"] for phase in facts["memory"]},
            "arena": facts.get("arena"),
            "polled_first_run": grown(rows, stages["first_run"], stages["warmup"]),
            "methods": {phase["phase"]: phase["method"] for phase in facts["memory"]},
        }


def repeatable(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each phase the median, the largest distance between two trials, and whether a report would call it a figure."""
    found = {}
    for phase in PHASES:
        values = [trial["phases"][phase] for trial in trials]
        told = over_trials(values)
        found[phase] = {
            "bytes": statistics.median(values),
            "spread_bytes": max(values) - min(values),
            "repeatable": told is not None and told.median is not None,
        }
    return found


def median_of(trials: Sequence[dict[str, Any]], phase: str) -> float:
    """Median bytes of a phase."""
    return statistics.median(trial["phases"][phase] for trial in trials)


def near(value: float, known: float) -> bool:
    """Whether a figure is within 1 % + 1 MiB of what is known."""
    return abs(value - known) <= SHARE * known + SLACK


def judge_alive(size_mib: int, trials: list[dict[str, Any]], empty: list[dict[str, Any]]) -> dict[str, Any]:
    """One row: three values of a size, against what is known, beside the figures of the poller.

    Args:
        size_mib: Of each value.
        trials: Of the model, all with the arena on or all with it off.
        empty: Likewise, of the model with values of one element.
    """
    live = ALIVE * size_mib * MIB
    first, steady = (median_of(trials, phase) - median_of(empty, phase) for phase in ("first_run_peak", "steady_peak"))
    arenas = [trial["arena"] for trial in trials]
    polled = [trial["polled_first_run"] for trial in trials]
    row: dict[str, Any] = {
        "live_bytes": live,
        "first_run_bytes": first,
        "steady_bytes": steady,
        "polled_first_run_bytes": sorted(polled),
        "poller_saw_share": [round(value / live, 3) for value in sorted(polled)],
        "phases": repeatable(trials),
    }
    if arenas[0] is None:
        row["met"] = near(first, live) and near(steady, live)
        return row
    held_first, held = arenas[0]["held_first_run_bytes"], arenas[0]["held_bytes"]
    row["arena"] = arenas[0]
    row["arena_exact_on_repeat"] = all(arena == arenas[0] for arena in arenas)
    row["steady_over_first_run"] = round(steady / first, 3)
    row["doubling_seen"] = steady >= DOUBLED * first and held >= DOUBLED * held_first
    row["bookkeeping_bytes"] = {"first_run": held_first * HANDLE_SHARE, "steady": held * HANDLE_SHARE}
    row["met"] = (
        near(arenas[0]["requested_peak_bytes"], live)
        and near(first, live + held_first * HANDLE_SHARE)
        and near(steady, 2 * live + held * HANDLE_SHARE)
        and row["arena_exact_on_repeat"]
        and row["doubling_seen"]
    )
    return row


def judge_weights(trials: list[dict[str, Any]], trimmed: list[int]) -> dict[str, Any]:
    """One row: what the ledger says is kept of a model with many weights, against ordinary processes that trimmed."""
    kept, reference = median_of(trials, "retained"), statistics.median(trimmed)
    spread = [trial["phases"]["retained"] for trial in trials]
    return {
        "weight_bytes": WEIGHT_BYTES,
        "retained_bytes": kept,
        "retained_over_weights": round(kept / WEIGHT_BYTES, 4),
        "session_peak_over_weights": round(median_of(trials, "session_peak") / WEIGHT_BYTES, 4),
        "trimmed_bytes": sorted(trimmed),
        "over_trimmed": round(kept / reference, 4),
        "spread_on_repeat": round((max(spread) - min(spread)) / kept, 5),
        "phases": repeatable(trials),
        "met": abs(kept - reference) <= WEIGHT_SHARE * reference and max(spread) - min(spread) <= WEIGHT_SHARE * kept,
    }


def trimmed_bytes(model: Path, x: Path) -> int:
    """What an ordinary process keeps of the model once it gave its freed memory back."""
    environment = {k: v for k, v in worker_environment({}).items() if k != "MALLOC_MMAP_THRESHOLD_"}
    command = [sys.executable, "-I", "-c", TRIMMED, str(model), str(x)]
    return int(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


async def measure(repeats: int, folder: Path) -> dict[str, Any]:
    """The figures of one run."""
    worker = Worker(folder)
    model = folder / "model.onnx"

    async def several(shape: Sequence[int], *, arena: bool = True) -> list[dict[str, Any]]:
        return [await worker.trial(model, shape, arena=arena) for _ in range(repeats)]

    alive: dict[str, Any] = {}
    for arena in (True, False):
        memory_models.three_alive(model, memory_models.FLOAT_BYTES)
        empty = await several([1], arena=arena)
        word = "on" if arena else "off"
        alive[f"no values, arena {word}"] = {"phases": repeatable(empty)}
        for size_mib in SIZES_MIB:
            memory_models.three_alive(model, size_mib * MIB)
            trials = await several([1], arena=arena)
            alive[f"{ALIVE}x{size_mib} MiB, arena {word}"] = judge_alive(size_mib, trials, empty)
    weights: dict[str, Any] = {}
    for name, write in (("matmul", memory_models.matmul_weights), ("conv", memory_models.conv_weights)):
        shape = write(model, WEIGHT_BYTES)
        trials = await several(shape)
        weights[name] = judge_weights(trials, [trimmed_bytes(model, folder / "x.npy") for _ in range(repeats)])
    rows = [*alive.values(), *weights.values()]
    return {
        "benchmark": "memory",
        "repeats": repeats,
        "methods": trials[0]["methods"],
        "alive": alive,
        "weights": weights,
        "met": all(row.get("met", True) for row in rows),
        "repeatable": all(phase["repeatable"] for row in rows for phase in row["phases"].values()),
    }


def main() -> int:
    """Measure and print; 1 when a bar is not met."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="trials of each model (3)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgesweep-bench-") as folder:
        found = asyncio.run(measure(chosen.repeats, Path(folder)))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if found["met"] and found["repeatable"] else 1


if __name__ == "__main__":
    sys.exit(main())
