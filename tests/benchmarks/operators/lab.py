"""A lab for the sweep: a home of its own, one agent on loopback with certificates, a plan over all cases, and the real command."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.cases import Case

DEVICE = "bench"


@dataclass(frozen=True, slots=True)
class Lab:
    """Where a sweep runs: `folder` holds its home, its plan and what it says."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of its commands."""
        return os.environ | {
            "EDGESWEEP_HOME": str(self.folder / "home"),
            "ORT_DISABLE_TELEMETRY": "1",
            "COLUMNS": "100",
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `edgesweep` to its end; its stderr goes to `edgesweep.log`."""
        with (self.folder / "edgesweep.log").open("a") as log:
            return subprocess.run(
                [sys.executable, "-m", "edgesweep", *words],
                cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=log, text=True, check=False,
            )  # fmt: skip

    @contextlib.contextmanager
    def agent(self, python: str = sys.executable) -> Iterator[int]:
        """An agent with the runtime of `python`, in the inventory; its process id."""
        self.command("pki", "init")
        tls = self.command("pki", "issue", DEVICE).stdout.strip()
        command = [sys.executable, "-m", "edgesweep_agent", "serve", "--listen", "127.0.0.1:0", "--name", DEVICE]
        command += ["--state-dir", str(self.folder / "agent"), "--tls-dir", tls, "--runtime", python]
        with (
            (self.folder / "agent.log").open("w") as log,
            subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            try:
                assert process.stdout is not None
                address = json.loads(process.stdout.readline())["listening"]
                self.command("device", "add", DEVICE, address)
                yield process.pid
            finally:
                process.terminate()

    def sweep(self, cases: Sequence[Case]) -> dict[str, Any]:
        """The result document of a run over all cases.

        Raises:
            RuntimeError: The command gave no document; `edgesweep.log` says why.
        """
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps(plan_of(cases)))
        done = self.command("run", str(plan), "-o", "json", "--progress", "none")
        if not done.stdout:
            raise RuntimeError(f"edgesweep run ended with {done.returncode}; see {self.folder / 'edgesweep.log'}")
        return dict(json.loads(done.stdout))


def plan_of(cases: Sequence[Case]) -> dict[str, Any]:
    """One cell per case: its own inputs, its own references, nothing timed, nothing predicted."""
    models = []
    for case in cases:
        entry = {"onnx": str(case.folder / "model.onnx"), "name": case.name}
        entry |= {"inputs": str(case.folder / "inputs.npz")} if case.inputs else {}
        entry |= {"references": str(case.folder / "references.npz")} if case.outputs else {}
        models.append(entry)
    return {
        "version": 1,
        "name": "backend-tests",
        "models": models,
        "devices": [DEVICE],
        "runtimes": "all",
        "providers": ["cpu"],
        "measure": {"preset": "compat"},
        "skip": "nothing",
        "fail_on": ["none"],
    }
