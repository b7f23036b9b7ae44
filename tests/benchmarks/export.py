"""How long the export matrix of one transformer takes, against a plain loop of `torch.onnx.export` calls; prints JSON.

The loop is what a user's script would be: one warm process, one call per variant, from the module. Ours is
`ExportService` with warm workers and, for cold rounds, an empty folder. Both take turns in one run, because only figures
of one run can be compared. `export` leaves out checks and proof on both sides (ours still runs the model at the sizes
that it would prove, hashes and stores the files); with `proven` the loop puts every file through the same checks and runs
it with onnxruntime at the same sizes as ours, against torch's outputs; with `warm` ours finds everything in its cache.

Afterwards every file that the loop wrote is brought into canonical form and compared with ours by digest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

OPSETS = (13, 17, 18, 19, 20, 21, 22, 23)
AXES = ("static", "batch", "full")
SLOTS = 2
BARS = {"export": 0.5, "proven": 0.6, "warm": 0.05}
CANCEL_BAR_S = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the plain loop: an opset, a profile, and where the file goes."""

    opset: int
    axes: str
    path: str


class Loop:
    """The plain loop, in a process of its own.

    Args:
        model: A name of the zoo.
        threads: Threads that torch may use.
    """

    def __init__(self, model: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve_loop, args=(theirs, model, threads), daemon=True)
        self._process.start()
        self._ours.recv()
        self.held: set[str] = set()

    def run(self, calls: list[Call], *, prove: bool) -> float:
        """Seconds that the calls took; `held` then says which files held up."""
        self._ours.send((calls, prove))
        seconds, self.held = self._answer()
        return float(seconds)

    def digests(self, calls: list[Call]) -> dict[str, str]:
        """The digest of each call's file in canonical form, by path."""
        self._ours.send((calls, None))
        digests: dict[str, str] = self._answer()
        return digests

    def _answer(self) -> Any:
        kind, answer = self._ours.recv()
        if kind == "error":
            raise SystemExit(f"the plain loop failed: {answer}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._ours.close()
        self._process.join(10)
        self._process.kill()


def _serve_loop(pipe: Any, model: str, threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    loop = _Calls(model)
    pipe.send("up")
    with contextlib.suppress(EOFError):
        while True:
            calls, prove = pipe.recv()
            try:
                if prove is None:
                    pipe.send(("digests", {call.path: _canonical_digest(Path(call.path)) for call in calls}))
                    continue
                begun = time.perf_counter()
                held = set()
                for call in calls:
                    loop.export(call)
                    if prove and loop.prove(call):
                        held.add(call.path)
                pipe.send(("seconds", (time.perf_counter() - begun, held)))
            except Exception as error:  # noqa: BLE001 - the other process must hear of it, whatever it is
                pipe.send(("error", f"{type(error).__name__}: {error}"))


class _Calls:
    """What a user's script does with one model."""

    def __init__(self, name: str) -> None:
        import onnxruntime
        import torch
        import torch.onnx
        from edgesweep.models.load import load_model

        self._torch = torch
        self._ort = onnxruntime
        torch.manual_seed(0)
        self._model = load_model(ModelSource(SourceKind.ZOO, name, name))
        self._references: dict[tuple[tuple[str, int], ...], tuple[Any, Any]] = {}

    def dimensions(self, axes: str) -> tuple[str, ...]:
        from edgesweep.export.axes import dimensions_of

        return dimensions_of(axes, self._model.dimensions)

    def sizes(self, axes: str) -> list[dict[str, int]]:
        """The sizes to prove at, the example's first."""
        from edgesweep.export.axes import proof_sizes
        from edgesweep.models.inputs import example_sizes

        dimensions = self.dimensions(axes)
        return [{}, *proof_sizes(dimensions, example_sizes(self._model), self._model.ranges)]

    def export(self, call: Call) -> None:
        from edgesweep.export.axes import trace_sizes
        from edgesweep.models.inputs import example_sizes, inputs_at
        from torch.export import Dim

        model, dimensions = self._model, self.dimensions(call.axes)
        inputs = inputs_at(model, trace_sizes(dimensions, example_sizes(model), model.ranges))
        dims = {}
        for name in dimensions:
            low, high = model.ranges.get(name, (None, None))
            dims[name] = Dim(name, min=low, max=high)
        shapes = {
            path: {axis: dims[name] for axis, name in model.dynamic.get(path, {}).items() if name in dims}
            for path in inputs
        }
        self._torch.onnx.export(
            model.module,
            (),
            call.path,
            kwargs=inputs,
            dynamo=True,
            opset_version=call.opset,
            input_names=list(inputs),
            output_names=list(model.output_names),
            dynamic_shapes=shapes if dims else None,
            external_data=True,
            verbose=False,
        )

    def prove(self, call: Call) -> bool:
        """Whether the file holds up: checked and run at every size against torch, as ours does, all in this process.

        A file that fails a check is not looked at further, here as there.
        """
        import onnx
        from edgesweep.export.artifacts.facts import facts_of
        from edgesweep.export.proof.allowed import tolerance_for
        from edgesweep.export.proof.check import check_dimensions, check_graph, check_opset
        from edgesweep.export.proof.tolerance import compare

        path = Path(call.path)
        loaded = onnx.load(path, load_external_data=False)
        facts = facts_of(loaded)
        if check_opset(facts, call.opset) is not None:
            return False
        dynamic = {
            name: {axis: dimension for axis, dimension in axes.items() if dimension in self.dimensions(call.axes)}
            for name, axes in self._model.dynamic.items()
        }
        if check_graph(path, loaded) or check_dimensions(facts, dynamic):
            return False
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = self._ort.InferenceSession(call.path, options, providers=["CPUExecutionProvider"])
        for sizes in self.sizes(call.axes):
            feeds, references = self._at(sizes)
            for got, want in zip(session.run(None, feeds), references, strict=True):
                if not compare(got, want, tolerance_for("fp32")).agrees:
                    return False
        return True

    def _at(self, sizes: dict[str, int]) -> tuple[Any, Any]:
        """Inputs and torch's outputs at `sizes`; torch runs once for each, as ours does per profile."""
        from edgesweep.models.inputs import inputs_at, tensors_in

        key = tuple(sizes.items())
        if key not in self._references:
            inputs = inputs_at(self._model, sizes)
            with self._torch.no_grad():
                outputs = self._model.module(**inputs)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            feeds = {name: tensor.numpy() for name, tensor in tensors_in(inputs).items()}
            self._references[key] = feeds, [output.numpy() for output in outputs]
        return self._references[key]


def _canonical_digest(path: Path) -> str:
    """The digest of a file's canonical form, as an artifact's manifest names it."""
    from edgesweep.export.artifacts.blobs import Blobs
    from edgesweep.export.artifacts.canonical import canonicalise
    from edgesweep.export.workers.pipeline import store_artifact

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "canonical").mkdir()
        canonical = canonicalise(path, folder / "canonical")
        return store_artifact(canonical, Blobs(folder / "blobs"), folder / "originals").digest


def jobs_of(model: str, opsets: tuple[int, ...], profiles: tuple[str, ...]) -> list[ExportJob]:
    """The matrix, as the service takes it."""
    source = ModelSource(SourceKind.ZOO, model, model)
    return [
        ExportJob(source, Variant(model, "dynamo", opset, axes), (Shape(),)) for axes in profiles for opset in opsets
    ]


def calls_of(jobs: list[ExportJob], folder: Path) -> list[Call]:
    """The same matrix, as the plain loop takes it; each file in a folder of its own."""
    calls = []
    for job in jobs:
        place = folder / job.variant.slug
        place.mkdir(parents=True, exist_ok=True)
        calls.append(Call(job.variant.opset, job.variant.axes, str(place / "model.onnx")))
    return calls


async def ours(service: ExportService, jobs: list[ExportJob]) -> tuple[float, list[ExportResult]]:
    """Seconds that the service took for the jobs, and its results."""
    begun = time.perf_counter()
    results = [result async for result in service.export(jobs)]
    return time.perf_counter() - begun, results


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """An empty folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edgesweep-bench-") as name:
        yield Path(name)


class Rounds:
    """Figures by mode and side, round by round."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, list[float]]] = {mode: {"loop": [], "edgesweep": []} for mode in BARS}
        self.equal: dict[str, bool] = {}
        self.failed: set[str] = set()
        self.disputed: set[str] = set()

    def add(self, mode: str, loop_s: float, ours_s: float) -> None:
        """Take in one round of one mode."""
        self.seconds[mode]["loop"].append(loop_s)
        self.seconds[mode]["edgesweep"].append(ours_s)
        sys.stderr.write(f"{mode}: loop {loop_s:.2f} s, edgesweep {ours_s:.2f} s\n")

    def document(self) -> dict[str, Any]:
        """Per mode: seconds of each round, medians, their ratio, and the bar for it."""
        found = {}
        for mode, sides in self.seconds.items():
            if not sides["loop"]:
                continue
            loop_s, ours_s = statistics.median(sides["loop"]), statistics.median(sides["edgesweep"])
            found[mode] = {
                "loop_s": [round(value, 3) for value in sides["loop"]],
                "edgesweep_s": [round(value, 3) for value in sides["edgesweep"]],
                "loop_median_s": round(loop_s, 3),
                "edgesweep_median_s": round(ours_s, 3),
                "ratio": round(ours_s / loop_s, 4),
                "bar": BARS[mode],
                "within": ours_s / loop_s <= BARS[mode],
            }
        return found


async def one_round(loop: Loop, jobs: list[ExportJob], rounds: Rounds, first: str) -> None:
    """Every mode once, the sides in turns; `first` says who begins."""
    with fresh_folder() as files, fresh_folder() as unproven, fresh_folder() as proven:
        calls = calls_of(jobs, files)
        async with ExportService(unproven, slots=SLOTS, proof=False) as service:
            await service.warm_up()
            taken = await _in_turns(first, lambda: loop.run(calls, prove=False), lambda: ours(service, jobs))
        rounds.add("export", taken[0], taken[1][0])
        bare_s = taken[0]
        async with ExportService(proven, slots=SLOTS) as service:
            await service.warm_up()
            taken = await _in_turns(first, lambda: loop.run(calls, prove=True), lambda: ours(service, jobs))
            rounds.add("proven", taken[0], taken[1][0])
            digests = await asyncio.to_thread(loop.digests, calls)
            compare_files(calls, digests, jobs, taken[1][1], rounds)
            compare_verdicts(calls, loop.held, jobs, taken[1][1], rounds)
        # Another process than the one that exported: nothing but the folder is warm.
        async with ExportService(proven, slots=SLOTS) as service:
            await service.warm_up()
            warm_s, results = await ours(service, jobs)
        if not all(result.cached for result in results):
            raise SystemExit("the warm round found something missing from its cache")
        rounds.add("warm", bare_s, warm_s)


async def _in_turns(first: str, run_loop: Any, run_ours: Any) -> tuple[float, tuple[float, list[ExportResult]]]:
    """Both sides, one after the other, never at once."""
    if first == "loop":
        loop_s = await asyncio.to_thread(run_loop)
        return loop_s, await run_ours()
    own = await run_ours()
    return await asyncio.to_thread(run_loop), own


def compare_files(
    calls: list[Call], digests: dict[str, str], jobs: list[ExportJob], results: list[ExportResult], rounds: Rounds
) -> None:
    """Hold the files of one round against each other."""
    by_slug = {result.variant.slug: result for result in results}
    for call, job in zip(calls, jobs, strict=True):
        slug = job.variant.slug
        produced = by_slug[slug].produced
        same = produced is not None and produced.digest == digests[call.path]
        rounds.equal[slug] = rounds.equal.get(slug, True) and same
        if not by_slug[slug].passed:
            rounds.failed.add(f"{slug}: {by_slug[slug].cause}")


def compare_verdicts(
    calls: list[Call], held: set[str], jobs: list[ExportJob], results: list[ExportResult], rounds: Rounds
) -> None:
    """Note the variants that one side passed and the other did not."""
    passed = {result.variant.slug for result in results if result.passed}
    for call, job in zip(calls, jobs, strict=True):
        if (call.path in held) != (job.variant.slug in passed):
            rounds.disputed.add(job.variant.slug)


async def cancel_seconds(model: str) -> float:
    """Seconds from cancelling an export that is in the middle of its capture until its processes are gone."""
    begun_capture = asyncio.Event()
    jobs = jobs_of(model, (18,), ("full",))
    with fresh_folder() as folder:
        async with ExportService(folder, slots=1) as service:
            service.on_step = lambda _variant, step: begun_capture.set() if step == "capture" else None
            results = service.export(jobs)
            reading = asyncio.ensure_future(anext(results))
            await begun_capture.wait()
            begun = time.perf_counter()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            return time.perf_counter() - begun


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the rounds and sum them up."""
    opsets = (18, 20) if options.quick else OPSETS
    profiles = ("static", "full") if options.quick else AXES
    jobs = jobs_of(options.model, opsets, profiles)
    rounds = Rounds()
    loop = Loop(options.model, threads=len(os.sched_getaffinity(0)))
    try:
        with fresh_folder() as folder:
            # Whatever is slow the first time only is not what is measured here.
            loop.run(calls_of(jobs[:1], folder), prove=True)
        for index in range(options.rounds):
            await one_round(loop, jobs, rounds, "loop" if index % 2 == 0 else "edgesweep")
        cancel_s = await cancel_seconds(options.model)
    finally:
        loop.close()
    unequal = sorted(slug for slug, same in rounds.equal.items() if not same)
    return {
        "benchmark": "export",
        "model": options.model,
        "opsets": list(opsets),
        "axes": list(profiles),
        "variants": len(jobs),
        "rounds": options.rounds,
        "cores": len(os.sched_getaffinity(0)),
        "slots": SLOTS,
        "modes": rounds.document(),
        "bytes_equal": not unequal,
        "unequal": unequal,
        "not_passed": sorted(rounds.failed),
        "disputed": sorted(rounds.disputed),
        "cancel_s": round(cancel_s, 3),
        "cancel_bar_s": CANCEL_BAR_S,
        "told": (
            "export: neither side checks or proves; ours also runs the model at the proof's sizes, canonicalises, hashes and "
            "stores. proven: the same checks and sizes on both sides; the loop runs onnxruntime in its own process, ours in "
            "a process apart. warm: ours from its cache, against the loop's export alone."
        ),
    }


def main() -> int:
    """Print the figures; exit status 1 when one of them misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="text-encoder", help="a model of the zoo (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every mode (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="four variants and one round, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    found = asyncio.run(measure(options))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    met = all(mode["within"] for mode in found["modes"].values())
    return 0 if met and found["bytes_equal"] and found["cancel_s"] <= CANCEL_BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
