"""Exports, proves and measures a model of more than 2 GiB, beyond what one protobuf file can hold; takes about 15 minutes.

usage: scripts/bench export_large [--layers 9] [--no-sweep]

Both exporters, two opsets each: the weights must lie on disk once per form, whatever the number of opsets, and the export
process must hold few copies of them. Then a plan sends one variant to an agent on this host, whose worker loads and
measures it. Needs 16 GiB of free memory and 25 GiB of free disk. One JSON object on stdout; exits with 1 when a check failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import psutil

BIN = Path(__file__).resolve().parents[2] / ".venv" / "bin"
LAYER_BYTES = 8192 * 8192 * 4
MODEL = """
import torch
from edgesweep import Model
from torch import nn


class Wide(nn.Module):
    def __init__(self, layers):
        super().__init__()
        # Scaled so that values stay near 1 however many layers there are.
        self.weights = nn.ParameterList(torch.empty(8192, 8192).uniform_(-0.02, 0.02) for _ in range(layers))

    def forward(self, x):
        for weight in self.weights:
            x = torch.tanh(x @ weight)
        return x


def build(layers):
    torch.manual_seed(0)
    return Model(Wide(layers), (torch.randn(2, 8192),), {"x": {0: "batch"}}, {"batch": (1, 4)})
"""
PLAN = """
version: 1
name: large
models:
  - {{factory: large_model.py:build, name: large, args: {{layers: {layers}}}}}
export: {{exporters: [dynamo], opsets: [18], axes: [batch], timeout_s: 3600}}
devices: [here]
measure: {{preset: smoke}}
fail_on: [failure]
"""
VARIANTS = (("dynamo", 18), ("dynamo", 20), ("torchscript", 17), ("torchscript", 18))


class Watch:
    """Peaks of memory and disk while work goes on, sampled five times a second from a thread of its own.

    `exporting` is the largest resident set of one export worker, `proving` that of one proof process, `disk` the bytes
    under a folder; shared files are counted once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.exporting = self.proving = self.disk = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        me = psutil.Process()
        while not self._done.wait(0.2):
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    command = " ".join(child.cmdline())
                    # What is mapped from a file is the kernel's to take back.
                    memory = child.memory_info()
                    private = memory.rss - memory.shared
                    if "export.workers" in command:
                        self.exporting = max(self.exporting, private)
                    elif "proof" in command:
                        self.proving = max(self.proving, private)
            self.disk = max(self.disk, size_of(self._folder))


def size_of(folder: Path) -> int:
    """Bytes on disk under `folder`."""
    total, seen = 0, set()
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            if path.is_file() and stat.st_ino not in seen:
                seen.add(stat.st_ino)
                total += stat.st_blocks * 512
    return total


async def export(model: Path, root: Path, layers: int) -> tuple[dict[str, dict[str, object]], dict[str, set[str]]]:
    """What each variant gave, and the digests of its weights."""
    from edgesweep.export.service import ExportJob, ExportService
    from edgesweep.models.source import ModelSource, SourceKind
    from edgesweep.plan.cell import Shape, Variant

    source = ModelSource(SourceKind.FACTORY, f"{model}:build", "large", args={"layers": layers})
    figures: dict[str, dict[str, object]] = {}
    weights: dict[str, set[str]] = {}
    async with ExportService(root, slots=1, timeout_s=3600) as service:
        for exporter, opset in VARIANTS:
            variant = Variant("large", exporter, opset, "batch")
            with Watch(root) as watch:
                began = time.monotonic()
                (result,) = [found async for found in service.export([ExportJob(source, variant, (Shape(),))])]
                seconds = time.monotonic() - began
            figures[variant.slug] = {
                "cause": result.cause,
                "message": result.message,
                "seconds": round(seconds, 1),
                "export_seconds": round(result.seconds, 1),
                "artifact_bytes": result.manifest.size_bytes if result.manifest else 0,
                "model_file_bytes": result.manifest.model.size_bytes if result.manifest else 0,
                "files": len(result.manifest.external) if result.manifest else 0,
                "sizes_proven": list(result.sizes_tried),
                "worker_peak_bytes": watch.exporting,
                "worker_peak_in_weights": round(watch.exporting / (layers * LAYER_BYTES), 2),
                "proof_peak_bytes": watch.proving,
                "disk_peak_bytes": watch.disk,
                "disk_after_bytes": size_of(root),
                "blobs_after_bytes": size_of(root / "blobs"),
            }
            weights[variant.slug] = {blob.sha256 for blob in result.manifest.external} if result.manifest else set()
            sys.stderr.write(f"{variant.slug}: {result.cause or 'pass'} in {seconds:.0f} s\n")
    return figures, weights


def sweep(folder: Path, env: dict[str, str], layers: int) -> dict[str, object]:
    """One cell of the exported variant on an agent of this host; its figures."""
    (folder / "large.yaml").write_text(PLAN.format(layers=layers), encoding="utf-8")

    def edgesweep(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "edgesweep"), *words], cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=False
        )

    edgesweep("pki", "init")
    tls = edgesweep("pki", "issue", "here").stdout.strip()
    words = ["serve", "--listen", "127.0.0.1:0", "--tls-dir", tls, "--state-dir", "state", "--name", "here"]
    agent = subprocess.Popen(
        [str(BIN / "edgesweep-agent"), *words], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert agent.stdout is not None
        edgesweep("device", "add", "here", json.loads(agent.stdout.readline())["listening"])
        began = time.monotonic()
        done = edgesweep("run", "large.yaml", "-o", "json", "--progress", "plain")
        document = json.loads(done.stdout)
        (cell,) = document["cells"]
        return {
            "exit_code": done.returncode,
            "seconds": round(time.monotonic() - began, 1),
            **{key: cell[key] for key in ("name", "outcome", "stage", "cause", "message")},
            "median_s": (cell["latency_s"] or {}).get("median"),
            "session_peak_bytes": (cell["memory_bytes"] or {}).get("session_peak"),
            "state_bytes": size_of(folder / "state"),
        }
    finally:
        agent.terminate()
        agent.wait(60)
        agent.stdout.close()


def checks_of(
    figures: dict[str, dict[str, object]], weights: dict[str, set[str]], swept: dict[str, object] | None, size: int
) -> dict[str, bool]:
    """What must hold, by name."""
    by_exporter = {
        exporter: [weights[slug] for slug in weights if slug.startswith(exporter)] for exporter, _ in VARIANTS
    }
    forms = set().union(*weights.values())
    stored = max(int(found["blobs_after_bytes"]) for found in figures.values())
    held = {
        "every variant passes": all(not found["cause"] for found in figures.values()),
        "every artifact is larger than 2 GiB, its model file smaller than 1 MiB": all(
            int(found["artifact_bytes"]) > 2 << 30 and int(found["model_file_bytes"]) < 1 << 20
            for found in figures.values()
        ),
        "the second opset of an exporter has the weights of the first": all(
            first and first == second for first, second in by_exporter.values()
        ),
        "the store holds each form of the weights once": stored < len(forms) * LAYER_BYTES + (64 << 20),
        "the worker holds at most twice the weights beside what is mapped": all(
            int(found["worker_peak_bytes"]) < 2 * size + (2 << 30) for found in figures.values()
        ),
    }
    if swept is not None:
        held["an agent measures it"] = swept["outcome"] == "pass" and swept["exit_code"] == 0
        held["the board holds more than 2 GiB of it"] = int(swept["state_bytes"]) > 2 << 30
    return held


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=9, help="of 256 MiB each; 9 make 2.25 GiB")
    parser.add_argument("--no-sweep", action="store_true", help="export and prove only")
    arguments = parser.parse_args()
    free = psutil.virtual_memory().available
    if free < 16 << 30 or shutil.disk_usage(tempfile.gettempdir()).free < 25 << 30:
        sys.exit(f"this needs 16 GiB of free memory and 25 GiB of free disk; {free >> 30} GiB of memory are free")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgesweep-large-") as name:
        folder = Path(name)
        model = folder / "large_model.py"
        model.write_text(MODEL, encoding="utf-8")
        env = {**os.environ, "EDGESWEEP_HOME": str(folder / "home")}
        figures, weights = asyncio.run(export(model, folder / "home" / "cache" / "exports", arguments.layers))
        swept = None if arguments.no_sweep else sweep(folder, env, arguments.layers)
    size = arguments.layers * LAYER_BYTES
    checks = checks_of(figures, weights, swept, size)
    document = {
        "weights_bytes": size,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_count": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 1),
        "variants": figures,
        "sweep": swept,
        "checks": checks,
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
