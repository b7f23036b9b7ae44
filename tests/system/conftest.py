"""A lab of real processes: the real CLI, real agents with real certificates, in a home of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.insert(0, str(BENCHMARKS))  # the benchmarks are scripts, no package

TINY_MODEL = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = torch.nn.Linear(8, width)
        self.second = torch.nn.Linear(width, 3)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))

def build(width=16):
    torch.manual_seed(0)
    return Net(width).eval(), (torch.randn(2, 8),)

def broken():
    raise RuntimeError("the weights are on another disk")
"""

TINY_PLAN = """
version: 1
name: tiny
models:
  - factory: tiny_model.py:build
    name: tiny
    dynamic: {x: {0: batch}}
    ranges: {batch: [1, 8]}
export:
  slots: 1
  exporters: [torchscript]
  opsets: [17, 18]
  axes: [static, batch]
measure: {preset: smoke, max_duration_s: 0.3, min_duration_s: 0.1}
fail_on: [failure]
"""


@dataclass
class Agent:
    """One agent process; `restart` brings it back on the same port and state."""

    name: str
    command: list[str]
    env: dict[str, str]
    process: subprocess.Popen[str] = field(init=False)
    address: str = field(init=False)

    def start(self) -> Agent:
        if hasattr(self, "process"):
            self.process.stdout.close()
        self.process = subprocess.Popen(
            self.command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self.process.stdout.readline()
        assert line, f"agent {self.name} did not come up"
        self.address = json.loads(line)["listening"]
        self.command = [self.address if part.startswith("127.0.0.1:") else part for part in self.command]
        return self

    @property
    def workers(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)


@dataclass
class Lab:
    """A home with its own CA, inventory and store, and the agents that were started in it."""

    root: Path
    agents: list[Agent] = field(default_factory=list)
    commands: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "EDGESWEEP_HOME": str(self.root / "home"), "COLUMNS": "100"}

    def cli(self, *args: str, timeout: float = 110, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgesweep", *args],
            env=self.env,
            cwd=cwd or self.root,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start_cli(self, *args: str) -> subprocess.Popen[str]:
        command = subprocess.Popen(
            [sys.executable, "-m", "edgesweep", *args],
            env=self.env,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.commands.append(command)
        return command

    def close(self) -> None:
        """Ends what a failed test has left."""
        for command in self.commands:
            if command.poll() is None:
                command.kill()
            command.communicate()
        for agent in self.agents:
            agent.stop()
            agent.process.stdout.close()

    def add_agent(
        self, name: str, *options: str, state: Path | None = None, python: str = sys.executable, **env: str
    ) -> Agent:
        folder = self.cli("pki", "issue", name).stdout.strip()
        command = [python, "-m", "edgesweep_agent", "serve", "--listen", "127.0.0.1:0"]
        command += ["--state-dir", str(state or self.root / f"state-{name}"), "--tls-dir", folder, "--name", name]
        command += options
        agent = Agent(name, command, self.env | env).start()
        self.agents.append(agent)
        added = self.cli("device", "add", name, agent.address)
        assert added.returncode == 0, added.stderr
        return agent

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text)
        return path

    def run_json(self, *args: str, code: int = 0) -> dict:
        done = self.cli("run", *args, "-o", "json", "--progress", "plain")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


def lab_in(folder: Path) -> Iterator[Lab]:
    lab = Lab(folder)
    made = lab.cli("pki", "init")
    assert made.returncode == 0, made.stderr
    lab.write("tiny_model.py", TINY_MODEL)
    lab.write("tiny.yaml", TINY_PLAN)
    yield lab
    lab.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from lab_in(tmp_path)


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all tests of a file, where the agents are slow to start."""
    yield from lab_in(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def outcomes() -> Callable[[dict], dict[str, str]]:
    def by_name(document: dict) -> dict[str, str]:
        return {cell["name"]: cell["outcome"] for cell in document["cells"]}

    return by_name
