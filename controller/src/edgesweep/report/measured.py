"""What `edgesweep measure` tells: one cell, with the fields that it has in the result document, and the machine it ran on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.plan.tolerances import PLAN, PROVIDER
from edgesweep.report import units
from edgesweep.report.document import build_document
from edgesweep.report.facts import beside_the_median, placement_text, sensors, short_provider
from edgesweep.report.node_profiles import profile_view
from edgesweep.report.outcomes import session_of
from edgesweep.report.plain_data import Json
from edgesweep.report.reasons import short_reason
from edgesweep.report.tables import Adaptive, plain_table, styled
from edgesweep.store.records import RunView

#: The percentiles that a row shows, and what to call them.
_PERCENTILES = ("p10", "p90", "p95", "p99")
_COLD = (
    ("import", "import"),
    ("provider_load", "provider"),
    ("session", "session"),
    ("first_run", "first run"),
    ("second_run", "second run"),
)
_PHASES = (
    ("session_peak", "session"),
    ("first_run_peak", "first run"),
    ("steady_peak", "steady"),
    ("retained", "retained"),
)
#: Phases of an accelerator's own memory, the latest first: what is held there only grows.
_ON_DEVICE = ("device_steady", "device_first_run", "device_session")
_GATES = {"idle": "idle", "thermal": "cool"}
_DIGEST_CHARS = 12
_NODES = 10


def measured_document(view: RunView) -> Json:
    """One object: the cell's fields as in the result document, and beside them `file`, `run` and `machine`.

    `machine` is what the result document tells of a device, `run` what it tells of the run.
    """
    whole = build_document(view)
    (cell,), (machine,) = whole["cells"], whole["devices"]
    return {
        "schema_version": whole["schema_version"],
        "file": view.run.plan["models"][0]["onnx"],
        "preset": view.run.plan["measure"]["preset"],
        "run": whole["run"],
        **cell,
        "machine": {key: machine[key] for key in ("facts", "runtimes", "reading")},
    }


def measured_table(doc: Json) -> RenderableType:
    """The same for people: what was measured, the numbers, how far they can be trusted and why not."""

    def build(_width: int) -> RenderableType:
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        for name, text in _rows(doc):
            facts.add_row(name, text)
        parts: list[RenderableType] = [Text(f"{doc['model']}  {_model_text(doc)}", style="bold"), Text(), facts]
        if doc["latency_s"] and len(doc["trials"]) > 1:
            parts += [Text(), _trials(doc)]
        if nodes := profile_view(doc):
            parts += [Text(), *_nodes_of(nodes)]
        return Group(*parts, Text(), *_ending(doc))

    return Adaptive(build)


def _model_text(doc: Json) -> str:
    produced = doc.get("produced") or {}
    if not produced:
        return ""
    return f"opset {produced['opset']}, IR {produced['ir_version']}, {units.plural(produced['nodes'], 'node')}, " + (
        units.size(produced["size_bytes"])
    )


def _rows(doc: Json) -> Iterable[tuple[str, str]]:
    """Name and text of every fact that is known."""
    facts = doc["machine"]["facts"] or {}
    rows = [
        ("machine", ", ".join(filter(None, [facts.get("board"), facts.get("cpu_model"), facts.get("machine")]))),
        ("state", sensors(doc["machine"]["reading"])),
        ("asked", _asked(doc)),
        ("inputs", "\n".join(map(_input, doc["inputs"]))),
        *_latency(doc),
        ("memory", _memory(doc["memory_bytes"])),
        ("cold start", _cold(doc["cold_start_s"])),
        ("threads", _threads(doc)),
        ("placement", _placement(doc)),
        ("outputs", _numerics(doc["numerics"])),
        ("floor", _floor(doc)),
        ("around", _around(doc)),
        ("besides", "\n".join(beside_the_median(doc))),
    ]
    return [(name, text) for name, text in rows if text]


def _asked(doc: Json) -> str:
    session = session_of(doc)
    chain = ",".join(map(short_provider, doc["providers"]))
    shape = "" if doc["shape"] == "example" else f", shape {doc['shape']}"
    return f"onnxruntime {doc['runtime']} on {chain}, session {session}{shape}, preset {doc['preset']}"


def _input(tensor: Mapping[str, Any]) -> str:
    sizes = "x".join(map(str, tensor["shape"])) or "scalar"
    return f"{tensor['name']} {tensor['dtype']} {sizes}, sha256 {tensor['sha256'][:_DIGEST_CHARS]}"


def _latency(doc: Json) -> Iterable[tuple[str, str]]:
    found = doc["latency_s"]
    if not found:
        return
    unit = units.time_unit([found["median"]])
    median = f"median {unit.show(found['median'])} {unit.symbol}"
    spread = f" ±{units.spread(found['mad'] / unit.size, found['median'] / unit.size)} (MAD)"
    interval = ""
    if found["ci95"]:
        low, high = (unit.show(value) for value in found["ci95"])
        interval = f", 95 % interval {low} to {high}"
    several = units.plural(len(doc["trials"]), "trial")
    batch = f", timed in batches of {found['batch']}" if found["batch"] > 1 else ""
    yield "latency", f"{median}{spread}{interval}, n={units.count(found['n'])} in {several}{batch}"
    need = found["need"] or {}
    shown = [
        f"{name} {unit.show(found[name])}" if found[name] is not None else f"{name} needs n={need[name]}"
        for name in _PERCENTILES
        if found[name] is not None or name in need
    ]
    yield "", f"{', '.join(shown)}, min {unit.show(found['min'])}, mean {unit.show(found['mean'])}"
    rate = doc["throughput_per_s"]
    if rate:
        items = f", {units.number(rate['items'])} items/s" if doc["items_per_inference"] > 1 else ""
        yield "throughput", f"{units.number(rate['inferences'])} inferences/s{items}"


def _memory(found: Json | None) -> str:
    if not found:
        return ""
    shown = [f"{word} {units.size(found[name])}" for name, word in _PHASES if found.get(name) is not None]
    # How each was read stands in the JSON, phase by phase.
    lines = [f"peaks over the loaded worker: {', '.join(shown)}"] if shown else []
    on_device = next((found[name] for name in _ON_DEVICE if found.get(name) is not None), None)
    if on_device is not None:
        lines.append(f"of the accelerator's own: {units.size(on_device)}")
    return "\n".join(lines)


def _cold(found: Json | None) -> str:
    if not found:
        return ""
    return ", ".join(f"{word} {units.seconds(found[name])}" for name, word in _COLD if found.get(name) is not None)


def _threads(doc: Json) -> str:
    """Threads as they were found in the first trial that tells of them."""
    for trial in doc["trials"]:
        threads, session = trial.get("threads"), trial.get("session")
        if threads:
            # Threads that are held to nothing say the same many times over; where each caller was is not kept.
            places = dict.fromkeys(map(str, [*threads["main_cpus"], *threads["pool_cpus"]]))
            where = f" (CPU {', '.join(places)})" if places and doc["concurrency"] == 1 else ""
            held = "each held to its core" if threads["pinned"] else "not pinned"
            note = f": {threads['note']}" if threads.get("note") else ""
            count = units.plural(session["intra_op_threads"], "thread") if session else "threads"
            callers = f", {doc['concurrency']} callers at a time" if doc["concurrency"] > 1 else ""
            return f"{count}{callers}, {held}{note}{where}"
    return ""


def _numerics(found: Json | None) -> str:
    if not found:
        return ""
    note = found["reference_note"]
    if found["max_absolute_error"] is None:
        return str(note)
    off = f", first off: {found['first_offender']}" if found["first_offender"] else ""
    sampled = f" at {found['sampled_elements']:,} elements" if found["sampled_elements"] else ""
    allowed = {PLAN: "held to the tolerance of the plan", PROVIDER: found["tolerance_note"]}.get(
        found["tolerance_from"], ""
    )
    compared = f"{found['outputs_compared']} compared{sampled}, largest error {found['max_absolute_error']:.3g}{off}"
    return "; ".join(filter(None, [compared, allowed, note]))


def _floor(doc: Json) -> str:
    """What of each inference is the harness's own, by the null model on this runtime."""
    floor = doc["harness_floor_s"]
    if floor is None:
        return ""
    median = (doc["latency_s"] or {}).get("median")
    share = f", {floor / median:.2%} of the median" if median and median > floor else ""
    session = next((trial["session"] for trial in doc["trials"] if trial.get("session")), None) or {}
    call = f"; called by {session['call']}" if session.get("call") else ""
    cost = session.get("call_cost_s")
    dearer = f", {units.seconds(cost)} above the cheapest call" if cost else ""
    return f"{units.seconds(floor)} for a model that does nothing{share}{call}{dearer}"


def _around(doc: Json) -> str:
    """What the trials waited for, and what was watched meanwhile."""
    found = doc["environment"] or {}
    words = []
    for gate in found.get("gates") or []:
        state = _GATES.get(gate["name"], gate["name"])
        if gate["waited_s"] >= 1:
            words.append(f"waited {gate['waited_s']:.0f} s for the machine to be {state}")
        if not gate["passed"]:
            words.append(f"began although it was not {state}")
    trace = found.get("trace")
    if trace:
        hottest = max(trace["temperature_max_c"].values(), default=None)
        slowest = min(trace["frequency_min_hz"].values(), default=None)
        words.append(f"{units.plural(trace['readings'], 'look')} at its sensors")
        words += [f"{hottest:.0f} °C at most"] if hottest is not None else []
        words += [f"{slowest / 1e9:.2f} GHz at least"] if slowest is not None else []
        words += list(trace["changes"])
    return ", ".join(words)


def _placement(doc: Json) -> str:
    found = doc["placement"]
    return f"{placement_text(doc)} {'node' if _nodes(found) == 1 else 'nodes'} (by {found['method']})" if found else ""


def _nodes(found: Json) -> int:
    return sum(int(share["nodes"]) for share in found["shares"])


def _trials(doc: Json) -> Table:
    table = plain_table()
    unit = units.time_unit([doc["latency_s"]["median"]])
    table.add_column("trial", justify="right")
    for head in (f"median {unit.symbol}", f"± {unit.symbol}", "n", "p99"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("ended by", no_wrap=True)
    table.add_column("tags", overflow="fold")
    for trial in doc["trials"]:
        found, samples = trial["latency_s"], trial["samples"] or {}
        tags = (trial["environment"] or {}).get("tags") or []
        if not found:
            table.add_row(str(trial["round"] + 1), *["-"] * 4, trial["cause"] or trial["outcome"], ", ".join(tags))
            continue
        table.add_row(
            str(trial["round"] + 1),
            unit.show(found["median"]),
            units.spread(found["mad"] / unit.size, found["median"] / unit.size),
            units.count(found["n"]),
            unit.show(found["p99"]) if found["p99"] is not None else f"n<{found['need']['p99']}",
            samples.get("stop_reason", ""),
            ", ".join(tags),
        )
    return table


def _nodes_of(view: Json) -> Iterable[RenderableType]:
    """The slowest nodes, and what they are to all nodes together."""
    table = plain_table()
    table.add_column("node", overflow="fold")
    table.add_column("operator", overflow="fold")
    table.add_column("provider", no_wrap=True)
    for head in (f"time {view['unit']}", "share", "calls"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, operator, provider, time, share, calls, _ in view["nodes"][:_NODES]:
        table.add_row(Text(name), Text(operator), provider, time, share, calls)
    yield table
    more = view["more_nodes"] + len(view["nodes"]) - min(_NODES, len(view["nodes"]))
    rest = f"; {units.plural(more, 'node')} more are in -o json" if more else ""
    yield Text(
        f"{view['total']} in nodes, with the profiler on, which is slower than the timed session{rest}", style="dim"
    )


def _ending(doc: Json) -> Sequence[RenderableType]:
    """The verdict with its reasons, or the stage, the cause and what to do about it."""
    if doc["outcome"] != "pass":
        where = f" at {doc['stage']}: {doc['cause']}" if doc["cause"] else ""
        lines = [styled(doc["outcome"], f"{doc['outcome']}{where}")]
        lines += [Text(doc["message"])] if doc["message"] else []
        lines += [Text(f"-> {doc['remedy']}", style="bold")] if doc["remedy"] else []
        detail = "\n".join(str(doc["detail"] or "").splitlines()[-6:])
        return [*lines, *([Padding(Text(detail, style="dim"), (0, 0, 0, 2))] if detail else [])]
    verdict = Text.assemble(
        styled(doc["verdict"] or ""), "" if doc["reasons"] else ": nothing speaks against the number"
    )
    return [verdict, *(Padding(_reason(str(reason)), (0, 0, 0, 2)) for reason in doc["reasons"])]


def _reason(reason: str) -> Text:
    name = short_reason(reason)
    return Text.assemble((name, "bold"), reason.removeprefix(name)) if reason.startswith(name) else Text(reason)
