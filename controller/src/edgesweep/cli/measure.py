"""`edgesweep measure`: one `.onnx` file on this very machine, without an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgesweep.cli.options import Settings, pass_settings, print_json

_EPILOG = """\b
Examples:
  edgesweep measure resnet50.onnx                          three fresh processes, one table
  edgesweep measure m.onnx --shape batch=8 --threads 4     sizes of dynamic dimensions, threads
  edgesweep measure m.onnx --shape image=1x3x224x224       or all sizes of an input
  edgesweep measure m.onnx --inputs in.npz --references out.npz
  edgesweep measure m.onnx --runtime old/bin/python        with another environment's onnxruntime
  edgesweep measure m.onnx -o json | jq .latency_s.median
"""

_FILE = click.Path(path_type=Path, dir_okay=False)
#: So many inferences stand for no limit of their number.
_NO_LIMIT = 2**31 - 1
#: Seconds after which a trial that was asked for a number of inferences ends all the same.
_LONGEST_S = 3600.0


@click.command(epilog=_EPILOG)
@click.argument("model", metavar="MODEL.onnx", type=_FILE)
@click.option(
    "--ep", "providers", default="cpu", show_default=True, metavar="CHAIN", help="Providers in order: cuda,cpu."
)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Intra-op threads.")
@click.option(
    "--preset",
    type=click.Choice(["smoke", "quick", "nightly", "baseline"]),
    default="quick",
    show_default=True,
    help="How much care is taken: 1, 3, 5 or 10 fresh processes.",
)
@click.option("--trials", type=click.IntRange(1, 1000), help="Fresh processes, instead of the preset's number.")
@click.option("--warmup", type=click.IntRange(0, _NO_LIMIT), metavar="N", help="Inferences before it counts, at least.")
@click.option(
    "--iterations",
    type=click.IntRange(1, _NO_LIMIT),
    metavar="N",
    help="Inferences that count: no more, and no fewer but for whole batches.",
)
@click.option("--duration", type=click.FloatRange(0, 86400, min_open=True), metavar="S", help="Seconds that count.")
@click.option(
    "--io", type=click.Choice(["bound", "host"]), default="bound", show_default=True, help="I/O binding, or numpy."
)
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=SIZES", help="image=1x3x224x224 or batch=4; repeatable."
)
@click.option("--inputs", type=_FILE, metavar="FILE.npz", help="Arrays to feed it with, by input name.")
@click.option("--references", type=_FILE, metavar="FILE.npz", help="Outputs that it must give for them.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=1, show_default=True, help="Callers at a time.")
@click.option(
    "--period", type=click.FloatRange(0, 86400, min_open=True), metavar="S", help="Start one every S seconds."
)
@click.option(
    "--opt-level",
    type=click.Choice(["disabled", "basic", "extended", "all"]),
    default="all",
    show_default=True,
    help="onnxruntime's graph optimisation.",
)
@click.option("--runtime", "python", metavar="PYTHON", help="Measure with the onnxruntime of another interpreter.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of inputs made up.")
@click.option("--fix-clocks", is_flag=True, help="Fix the CPU's clock while it measures, where that is allowed.")
@click.option("--node-profile", is_flag=True, help="Tell the time of single nodes, from runs that are not timed.")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form.")
@pass_settings
def measure(
    settings: Settings,
    *,
    model: Path,
    providers: str,
    threads: int,
    preset: str,
    trials: int | None,
    warmup: int | None,
    iterations: int | None,
    duration: float | None,
    io: str,
    shapes: tuple[str, ...],
    inputs: Path | None,
    references: Path | None,
    concurrency: int,
    period: float | None,
    opt_level: str,
    python: str | None,
    seed: int,
    fix_clocks: bool,
    node_profile: bool,
    output: str,
) -> int:
    """Measure MODEL.onnx on this machine: latency, memory, cold start, placement, and whether the numbers can be trusted.

    Each trial is a fresh process, run as an agent runs it, by the same code. Nothing listens and nothing is stored. Exit
    codes: 0 measured, whatever the verdict; 1 the model fails, with stage and cause; 2 wrong file or option; 4 the machine
    is in the way.
    """
    from edgesweep.cli.interrupt import Stopped, run_until_stopped
    from edgesweep.cli.measuring import shown_steps
    from edgesweep.failures.retell import retell
    from edgesweep.failures.rules_file import read_rules
    from edgesweep.home import find_home
    from edgesweep.report.measured import measured_document, measured_table
    from edgesweep.sweep.measure import Request, exit_code_of, measure_file

    if period is not None and concurrency > 1:
        raise click.UsageError("--period starts one inference at a time, and --concurrency keeps several under way")
    session: dict[str, Any] = {
        "threads": threads,
        "graph_optimization": opt_level,
        "io_mode": io,
        "concurrency": concurrency,
        "scenario": "closed" if period is None else f"paced={period:.9f}".rstrip("0").rstrip("."),
    }
    flags = {"fix_clocks": fix_clocks, "node_profile": node_profile}
    care = {"preset": preset, "trials": trials, "warmup_min_runs": warmup, **_limits(iterations, duration)}
    request = Request(
        model,
        shapes,
        inputs,
        references,
        providers,
        session,
        care | {name: True for name, given in flags.items() if given},
        python,
        seed,
    )
    home = find_home()
    rules = read_rules(home.rules)
    try:
        view = retell(run_until_stopped(measure_file(home, request, shown_steps(settings))), rules)
    except Stopped as stopped:
        click.echo("interrupted; nothing of it is kept", err=True)
        return stopped.exit_code
    document = measured_document(view)
    if output == "json":
        print_json(document)
    else:
        settings.console().print(measured_table(document))
    return exit_code_of(view)


def _limits(iterations: int | None, duration: float | None) -> dict[str, Any]:
    """When a trial ends: after exactly so many inferences, after so many seconds, or when both are reached."""
    if iterations is None and duration is None:
        return {}
    if iterations is None:
        both = {"min_duration_s": duration, "max_duration_s": duration, "max_inferences": _NO_LIMIT}
    elif duration is None:
        both = {"min_inferences": iterations, "max_inferences": iterations}
        both |= {"min_duration_s": 0.0, "max_duration_s": _LONGEST_S}
    else:
        both = {"min_inferences": iterations, "max_inferences": _NO_LIMIT}
        both |= {"min_duration_s": duration, "max_duration_s": max(duration, _LONGEST_S)}
    # What was asked for is what is done: it does not end sooner or later for the interval's sake.
    return {**both, "target_half_width": 0.0}
