"""Walks through the whole product as a new lab would, and checks the figures that it promises; takes about 7 minutes.

usage: scripts/bench acceptance [--keep DIR]

A cold quickstart, a second one, then a board of its own from a wheelhouse beside a first agent, both swept in one run, and
one of them killed in the middle of another. One line per check on stderr, one JSON object on stdout; exits with 1 when a
check failed. Run it on a quiet machine: other work is in every figure.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
PLAN = """
version: 1
name: two-boards
models:
  - zoo: keyword-spotter
  - zoo: mobile-cnn
export: {exporters: [torchscript], opsets: [17, 18], axes: [static, batch]}
devices: all
measure: {preset: smoke}
"""
EXPORTED = re.compile(r"export \[\d+/\d+\] \w+ +(\S+)  ?(.*)")


class Checks:
    """The checks so far and their figures."""

    def __init__(self) -> None:
        self.figures: dict[str, object] = {}
        self.failed: list[str] = []

    def check(self, name: str, *, good: bool, figure: object) -> None:
        """Notes one check and says so."""
        self.figures[name] = figure
        if not good:
            self.failed.append(name)


class Command:
    """A running `edgesweep` command, its stderr read line by line with the second at which each line came."""

    def __init__(self, *words: str, env: dict[str, str], cwd: Path) -> None:
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._out = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - lives as long as the process that writes it
        self.process = subprocess.Popen(
            [str(BIN / "edgesweep"), *words],
            env=env,
            cwd=cwd,
            stdout=self._out,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.came = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.came:
                self.lines.append((time.monotonic() - self.began, line.rstrip("\n")))
                self.came.notify_all()

    def wait_for(self, pattern: str, limit_s: float) -> bool:
        """Waits until a line fits `pattern`; false when none did in time."""
        with self.came:
            return self.came.wait_for(lambda: any(re.search(pattern, line) for _, line in self.lines), limit_s)

    def finish(self, limit_s: float = 1200.0) -> tuple[int, float, dict[str, object]]:
        """The exit code, the seconds that it took, and the document on its stdout."""
        code = self.process.wait(limit_s)
        seconds = time.monotonic() - self.began
        self._reader.join()
        self._out.seek(0)
        text = self._out.read()
        if code not in {0, 1, 4}:
            pass
        return code, seconds, json.loads(text) if text.strip() else {"cells": []}

    def first(self, pattern: str) -> float | None:
        """When the first line that fits `pattern` came, in seconds after the start."""
        return next((round(at, 1) for at, line in self.lines if re.search(pattern, line)), None)

    def exports(self) -> dict[str, str]:
        """What was said of each export, by variant."""
        return {found[1]: found[2].strip() for _, line in self.lines if (found := EXPORTED.match(line))}


def edgesweep(*words: str, env: dict[str, str], cwd: Path) -> str:
    """The stdout of a short command that must succeed."""
    done = subprocess.run(
        [str(BIN / "edgesweep"), *words], env=env, cwd=cwd, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        sys.exit(f"edgesweep {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def serving(program: Path, name: str, tls_dir: str, cwd: Path):
    """An agent as the README starts it, on a free port; yields its process and address."""
    words = [str(program), "serve", "--listen", "127.0.0.1:0", "--tls-dir", tls_dir]
    agent = subprocess.Popen(
        [*words, "--state-dir", f"state-{name}", "--name", name],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    try:
        assert agent.stdout is not None
        line = agent.stdout.readline()
        if not line:
            sys.exit(f"the agent {name} did not come up")
        yield agent, json.loads(line)["listening"]
    finally:
        if agent.poll() is None:
            agent.terminate()
        agent.wait(30)
        agent.stdout.close()


def cold(checks: Checks, env: dict[str, str], root: Path) -> None:
    """The first quickstart of a new home."""
    command = Command("quickstart", "-o", "json", "--progress", "plain", env=env, cwd=root)
    code, seconds, document = command.finish()
    cells = document["cells"]
    names = [cell["name"] for cell in cells]
    checks.check("cold: exit code", good=code == 0, figure=code)
    checks.check("cold: seconds, below 360", good=seconds < 360, figure=round(seconds, 1))
    checks.check("cold: cells, at least 60", good=len(cells) >= 60, figure=len(cells))
    for key, least in (("model", 4), ("exporter", 2), ("opset", 5), ("axes", 3)):
        found = sorted({cell[key] for cell in cells})
        checks.check(f"cold: {key}, at least {least}", good=len(found) >= least, figure=found)
    outcomes = collections.Counter(cell["outcome"] for cell in cells)
    measured = [
        cell
        for cell in cells
        if cell["outcome"] == "pass"
        and (cell["latency_s"] or {}).get("n", 0) > 0
        and (cell["memory_bytes"] or {}).get("session_peak", 0) > 0
    ]
    checks.check("cold: outcomes", good=outcomes["lost"] == 0, figure=dict(outcomes))
    checks.check("cold: passes with latency and memory, at least 36", good=len(measured) >= 36, figure=len(measured))
    checks.check(
        "cold: every pass has latency and memory",
        good=len(measured) == outcomes["pass"],
        figure=outcomes["pass"] - len(measured),
    )
    silent = [cell["name"] for cell in cells if cell["outcome"] == "failed" and not (cell["stage"] and cell["cause"])]
    checks.check("cold: failures without stage and cause, none", good=not silent, figure=silent)
    too_old = [cell for cell in cells if (cell["exporter"], cell["opset"]) == ("dynamo", 13)]
    passed = [cell["name"] for cell in too_old if cell["outcome"] == "pass"]
    checks.check("cold: dynamo at 13 passing, none", good=bool(too_old) and not passed, figure=passed)
    size = (root / "report.html").stat().st_size
    checks.check("cold: report.html bytes, below 1 MB", good=size < 1_000_000, figure=size)
    planned = dry_run_of_quickstart(env, root)
    repeated = sorted(name for name, count in collections.Counter(names).items() if count > 1)
    checks.check(
        "cold: planned and ended cells are the same, each once",
        good=not repeated and sorted(planned) == sorted(names),
        figure={"repeated": repeated, "differ": sorted(set(planned) ^ set(names))},
    )


def dry_run_of_quickstart(env: dict[str, str], root: Path) -> list[str]:
    """The names of the quickstart's cells by a dry run of its plan, against an agent in the place of its own."""
    plan = ROOT / "controller" / "src" / "edgesweep" / "plan" / "quickstart.yaml"
    tls_dir = edgesweep("pki", "issue", "local", env=env, cwd=root)
    with serving(BIN / "edgesweep-agent", "local", tls_dir, root) as (_, address):
        edgesweep("device", "add", "local", address, env=env, cwd=root)
        planned = json.loads(edgesweep("run", str(plan), "--dry-run", "-o", "json", env=env, cwd=root))["cells"]
    edgesweep("device", "remove", "local", env=env, cwd=root)
    return planned


def warm(checks: Checks, env: dict[str, str], root: Path) -> None:
    """The second quickstart: everything is exported already."""
    command = Command("quickstart", "-o", "json", "--progress", "plain", env=env, cwd=root)
    code, seconds, document = command.finish()
    exports = command.exports()
    anew = sorted(variant for variant, words in exports.items() if not words.endswith("cached"))
    first = command.first(r"^\[\d+/\d+\] pass")
    checks.check("second: exit code", good=code == 0, figure=code)
    checks.check("second: seconds, below 240", good=seconds < 240, figure=round(seconds, 1))
    checks.check("second: exported anew, none", good=bool(exports) and not anew, figure=anew)
    checks.check(
        "second: first measurement after seconds, at most 10", good=first is not None and first <= 10, figure=first
    )
    lost = [cell["name"] for cell in document["cells"] if cell["outcome"] == "lost"]
    checks.check("second: lost cells, none", good=not lost, figure=lost)
    left = edgesweep("device", "list", "-o", "name", env=env, cwd=root).split()
    checks.check("second: the inventory holds this host's device", good=left == ["local"], figure=left)


def second_board(checks: Checks, env: dict[str, str], root: Path) -> None:
    """A board without internet beside a first one, as in the README, and what its death does to the first."""
    shown = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run(
        [str(BIN / "python"), "-c", shown], capture_output=True, encoding="utf-8", check=True
    ).stdout.strip()
    platform = os.uname().machine
    began = time.monotonic()
    wheels = root / f"{platform}-py{version}"
    subprocess.run(
        [
            str(ROOT / "scripts" / "wheelhouse"),
            "--platform",
            platform,
            "--python",
            version,
            "--with",
            "onnxruntime",
            "--dest",
            str(wheels),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    board = root / "board"
    board.mkdir()
    shutil.copytree(wheels, board / wheels.name)
    subprocess.run([str(BIN / "python"), "-m", "venv", "agent"], cwd=board, check=True)
    pip = subprocess.run(
        [
            "agent/bin/pip",
            "install",
            "--quiet",
            "--no-index",
            "--find-links",
            wheels.name,
            "edgesweep-agent",
            "onnxruntime",
        ],
        cwd=board,
        # What this host tells pip, a board without internet does not know.
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PIP_")}, "PIP_CONFIG_FILE": os.devnull},
        check=False,
    )
    checks.check("wheelhouse: pip --no-index exit code", good=pip.returncode == 0, figure=pip.returncode)
    checks.figures["wheelhouse: seconds"] = round(time.monotonic() - began, 1)
    shutil.copytree(edgesweep("pki", "issue", "pi5", env=env, cwd=root), board / "pi5")
    desk_tls = edgesweep("pki", "issue", "desk", env=env, cwd=root)
    (root / "two.yaml").write_text(PLAN, encoding="utf-8")
    with (
        serving(BIN / "edgesweep-agent", "desk", desk_tls, root) as (_, desk_address),
        serving(board / "agent" / "bin" / "edgesweep-agent", "pi5", "pi5", board) as (pi5, pi5_address),
    ):
        edgesweep("device", "add", "desk", desk_address, env=env, cwd=root)
        edgesweep("device", "add", "pi5", pi5_address, env=env, cwd=root)
        command = Command("run", "two.yaml", "-o", "json", "--progress", "plain", env=env, cwd=root)
        code, _, document = command.finish()
        whole, both = document["run"]["id"], by_device(document)
        checks.check("two boards: exit code", good=code == 0, figure=code)
        checks.check(
            "two boards: all cells pass on both",
            good=both == {"desk": {"pass": 8}, "pi5": {"pass": 8}},
            figure=both,
        )

        command = Command("run", "two.yaml", "-o", "json", "--progress", "plain", "--patience", "5", env=env, cwd=root)
        if not command.wait_for(r"^\[\d+/\d+\] pass +pi5/", 120):
            sys.exit("pi5 finished no cell within 120 s")
        pi5.send_signal(signal.SIGKILL)
        code, _, document = command.finish()
        killed = by_device(document)
        on_pi5 = killed.get("pi5", {})
        checks.check("killed board: exit code 4", good=code == 4, figure=code)
        checks.check("killed board: the other's cells", good=killed.get("desk") == {"pass": 8}, figure=killed)
        checks.check(
            "killed board: its own cells are kept or lost, none failed",
            good=set(on_pi5) == {"pass", "lost"} and sum(on_pi5.values()) == 8,
            figure=on_pi5,
        )
    matrix = json.loads(edgesweep("compat", "matrix", whole, "-o", "json", env=env, cwd=root))
    advice = matrix["recommendation"]
    use = [variant["targets"] for variant in advice["models"][0]["variants"]]
    checks.check("compat: one variant runs on both boards", good=use == [["desk", "pi5"]], figure=advice["sentence"])
    diff = json.loads(edgesweep("compat", "diff", whole, document["run"]["id"], "-o", "json", env=env, cwd=root))
    counts = {kind: amount for kind, amount in diff["counts"].items() if amount}
    checks.check("compat: a killed board is no finding", good=counts == {"not_told": on_pi5.get("lost")}, figure=counts)


def by_device(document: dict[str, object]) -> dict[str, dict[str, int]]:
    """How many cells ended how, for each device."""
    found: dict[str, dict[str, int]] = {}
    for cell in document["cells"]:
        counts = found.setdefault(cell["device"], {})
        counts[cell["outcome"]] = counts.get(cell["outcome"], 0) + 1
    return found


def main() -> int:
    """Runs every part; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a new folder for all that is made; default: one that is removed")
    arguments = parser.parse_args()
    subprocess.run([str(ROOT / "scripts" / "setup")], check=True, stdout=sys.stderr)
    checks = Checks()
    with contextlib.ExitStack() as stack:
        if arguments.keep:
            arguments.keep.mkdir(parents=True)
            root = arguments.keep.resolve()
        else:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesweep-acceptance-")))
        env = {**os.environ, "EDGESWEEP_HOME": str(root / "home")}
        for part in (cold, warm, second_board):
            part(checks, env, root)
    found = {"cpu_count": os.cpu_count(), "load_1_min": round(os.getloadavg()[0], 1), **checks.figures}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
