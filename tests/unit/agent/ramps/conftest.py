"""Boards whose sensors change while a test looks: fake trees, rewritten step by step by a clock that the test moves.

No ramp here was recorded on a board: each is described after how such a board is known to behave.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

CPUS = "sys/devices/system/cpu"
POLICY = f"{CPUS}/cpufreq/policy0"
PI_BITS = "sys/devices/platform/soc/soc:firmware/get_throttled"
ZONE = "sys/class/thermal/thermal_zone0"

#: A Raspberry Pi 4 at rest: four equal cores, one policy, one zone.
PI4 = {
    f"{POLICY}/related_cpus": "0 1 2 3\n",
    f"{POLICY}/cpuinfo_max_freq": "1800000\n",
    f"{POLICY}/scaling_min_freq": "600000\n",
    f"{POLICY}/scaling_max_freq": "1800000\n",
    f"{POLICY}/scaling_cur_freq": "1800000\n",
    f"{POLICY}/scaling_governor": "ondemand\n",
    f"{ZONE}/type": "cpu-thermal\n",
    f"{ZONE}/temp": "45000\n",
    PI_BITS: "0\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/stat": "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0\ncpu1 0\ncpu2 0\ncpu3 0\nintr 0\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
}

Files = dict[str, str]

#: They go on to the verdicts, which are the controller's; it is not there on the older Python that an agent may have.
_WITH_VERDICTS = ["test_surroundings.py", "test_trace.py"]
collect_ignore = [] if importlib.util.find_spec("edgesweep") else _WITH_VERDICTS


def celsius(value: float) -> Files:
    return {f"{ZONE}/temp": f"{value * 1000:.0f}\n"}


def hertz(value: float) -> Files:
    return {f"{POLICY}/scaling_cur_freq": f"{value / 1000:.0f}\n"}


class Replay:
    """A fake board and its time. `now` moves only when somebody sleeps, and the files follow."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 0.0
        self.own_cpu_s = 0.0
        self.slept: list[float] = []
        self._steps: list[tuple[float, Files]] = []

    def write(self, files: Files) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # In place, as the kernel's files change: who holds one open sees it.
            path.write_text(text)

    def ramp(self, steps: Iterable[tuple[float, Files]]) -> None:
        """From each of these moments on the files read so."""
        self._steps = sorted([*self._steps, *steps], key=lambda step: step[0])
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self._steps and self._steps[0][0] <= self.now + 1e-9:
            self.write(self._steps.pop(0)[1])

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def host_load(self, spans: Iterable[tuple[float, float, float]], *, cpus: int = 4) -> None:
        """What the whole machine does: spans of (seconds, share of time some task waits, share of the machine used)."""
        at, waited_us, busy = self.now, 0.0, 0.0
        steps = []
        for seconds, pressure, use in spans:
            for _ in range(int(seconds)):
                at += 1
                waited_us += pressure * 1e6
                busy += use * cpus * 100
                steps.append((at, host(waited_us, pressure, busy, cpus)))
        self.ramp(steps)


def host(waited_us: float, pressure: float, busy: float, cpus: int) -> Files:
    lines = "".join(f"cpu{cpu} 0\n" for cpu in range(cpus))
    return {
        "proc/pressure/cpu": f"some avg10={pressure * 100:.2f} avg60=0.00 avg300=0.00 total={waited_us:.0f}\n",
        "proc/stat": f"cpu  {busy:.0f} 0 0 0 0 0 0 0 0 0\n{lines}intr 0\n",
    }


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    board = Replay(tmp_path / "board")
    board.write(PI4)
    return board


@pytest.fixture
def at_celsius() -> Callable[[float], Files]:
    return celsius


@pytest.fixture
def at_hertz() -> Callable[[float], Files]:
    return hertz
