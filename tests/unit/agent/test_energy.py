"""Energy of an inference: what was taken above the idle board, and only where the window is long enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgesweep_agent.energy import idle_watts, tells_joules, told_energy
from edgesweep_agent.gates import Pace
from edgesweep_proto.blob import Blob
from edgesweep_proto.evidence import Energy
from edgesweep_proto.trial import Protocol, Samples

SAMPLES = Samples(Blob("0" * 64, 8), 5, 100, 10, "floors_met")
LONG = Energy("ina3221", ("VDD_IN",), window_s=40.0, joules=400.0, interval_s=0.2)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def ina3221(milliamperes: int) -> dict[str, str]:
    monitor = "sys/class/hwmon/hwmon1"
    return {
        f"{monitor}/name": "ina3221", f"{monitor}/in1_label": "VDD_IN", f"{monitor}/in1_input": "5000",
        f"{monitor}/curr1_input": str(milliamperes),
    }  # fmt: skip


def rapl(microjoules: int) -> dict[str, str]:
    zone = "sys/class/powercap/intel-rapl:0"
    return {
        f"{zone}/name": "package-0", f"{zone}/energy_uj": str(microjoules), f"{zone}/max_energy_range_uj": "100000000",
    }  # fmt: skip


@pytest.fixture
def pace_over(tmp_path: Path) -> Callable[..., Pace]:
    """Time that passes only in sleeps, each of which leaves the board as the next of these files say."""

    def make(*steps: dict[str, str]) -> Pace:
        left, now = list(steps), [0.0]

        async def sleep(seconds: float) -> None:
            now[0] += seconds
            if left:
                write(tmp_path, left.pop(0))

        return Pace(lambda: now[0], sleep)

    return make


def test_joules_per_inference_lie_above_the_idle_board() -> None:
    energy = told_energy(LONG, 4.0, 6.0, SAMPLES)
    assert energy.idle_w == 5.0
    # 400 J less 5 W for 40 s, over 100 samples of 10 inferences.
    assert energy.joules_per_inference == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("energy", "before", "after", "samples"),
    [
        (Energy("ina3221", ("VDD_IN",), 29.9, 400.0, 0.2), 4.0, 6.0, SAMPLES),
        (LONG, 4.0, None, SAMPLES),
        (LONG, None, None, SAMPLES),
        (LONG, 4.0, 6.0, None),
    ],
)
def test_what_cannot_be_told_is_absent(energy: Energy, before: float | None, after: float | None, samples: Any) -> None:
    told = told_energy(energy, before, after, samples)
    assert told.joules_per_inference is None
    assert told.joules == energy.joules


async def test_idle_power_is_the_mean_over_two_seconds(tmp_path: Path, pace_over: Callable[..., Pace]) -> None:
    write(tmp_path, ina3221(1000))
    pace = pace_over(*[ina3221(1000)] * 4, *[ina3221(3000)] * 5)
    assert await idle_watts(tmp_path, pace) == pytest.approx(10.0)
    assert pace.clock() == pytest.approx(1.8)


async def test_idle_power_from_a_counter_that_starts_again(tmp_path: Path, pace_over: Callable[..., Pace]) -> None:
    write(tmp_path, rapl(95_000_000))
    assert await idle_watts(tmp_path, pace_over(rapl(5_000_000))) == pytest.approx(5.0)


async def test_a_board_that_tells_nothing_has_no_idle_power(tmp_path: Path, pace_over: Callable[..., Pace]) -> None:
    assert await idle_watts(tmp_path, pace_over()) is None


def test_idle_power_is_only_looked_at_where_a_trial_may_be_long_enough(tmp_path: Path) -> None:
    write(tmp_path, ina3221(1000))
    assert tells_joules(Protocol(max_duration_s=30.0, idle_wait_s=60.0), tmp_path)
    assert not tells_joules(Protocol(max_duration_s=20.0, idle_wait_s=60.0), tmp_path)
    assert not tells_joules(Protocol(max_duration_s=30.0), tmp_path)
    assert not tells_joules(Protocol(max_duration_s=30.0, idle_wait_s=60.0), tmp_path / "bare")
