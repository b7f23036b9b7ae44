"""How far the worker's times lie above a C loop on the same library, and whether that is within the bars.

usage: scripts/bench latency [--sittings 30] [--rounds 4] [--threads 1] [--models add,mlp,cnn,tfm]; about 4 minutes

The loop of the worker, a C loop and a second copy of it run the same model with the same inputs and threads, each in a
process of its own that sleeps while another is timed. A round is one block of each in random order; a sitting is some
rounds with fresh processes, for where their memory lies moves times by several percent. Each ratio is the median over
sittings of medians over rounds. What the two C loops differ by is what this run can resolve. At the end
of each model one whole trial goes through a real agent, between two blocks of the C loop, for the record. One JSON object
on stdout; exits with 1 when a bar is missed, or when the machine was too busy to say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from edgesweep_proto.trial import Protocol
from native import judging, loops
from native.board import board, verdict_of
from native.models import MODELS, BenchModel

#: The ratio of medians that each model may reach.
LIMITS = {"add": 1.5, "mlp": 1.03, "cnn": 1.01, "tfm": 1.01}
#: A block is at least so long and so many calls.
BLOCK_S, BLOCK_CALLS = 0.03, 12
#: An idle pool of threads goes on spinning for some 20 to 40 ms; nothing else is timed meanwhile.
POOL_PAUSE_S = 0.06
WHOLE_BLOCK_S = 0.3

FLOOR, COPY, OURS, SINGLE = "c", "c_copy", "ours", "c_unbatched"
#: What each loop is held against; ours against both C loops, whose memory lies in different places.
FLOORS = {COPY: (FLOOR,), SINGLE: (FLOOR,), OURS: (FLOOR, COPY)}


def sit(
    program: Path, model: BenchModel, rounds: int, cpus: tuple[int, ...], order: random.Random
) -> list[judging.Round]:
    """One sitting: fresh processes, and `rounds` rounds of one block of each in random order."""
    with (
        loops.our_loop(model, len(cpus), cpus) as ours,
        loops.c_loop(program, model, len(cpus), cpus) as floor,
        loops.c_loop(program, model, len(cpus), cpus) as copy,
    ):
        expected = floor.outputs()
        for loop in (copy, ours):
            if not np.allclose(loop.outputs(), expected, rtol=1e-4, atol=1e-5):
                sys.exit(f"the loops do not compute the same on {model.name}")
        batch = int(ours.ready[0])
        todo = {FLOOR: (floor, batch), COPY: (copy, batch), OURS: (ours, batch)}
        if batch > 1:
            todo[SINGLE] = (floor, 1)
        probe = floor.block(BLOCK_S, batch)
        duration_s = max(BLOCK_S, BLOCK_CALLS * float(np.median(probe.samples_ns)) / batch / 1e9)
        return [one_round(todo, duration_s, len(cpus), order) for _ in range(rounds)]


@contextlib.contextmanager
def kept_off(cpus: tuple[int, ...]) -> Iterator[None]:
    """Keeps this process off `cpus` where there are others."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed - set(cpus) or allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def one_round(
    todo: dict[str, tuple[loops.Loop, int]], duration_s: float, threads: int, order: random.Random
) -> judging.Round:
    """One block of every loop in random order."""
    medians, p10s, switches = {}, {}, 0
    for name in order.sample(list(todo), len(todo)):
        loop, batch = todo[name]
        if threads > 1:
            time.sleep(POOL_PAUSE_S)
        block = loop.block(duration_s, batch)
        seconds = judging.settled(block.samples_ns, block.batch)
        medians[name], p10s[name] = (float(value) for value in np.percentile(seconds, [50, 10]))
        switches = max(switches, block.switches)
    return judging.Round(medians, p10s, switches)


def judged(name: str, sittings: list[list[judging.Round]]) -> dict[str, Any]:
    """Ratios and bars of one model."""
    kept = [judging.quiet(rounds) for rounds in sittings]
    every = [each for rounds in kept for each in rounds]
    loop_names = sorted(every[0].medians)
    result: dict[str, Any] = {
        "p10_us": {loop: rounded(np.median([each.p10s[loop] for each in every]) * 1e6) for loop in loop_names},
        "median_us": {loop: rounded(np.median([each.medians[loop] for each in every]) * 1e6) for loop in loop_names},
        "rounds": sum(map(len, sittings)),
        "rounds_kept": len(every),
        "rounds_quiet": sum(each.switches == 0 for each in every),
    }
    for figure in ("medians", "p10s"):
        ratios = {
            loop: judging.spread([judging.sitting_ratio(rounds, loop, floors, figure) for rounds in kept])
            for loop, floors in FLOORS.items()
            if loop in loop_names
        }
        result[f"ratio_of_{figure}"] = {loop: shown(asdict(found)) for loop, found in ratios.items()}
        result[f"bar_of_{figure}"] = shown(asdict(judging.bar(ratios[OURS], ratios[COPY], LIMITS[name])))
    return result


async def whole_trial(program: Path, model: BenchModel, threads: int, folder: Path) -> dict[str, Any]:
    """One trial as a run has it, in a fresh worker of a real agent, against the C loop before and after it."""
    protocol = Protocol(
        warmup_min_s=0.5, warmup_max_s=5.0, min_duration_s=2.0, max_duration_s=5.0, target_half_width=0.005
    )
    home = folder / f"{model.name}-board"
    home.mkdir()
    async with board(model, protocol, home, threads) as agent:
        with loops.c_loop(program, model, threads) as floor:
            # As many calls a sample as the worker will take cannot be known yet; a block takes each call for itself.
            before = floor.block(WHOLE_BLOCK_S, 1)
            record = await agent.trial()
            after = floor.block(WHOLE_BLOCK_S, 1)
    if record.latency is None or record.result.samples is None:
        sys.exit("the trial has no samples")
    medians = [float(np.median(judging.settled(block.samples_ns, 1))) for block in (before, after)]
    verdict, reasons = verdict_of([record], protocol, threads)
    return {
        "median_us": rounded(record.latency.median * 1e6),
        "c_median_us": [rounded(value * 1e6) for value in medians],
        "ratio": rounded(record.latency.median / (sum(medians) / 2)),
        "batch": record.result.samples.batch,
        "call": record.result.session.call if record.result.session else "",
        "verdict": verdict,
        "reasons": list(reasons),
    }


def shown(value: Any) -> Any:
    """`value` with its floats rounded for reading."""
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(each) for each in value]
    return rounded(value) if isinstance(value, float) else value


def rounded(value: float) -> float:
    """Four decimals."""
    return round(float(value), 4)


def main() -> None:
    """Measure, judge and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench latency", description=__doc__)
    parser.add_argument("--sittings", type=int, default=30, metavar="N", help="fresh sets of processes per model (30)")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="rounds of one sitting (4)")
    parser.add_argument("--threads", type=int, default=1, choices=(1, 2), help="intra-op threads of every loop (1)")
    parser.add_argument("--models", default=",".join(LIMITS), metavar="A,B", help="of add, mlp, cnn and tfm (all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of blocks (0)")
    chosen = parser.parse_args()
    names = chosen.models.split(",")
    if unknown := sorted(set(names) - set(LIMITS)):
        parser.error(f"there is no model {unknown[0]}; there are {', '.join(LIMITS)}")
    order = random.Random(chosen.seed)
    allowed = sorted(os.sched_getaffinity(0))
    if chosen.threads > len(allowed):
        parser.error(f"{chosen.threads} threads need as many CPUs; {len(allowed)} may be used here")
    # The last CPUs, since the first one serves most interrupts.
    cpus = tuple(allowed[-chosen.threads :])
    result: dict[str, Any] = {"benchmark": "latency", "threads": chosen.threads, "cpus": list(cpus), "models": {}}
    with tempfile.TemporaryDirectory(prefix="edgesweep-bench-") as home:
        folder = Path(home)
        try:
            program = loops.compile_c_loop(folder)
            loops.runtime_library()
        except (FileNotFoundError, RuntimeError) as error:
            sys.exit(f"bench latency: {error}")
        for name in names:
            model = MODELS[name](folder)
            sittings = []
            with kept_off(cpus):
                for number in range(chosen.sittings):
                    sys.stderr.write(f"{name}: sitting {number + 1} of {chosen.sittings}\n")
                    sittings.append(sit(program, model, chosen.rounds, cpus, order))
            result["models"][name] = judged(name, sittings) | {
                "whole_trial": asyncio.run(whole_trial(program, model, chosen.threads, folder))
            }
    states = {
        f"{name} {bar.removeprefix('bar_of_')}": found[bar]["state"]
        for name, found in result["models"].items()
        for bar in ("bar_of_medians", "bar_of_p10s")
    }
    result["bars"] = states
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if set(states.values()) == {"met"} else 1)


if __name__ == "__main__":
    main()
