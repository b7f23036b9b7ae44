from __future__ import annotations

import numpy as np
import pytest
from edgesweep.stats.modes import two_modes
from edgesweep.stats.series import Course, classify, clock_step, look_at
from hypothesis import given
from hypothesis import strategies as st

N = 2000
ALONG = np.linspace(0, 1, N)


def noisy(shape, *, seed=1, scatter=0.02):
    random = np.random.default_rng(seed)
    return 1e-3 * np.asarray(shape, dtype=float) * np.exp(scatter * random.standard_normal(len(shape)))


def nanoseconds(seconds):
    return (np.asarray(seconds) * 1e9).astype(np.int64)


@pytest.mark.parametrize(
    ("shape", "course"),
    [
        (np.ones(N), Course.FLAT),
        (1 + 0.1 * ALONG, Course.SLOWDOWN),
        (np.where(ALONG > 0.5, 1.05, 1.0), Course.SLOWDOWN),
        (1 + 0.5 * np.exp(-10 * ALONG), Course.WARMUP),
        (np.where((6 * ALONG).astype(int) % 2, 1.5, 1.0), Course.UNSTEADY),
        (np.where((10 * ALONG).astype(int) % 2, 1.5, 1.0), Course.UNSTEADY),
        (1 + 0.05 * np.sin(20 * ALONG), Course.UNSTEADY),
        (1 + 0.5 * np.exp(-2 * ALONG), Course.UNSTEADY),
        (np.where((ALONG > 0.4) & (ALONG < 0.45), 1.5, 1.0), Course.FLAT),
        (np.where(ALONG > 0.5, 1.005, 1.0), Course.FLAT),
    ],
    ids=[
        "flat",
        "drift",
        "step",
        "warm-up",
        "flapping",
        "flapping fast",
        "wave",
        "endless warm-up",
        "short burst",
        "too small",
    ],
)
def test_the_course_of_a_trial(shape, course):
    for seed in range(5):
        assert classify(noisy(shape, seed=seed))[0] is course


def test_the_head_that_still_warms_up_is_told_and_the_rest_is_level():
    seconds = noisy(np.where(ALONG < 0.2, 1.5, 1.0))
    course, head, change = classify(seconds)
    assert course is Course.WARMUP
    assert head == pytest.approx(0.2 * N, abs=20)
    assert change == pytest.approx(-1 / 3, abs=0.02)
    assert classify(seconds[head:])[0] is Course.FLAT


def test_a_drift_says_how_far_it_went():
    _, head, change = classify(noisy(1 + 0.3 * ALONG))
    assert head == 0
    assert 0.2 < change < 0.3


LAWS = {
    "normal": lambda random, n: 1 + 0.03 * random.standard_normal(n),
    "log-normal": lambda random, n: np.exp(0.3 * random.standard_normal(n)),
    "exponential": lambda random, n: 1 + random.exponential(1, n),
    "heavy tail": lambda random, n: 1 + 0.01 * np.abs(random.standard_t(2, n)),
    "spiky": lambda random, n: (
        1 + 0.01 * random.standard_normal(n) + np.where(random.random(n) < 0.05, random.exponential(0.15, n), 0)
    ),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_samples_of_one_law_are_flat_and_have_one_mode(law):
    random = np.random.default_rng(7)
    trials = [1e-3 * law(random, n) for n in (100, 300, 2000) for _ in range(40)]
    # 120 trials at 1 %: more than 5 would come by chance once in 200 times.
    assert sum(classify(trial)[0] is not Course.FLAT for trial in trials) <= 5
    assert sum(two_modes(trial) is not None for trial in trials) <= 2


def test_neighbours_that_depend_on_each_other_are_no_change():
    random = np.random.default_rng(8)
    called = 0
    for _ in range(60):
        noise = random.standard_normal(200)
        for index in range(1, 200):
            noise[index] = 0.5 * noise[index - 1] + noise[index] * np.sqrt(0.75)
        called += classify(1e-3 * np.exp(0.01 * noise))[0] is not Course.FLAT
    assert called <= 2


def test_two_modes_are_seen_in_whatever_order_they_come():
    random = np.random.default_rng(9)
    for shape in (np.where(np.arange(N) % 2, 1.0, 2.0), np.where(random.random(N) < 0.15, 1.3, 1.0)):
        series = look_at(nanoseconds(noisy(shape)))
        assert series.course is Course.FLAT
        faster, slower = series.modes
        assert (faster.median_s, slower.median_s) == pytest.approx((1e-3, 1e-3 * shape.max()), rel=0.02)
        assert faster.share + slower.share == pytest.approx(1.0)
    assert slower.share == pytest.approx(0.15, abs=0.03)


@pytest.mark.parametrize("share", [0.05, 0.08, 0.09])
def test_a_few_slow_samples_are_a_tail_and_no_mode(share):
    random = np.random.default_rng(11)
    assert two_modes(noisy(np.where(np.arange(N) < share * N, 3.0, 1.0))) is None
    assert two_modes(noisy(np.where(np.arange(N) < share * N, random.uniform(5, 15, N), 1.0))) is None


def test_a_step_in_time_counts_as_the_head_and_not_as_a_second_mode():
    series = look_at(nanoseconds(noisy(np.where(ALONG < 0.3, 1.5, 1.0))))
    assert series.course is Course.WARMUP
    assert series.modes == ()


def test_a_coarse_clock_shows_in_its_samples():
    random = np.random.default_rng(10)
    ticks = np.round(random.normal(20, 2, 500)).astype(np.int64)
    assert clock_step(ticks * 10_000) == pytest.approx(1e-5)
    assert clock_step(nanoseconds(noisy(np.ones(500)))) is None
    assert clock_step([1000] * 60) == pytest.approx(1e-6)
    assert clock_step([1000] * 10) is None


def test_a_batch_is_divided():
    one, ten = (look_at(nanoseconds(noisy(np.where(np.arange(N) % 2, 1.0, 2.0))), batch) for batch in (1, 10))
    assert ten.modes[0].median_s == pytest.approx(one.modes[0].median_s / 10)


@given(st.lists(st.integers(0, 10**12), max_size=80), st.integers(1, 50), st.booleans())
def test_it_takes_whatever_was_measured(samples, batch, sustained):
    series = look_at(samples, batch, sustained=sustained)
    assert 0 <= series.head <= len(samples) / 2
    assert (series.course is None) == (len(samples) < 12 or min(samples) == 0)
    assert len(series.modes) in {0, 2}
