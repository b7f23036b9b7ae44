"""Single facts of a cell or a device as short texts, the same in every renderer for people."""

from __future__ import annotations

from edgesweep.report import units
from edgesweep.report.agreement_text import answers_beside
from edgesweep.report.compile_text import compile_texts
from edgesweep.report.outcomes import Cell, Doc
from edgesweep.report.placement_texts import placement_beside
from edgesweep.stats.placement import short


def short_provider(name: str) -> str:
    """`cpu` for `CPUExecutionProvider`; short names stay."""
    return short(name)


def peak_memory(cell: Cell) -> float | None:
    """The steady peak in bytes, or the highest peak known when the steady one is not; None where it does not repeat."""
    memory = cell.get("memory_bytes") or {}
    if varying_memory(cell) is not None:
        return None
    if memory.get("steady_peak") is not None:
        return float(memory["steady_peak"])
    peaks = [memory[key] for key in ("first_run_peak", "session_peak") if memory.get(key) is not None]
    return float(max(peaks)) if peaks else None


def varying_memory(cell: Cell) -> tuple[float, float] | None:
    """Smallest and largest steady peak in bytes where the trials do not repeat it; None where it is a figure."""
    memory = cell.get("memory_bytes") or {}
    found = (memory.get("ranges") or {}).get("steady_peak")
    return (float(found[0]), float(found[1])) if found and memory.get("steady_peak") is None else None


def beside_the_median(cell: Cell, *, placed: bool = True) -> list[str]:
    """What else the measurement of a cell says, as short texts: placement, minutes, energy, memory that varies, caches, outputs.

    Args:
        cell: a cell of the result document.
        placed: whether its placement belongs to it; the page has tables of that.
    """
    texts = []
    sustained, energy, left_out = (
        cell.get("sustained"),
        cell.get("energy") or {},
        (cell.get("course") or {}).get("left_out"),
    )
    if sustained:
        texts.append(f"minute {len(sustained['minutes_s'])} is {sustained['ratio']:.2f} times the first")
    if energy.get("joules_per_inference") is not None:
        joules = energy["joules_per_inference"]
        shown = f"{units.number(joules)} J" if joules >= 1 else f"{units.number(joules * 1e3)} mJ"
        texts.append(f"{shown} an inference by {energy['source']}")
    varies = varying_memory(cell)
    if varies:
        texts.append(f"memory varies from {units.size(varies[0])} to {units.size(varies[1])}")
    cold = cell.get("cold_start_s") or {}
    if cold.get("page_cache") == "cold":
        texts.append("started from a cold page cache")
    if cold.get("provider_cache") in {"empty", "primed"}:
        texts.append(f"started with the provider's cache {cold['provider_cache']}")
    if compiled := cell.get("compile"):
        texts += compile_texts(compiled, short_provider(compiled["provider"]), cell.get("tags") or ())
    if left_out:
        texts.append(f"{units.plural(left_out, 'sample')} of a late warm-up left out")
    return [*(placement_beside(cell) if placed else ()), *texts, *answers_beside(cell)]


def placement_text(cell: Cell) -> str:
    """`cpu 65`, or `xnnpack 60, cpu 5`: nodes by the provider that ran them."""
    shares = (cell.get("placement") or {}).get("shares") or []
    return ", ".join(f"{short_provider(share['provider'])} {share['nodes']}" for share in shares) or units.NOTHING


def device_facts(device: Doc) -> list[tuple[str, str]]:
    """The facts of a device that a reader asks for, named and with units; those not found are left out."""
    facts = device.get("facts") or {}
    labels = ", ".join(f"{key}={value}" for key, value in (device.get("labels") or {}).items())
    cpus = facts.get("allowed_cpus") or []
    count = f"{facts.get('cpu_count')} CPUs" + (
        f", {len(cpus)} allowed" if cpus and len(cpus) != facts.get("cpu_count") else ""
    )
    memory = facts.get("memory_total_bytes")
    pairs = [
        ("board", facts.get("board")),
        ("processor", ", ".join(filter(None, [facts.get("cpu_model"), count if facts.get("cpu_count") else ""]))),
        ("clusters", "; ".join(map(_cluster, facts.get("clusters") or []))),
        ("clocks", f"can be fixed through {facts['clock_control']}" if facts.get("clock_control") else ""),
        ("architecture", facts.get("machine")),
        (
            "memory",
            f"{units.size(memory)}{', shared with the accelerator' * bool(facts.get('unified_memory'))}"
            if memory
            else "",
        ),
        ("system", ", ".join(filter(None, [facts.get("system"), facts.get("kernel"), facts.get("libc")]))),
        (
            "agent",
            f"{facts['agent_version']}, Python {facts.get('python_version')}" if facts.get("agent_version") else "",
        ),
        ("address", device.get("address")),
        ("labels", labels),
        ("host", "shared with the controller: numbers are tagged shared_host" if device.get("colocated") else ""),
        ("emulated", "yes: its timing says nothing about the real board" if facts.get("emulated") else ""),
        ("now", sensors(device.get("reading"))),
    ]
    return [(name, str(value)) for name, value in pairs if value]


def _cluster(cluster: Doc) -> str:
    """`CPUs 0, 1, 2, 3 up to 2.40 GHz`."""
    clock = f" up to {cluster['max_hz'] / 1e9:.2f} GHz" if cluster.get("max_hz") else ""
    return f"CPUs {', '.join(map(str, cluster['cpus']))}{clock}"


def sensors(reading: Doc | None) -> str:
    """A reading of the sensors as one line with units; empty without a reading."""
    if not reading:
        return ""
    temperatures = reading.get("temperatures_c") or {}
    frequencies = reading.get("frequencies_hz") or {}
    governors = sorted(set((reading.get("governors") or {}).values()))
    parts = [f"{max(temperatures.values()):.0f} °C hottest"] if temperatures else []
    parts += [f"{max(frequencies.values()) / 1e9:.2f} GHz fastest core"] if frequencies else []
    parts += [f"governor {', '.join(governors)}"] if governors else []
    parts += [f"power mode {reading['power_mode']}"] if reading.get("power_mode") else []
    parts += [f"load {reading['load_1m']:.2f}"] if reading.get("load_1m") is not None else []
    parts += [f"throttled: {', '.join(reading['throttle'])}"] if reading.get("throttle") else []
    return ", ".join(parts)


def host_text(host: Doc) -> str:
    """The controller's host as one line: known facts by name and with units, others as they are."""
    memory, cpus = host.get("memory_total_bytes"), host.get("cpu_count")
    known = {"memory_total_bytes", "cpu_count", "python"}
    parts = [str(value) for key, value in host.items() if key not in known and isinstance(value, str) and value]
    parts += [units.plural(cpus, "CPU")] if cpus else []
    parts += [f"{units.size(memory)} memory"] if memory else []
    parts += [f"Python {host['python']}"] if host.get("python") else []
    return ", ".join(parts)
