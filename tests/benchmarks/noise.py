"""Whether noise shows in the verdicts: one cell measured beside 0, 1 and 2 busy processes, again and again.

usage: scripts/bench noise [--runs 20] [--trials 2] [--minutes 15]; ends after that many minutes at the latest

A real agent measures a model of about 1 ms, each trial in a worker of its own. Runs beside hogs (busy Python processes that
no CPU is set for) and clean ones take turns in random order; before and after each trial of a clean one a C loop runs the
same model, and only clean runs whose C loop stayed within 3 % of its usual time count as calm. After each clean run a plain
script reports its mean of 100. More clean runs are taken until enough were calm. One JSON object on stdout; exits with 1
when a bar is missed or nothing can be said about it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from edgesweep_agent.worker_process import worker_environment
from edgesweep_proto.trial import Protocol
from native import judging, loops
from native.board import Board, board, verdict_of
from native.models import BenchModel, cnn

#: As the preset quick, with shorter caps: a hogged trial never becomes steady, and hogs do not end however long the gate
#: waits, so it looks once.
PROTOCOL = Protocol(
    warmup_min_s=0.5,
    warmup_max_s=3.0,
    min_inferences=100,
    min_duration_s=2.0,
    max_duration_s=4.0,
    target_half_width=0.005,
    idle_wait_s=3.0,
)
BLOCK_S = 0.2
#: How far the C loop may lie from its usual time around a calm run.
CALM = 0.03
#: Share of the calm runs that must be trusted, and how few calm runs say nothing about it.
TRUSTED_SHARE, FEWEST_CALM = 0.8, 5
#: CPU seconds of sampler and agent per second of measuring.
OWN_SHARE = 0.005
FEWEST_FOR_VARIATION = 10
HERE = Path(__file__).resolve().parent


@contextlib.contextmanager
def hogging(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a CPU."""
    hogs = [subprocess.Popen([sys.executable, "-IS", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.wait()


class Bench:
    """The agent, the C loop beside it, and the runs so far."""

    def __init__(self, agent: Board, c_loop: loops.Loop, model: BenchModel, trials: int) -> None:
        self._agent = agent
        self._c_loop = c_loop
        self._model = model
        self._trials = trials
        self.runs: list[judging.Run] = []

    async def run(self, hogs: int) -> None:
        """One run of the cell beside so many hogs."""
        records, blocks = [], []
        with hogging(hogs):
            for _ in range(self._trials):
                blocks += [] if hogs else [self._block()]
                records.append(await self._agent.trial())
        blocks += [] if hogs else [self._block()]
        verdict, reasons = verdict_of(records, PROTOCOL)
        traces = [trace for record in records if (trace := record.result.trace)]
        self.runs.append(
            judging.Run(
                hogs=hogs,
                verdict=verdict,
                reasons=reasons,
                medians_s=[record.latency.median for record in records if record.latency],
                blocks_s=blocks,
                naive_s=None if hogs else self._mean_of_100(),
                sampler_and_agent_s=sum(each.sampler_cpu_s + each.agent_cpu_s for each in traces) if traces else None,
                traced_s=sum(trace.wall_s for trace in traces) if traces else None,
            )
        )
        sys.stderr.write(f"{len(self.runs)}: {hogs} hogs, {verdict}; {'; '.join(reasons)[:150]}\n")

    def _block(self) -> tuple[float, float, float]:
        """p10, median and mean of a block of the C loop in seconds."""
        seconds = judging.settled(self._c_loop.block(BLOCK_S, 1).samples_ns, 1)
        p10, median = np.percentile(seconds, [10, 50])
        return float(p10), float(median), float(seconds.mean())

    def _mean_of_100(self) -> float:
        ((name, _),) = self._model.inputs.items()
        words = [str(self._model.path), name, str(self._model.path.with_name(f"{self._model.name}.{name}.npy")), "1"]
        script = str(HERE / "native" / "mean_of_100.py")
        environment = worker_environment({"PATH": ""})
        done = subprocess.run(
            [sys.executable, script, *words], env=environment, capture_output=True, encoding="utf-8", check=True
        )
        return float(done.stdout)


async def measure(runs: int, trials: int, minutes: float, folder: Path, order: random.Random) -> list[judging.Run]:
    """All runs: the hogged and as many clean ones in random order, then clean ones until `runs` were calm or time is up."""
    program = loops.compile_c_loop(folder)
    model = cnn(folder)
    for name, array in model.inputs.items():
        np.save(model.path.with_name(f"{model.name}.{name}.npy"), array, allow_pickle=False)
    end = time.monotonic() + 60 * minutes
    async with board(model, PROTOCOL, folder) as agent:
        with loops.c_loop(program, model, threads=1) as c_loop:
            bench = Bench(agent, c_loop, model, trials)
            plan = [1] * (runs // 2) + [2] * (runs - runs // 2) + [0] * runs
            order.shuffle(plan)
            longest = 0.0
            while plan or len(judging.calm_runs(bench.runs, CALM)) < runs:
                begun = time.monotonic()
                if begun + longest > end:
                    break
                await bench.run(plan.pop() if plan else 0)
                longest = max(longest, time.monotonic() - begun)
            return bench.runs


def judged(runs: list[judging.Run], planned: int) -> dict[str, Any]:
    """Figures and bars; a bar is met, missed, or unresolved when there was too little to judge it by."""
    hogged = [run for run in runs if run.hogs]
    clean = [run for run in runs if not run.hogs]
    calm = judging.calm_runs(runs, CALM)
    trusted = [run for run in calm if run.verdict == "trusted"]
    pairs = [(median, run.naive_s) for run in clean for median in run.medians_s[:1] if run.naive_s]
    ours, naive = ([pair[index] for pair in pairs] for index in (0, 1))
    enough = len(pairs) >= FEWEST_FOR_VARIATION
    variations = {"ours": judging.variation(ours), "mean_of_100": judging.variation(naive)} if enough else None
    share = judging.own_share(clean)
    hogged_trusted = sum(run.verdict == "trusted" for run in hogged)
    mute = sum(run.verdict != "trusted" and not run.reasons for run in runs)
    return {
        "benchmark": "noise",
        "runs": {"hogged": len(hogged), "clean": len(clean), "calm": len(calm)},
        "verdicts": {
            f"{hogs} hogs": dict(Counter(run.verdict for run in runs if run.hogs == hogs)) for hogs in (0, 1, 2)
        },
        "calm_verdicts": dict(Counter(run.verdict for run in calm)),
        "calm_reasons": dict(Counter(reason.partition(":")[0] for run in calm for reason in run.reasons)),
        "hogged_reasons": dict(Counter(reason.partition(":")[0] for run in hogged for reason in run.reasons)),
        "variation": variations,
        "own_cpu_share": share,
        "bars": {
            "no hogged run is trusted": state(
                len(hogged) >= planned, met=hogged_trusted == 0, missed=hogged_trusted > 0
            ),
            "calm runs are trusted": state(
                len(calm) >= min(planned, FEWEST_CALM), met=len(trusted) >= TRUSTED_SHARE * len(calm)
            ),
            "every other run carries a reason": state(bool(runs), met=mute == 0),
            "the median varies less than a mean of 100": state(
                variations is not None, met=variations is not None and variations["ours"] <= variations["mean_of_100"]
            ),
            "sampler and agent stay out of the way": state(
                share is not None, met=share is not None and share < OWN_SHARE
            ),
        },
        "every_run": [dataclasses.asdict(run) for run in runs],
    }


def state(resolved: bool, *, met: bool, missed: bool = False) -> str:
    """The word for a bar; what is missed already needs no more evidence."""
    if missed:
        return "missed"
    if not resolved:
        return "unresolved"
    return "met" if met else "missed"


def main() -> None:
    """Measure, judge and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench noise", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="hogged runs, and calm clean ones (20)")
    parser.add_argument(
        "--trials", type=int, default=2, metavar="N", help="trials of one run, each in its own process (2)"
    )
    parser.add_argument(
        "--minutes", type=float, default=15.0, metavar="M", help="no run begins that would end later (15)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of runs (0)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgesweep-bench-") as folder:
        try:
            runs = asyncio.run(
                measure(chosen.runs, chosen.trials, chosen.minutes, Path(folder), random.Random(chosen.seed))
            )
        except (FileNotFoundError, RuntimeError) as error:
            sys.exit(f"bench noise: {error}")
    result = judged(runs, chosen.runs)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(word == "met" for word in result["bars"].values()) else 1)


if __name__ == "__main__":
    main()
