"""A result document with every outcome in it, in the fields of the result contract, for the renderers' tests."""

from __future__ import annotations

import math
from typing import Any

import pytest
from edgesweep.errors import CATALOGUE, remedy_for

Doc = dict[str, Any]
MODELS = ("mobile-cnn", "tiny-transformer", "segmenter")
EXPORTERS = ("dynamo", "torchscript")
PLACES = (
    ("quickstart", "1.23.2", ("cpu",)),
    ("pi5-kitchen", "1.23.2", ("cpu",)),
    ("pi5-kitchen", "1.23.2", ("xnnpack", "cpu")),
)


def _latency(median: float, n: int) -> Doc:
    return {
        "median": median,
        "p10": median * 0.97,
        "p90": median * 1.06,
        "p95": median * 1.1 if n >= 200 else None,
        "p99": median * 1.4 if n >= 1000 else None,
        "mean": median * 1.02,
        "min": median * 0.95,
        "mad": median * 0.021,
        "n": n,
        "ci95": [median * 0.99, median * 1.01],
        "need": {} if n >= 1000 else {"p99": 1000},
    }


def _ending(outcome: str | None, stage: str, cause: str = "", message: str = "", detail: str = "") -> Doc:
    text = message or (CATALOGUE[cause].text if cause else "")
    return {
        "outcome": outcome,
        "stage": stage,
        "cause": cause,
        "message": text,
        "remedy": remedy_for(cause),
        "detail": detail,
    }


def _end_of(  # noqa: PLR0911 - a line per way to end
    model: str, exporter: str, opset: int, axes: str, place: tuple[str, str, tuple[str, ...]], shape: str
) -> Doc:
    device, _, providers = place
    if exporter == "torchscript" and opset == 23:
        return _ending("failed", "check", "opset_not_honoured", "asked for opset 23, the file has 20")
    if model == "segmenter" and exporter == "torchscript" and axes == "batch":
        message = "input x: dimension batch came out as 2"
        return _ending(
            "failed", "check", "dynamic_dim_static", message, "proof at batch=3: INVALID_ARGUMENT: Got 3 Expected 2"
        )
    if model == "segmenter" and opset == 13:
        return _ending("skipped", "plan", "excluded", "https://tracker.invalid/1234 until 2027-01-31")
    if model == "tiny-transformer" and providers[0] == "xnnpack":
        return _ending("fallback", "placement", "no_nodes", "XnnpackExecutionProvider got 0 of 112 nodes")
    if device == "pi5-kitchen" and model == "segmenter" and opset == 23 and shape != "example":
        return _ending(
            "failed", "warmup", "oom", "the kernel killed the worker at 7.4 GiB", "Killed process 812 (python)"
        )
    if device == "pi5-kitchen" and model == "segmenter" and opset == 23:
        return _ending("lost", "upload", "device_unreachable", "no answer for 120 s")
    if device == "pi5-kitchen" and model == "mobile-cnn" and opset == 23 and shape != "example":
        return _ending(None, "")
    return _ending("pass", "placement")


def _cell(
    model: str, exporter: str, opset: int, axes: str, place: tuple[str, str, tuple[str, ...]], shape: str, index: int
) -> Doc:
    device, runtime, providers = place
    end = _end_of(model, exporter, opset, axes, place, shape)
    exported = end["cause"] != "excluded"
    measured = end["outcome"] in {"pass", "fallback"}
    median = 0.0004 * 8 ** MODELS.index(model) * (1 + 0.1 * math.sin(index)) * (4 if device != "quickstart" else 1)
    n = 1200 if index % 3 == 0 else 240
    verdict = ("trusted", "doubtful", "invalid")[0 if index % 4 else 1 + index % 8 // 4] if measured else None
    return {
        "name": f"{device}/{model}/{exporter}-opset{opset}-{axes}-fp32/{runtime}/{'+'.join(providers)}/{shape}/t1",
        "model": model,
        "exporter": exporter,
        "opset": opset,
        "axes": axes,
        "precision": "fp32",
        "device": device,
        "runtime": runtime,
        "providers": list(providers),
        "shape": shape,
        "threads": 1,
        "produced": {
            "opset": 20 if end["cause"] == "opset_not_honoured" else opset,
            "ir_version": 10,
            "dynamic": {"x": ["batch"]} if axes == "batch" and end["cause"] != "dynamic_dim_static" else {},
            "digest": f"{index:064x}",
            "size_bytes": 3_500_000 * (1 + MODELS.index(model)),
            "nodes": 65 + index,
        }
        if exported
        else None,
        **end,
        "verdict": verdict,
        "reasons": {"doubtful": ["single trial"], "invalid": ["throttled: under-voltage"]}.get(verdict or "", []),
        "latency_s": _latency(median, n) if measured else None,
        "throughput_per_s": {"inferences": 1 / median, "items": 1 / median} if measured else None,
        "memory_bytes": {
            "session_peak": 9 * 2**20,
            "first_run_peak": 21 * 2**20 + index * 2**16,
            "steady_peak": 20 * 2**20 + index * 2**16,
            "retained": 12 * 2**20,
            "method": "VmHWM",
        }
        if measured
        else None,
        "cold_start_s": {"import": 0.12, "session": 0.034, "first_run": median * 3, "second_run": median}
        if measured
        else None,
        "placement": {
            "method": "assignment",
            "hash": "ab12",
            "shares": [
                {"provider": "CPUExecutionProvider", "nodes": 65, "time_share": None},
                {"provider": "XnnpackExecutionProvider", "nodes": 12, "time_share": None},
            ][: len(providers)],
        }
        if measured
        else None,
        "numerics": {
            "max_absolute_error": 1.2e-6,
            "max_relative_error": 3.4e-5,
            "tolerance": {"absolute": 1e-4, "relative": 1e-3, "sqnr_db": None},
            "sizes_tried": ["batch=1", "batch=3", "batch=8"],
        }
        if measured
        else None,
        "environment": {"before": None, "after": None} if measured else None,
        "tags": ["shared_host"] if device == "quickstart" and measured else [],
        "same_as": None,
        "see": None,
        "export": {
            "passed": end["stage"] != "check",
            "stage": "check",
            "cause": end["cause"] if end["stage"] == "check" else "",
            "message": "",
            "seconds": 2.5,
            "cached": index % 5 == 0,
        },
        "trials": [_trial(end, median, index)] if measured else [],
    }


def _trial(end: Doc, median: float, index: int) -> Doc:
    started = 1795600030.0 + index
    reading = {"at": started, "temperatures_c": {"cpu": 48.0 + index % 20}}
    return {
        "id": f"run/{index:04x}/1/1",
        "round": 1,
        "attempt": 1,
        "started": started,
        "finished": started + 0.9,
        "outcome": end["outcome"],
        "stage": end["stage"],
        "cause": end["cause"],
        "latency_s": {"median": median},
        "environment": {"before": reading, "after": None, "accounting": {"wall_s": 0.6}},
    }


def _device(name: str, *, colocated: bool) -> Doc:
    facts = {
        "name": name,
        "agent_version": "0.1.0",
        "protocol_version": 1,
        "boot_id": "5c6d0b34-9d2f-4a55-8f0e-1d2c3b4a5f60",
        "machine": "x86_64" if colocated else "aarch64",
        "system": "Debian GNU/Linux 12",
        "kernel": "6.12.34",
        "board": "" if colocated else "Raspberry Pi 5 Model B Rev 1.0",
        "cpu_model": "AMD EPYC 9554" if colocated else "Cortex-A76",
        "cpu_count": 4,
        "allowed_cpus": [0, 1, 2, 3],
        "memory_total_bytes": 8 * 2**30,
        "state_free_bytes": 40 * 2**30,
        "python_version": "3.11.7",
        "libc": "glibc 2.36",
        "uptime_s": 86_400.0,
        "probes": ["cpufreq", "thermal"],
        "emulated": False,
        "hostname": name,
    }
    runtime = {
        "id": "1.23.2",
        "flavour": "",
        "version": "1.23.2",
        "build_info": "ORT Build Info",
        "python_version": "3.11.7",
        "numpy_version": "2.1.0",
        "listed_providers": ["CPUExecutionProvider"],
        "providers": [{"name": "CPUExecutionProvider", "nodes": 3, "message": ""}],
        "harness_floor_s": 2.1e-6,
        "fault": "",
    }
    reading = {
        "at": 1795600000.0,
        "temperatures_c": {"cpu": 52.3},
        "frequencies_hz": {"cpu0": 2.4e9},
        "governors": {"cpu0": "ondemand"},
        "throttle": [],
    }
    return {
        "name": name,
        "address": "127.0.0.1:50051",
        "labels": {"arch": facts["machine"], "site": "lab1"},
        "colocated": colocated,
        "facts": facts,
        "runtimes": [runtime],
        "reading": reading,
    }


def build_sample(
    models: tuple[str, ...] = MODELS, opsets: tuple[int, ...] = (13, 18, 23), *, limit: int | None = None
) -> Doc:
    """A document with all outcomes; `limit` cuts the cells."""
    asked = [
        (model, exporter, opset, axes, place, shape)
        for place in PLACES
        for model in models
        for exporter in EXPORTERS
        for opset in opsets
        for axes, shape in (("static", "example"), ("batch", "example"), ("batch", "batch4"))
    ]
    cells = []
    for index, (model, *rest) in enumerate(asked[:limit]):
        known = model if model in MODELS else MODELS[index % 3]
        cell = _cell(known, *rest, index=index)
        cells.append(cell | {"model": model, "name": cell["name"].replace(f"/{known}/", f"/{model}/", 1)})
    return {
        "schema_version": 1,
        "run": {
            "id": "20261123-0914-7f3a",
            "name": "quickstart",
            "plan_digest": "ab" * 32,
            "started": 1795600000.0,
            "finished": 1795600192.0,
            "state": "complete",
            "controller_version": "0.1.0",
            "host": {"hostname": "workbench", "python": "3.11.7"},
        },
        "devices": [_device("quickstart", colocated=True), _device("pi5-kitchen", colocated=False)],
        "artifacts": [],
        "cells": cells,
    }


@pytest.fixture(scope="session")
def make_doc():
    return build_sample


@pytest.fixture
def sample_doc() -> Doc:
    return build_sample()
