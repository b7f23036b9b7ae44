from __future__ import annotations

import math

import pytest
from edgesweep.report import units
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.0123, "0.0123"),
        (0.99999, "1.00"),
        (1.0, "1.00"),
        (12.44, "12.4"),
        (99.96, "100"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (-3.14159, "-3.14"),
    ],
)
def test_numbers_have_three_significant_digits(value, shown):
    assert units.number(value) == shown


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_a_shown_number_is_within_half_a_percent(value):
    assert float(units.number(value).replace(",", "")) == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, units.NOTHING),
        (0.0, "0 s"),
        (8.5e-7, "850 ns"),
        (2.1e-6, "2.10 µs"),
        (0.0124, "12.4 ms"),
        (1.2, "1.20 s"),
        (90.0, "90.0 s"),
    ],
)
def test_seconds(value, shown):
    assert units.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, units.NOTHING),
        (0, "0 B"),
        (512, "512 B"),
        (1536, "1.50 KiB"),
        (3.25 * 2**20, "3.25 MiB"),
        (2**33, "8.00 GiB"),
    ],
)
def test_sizes(value, shown):
    assert units.size(value) == shown


@pytest.mark.parametrize(
    ("median", "mad", "n", "shown"),
    [
        (0.0124, 0.0003, 200, "12.4 ms ±0.3 n=200"),
        (0.0124, 0.00001, 200, "12.4 ms ±0.01 n=200"),
        (0.0124, 0.0, 1, "12.4 ms ±0.0 n=1"),
        (0.434e-3, 9e-6, None, "434 µs ±9"),
        (2.0, None, None, "2.00 s"),
        (None, None, None, ""),
    ],
)
def test_a_latency_with_its_spread(median, mad, n, shown):
    assert units.latency(median, mad, n) == shown


def test_a_column_has_the_unit_of_its_median():
    assert units.time_unit([1e-3, 2e-3, 3.0]).symbol == "ms"
    assert units.time_unit([None, 0.0]).symbol == "ms"
    assert units.size_unit([2**30, 2**31]).symbol == "GiB"
    assert units.MILLISECOND.show(0.00004) == "0.0400"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, units.NOTHING),
        (0.84, "0.8 s"),
        (45.2, "45 s"),
        (59.7, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3840, "1 h 04 min"),
    ],
)
def test_durations(value, shown):
    assert units.duration(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1, "~5 s"), (43, "~45 s"), (58, "~1 min"), (190, "~3 min"), (4700, "~1 h 20 min"), (7100, "~2 h 00 min")],
)
def test_estimates_claim_little(value, shown):
    assert units.rough_duration(value) == shown


@given(st.floats(min_value=0, max_value=1e7))
def test_durations_never_crash(value):
    for show in (units.duration, units.rough_duration, units.age):
        assert show(value)
    assert not math.isnan(value)


def test_ages():
    assert [units.age(value) for value in (0.2, 3.4, 125, 7300)] == ["now", "3 s", "2 min", "2 h"]
