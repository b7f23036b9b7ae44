from __future__ import annotations

import re

import pytest
from edgesweep.report import charts
from edgesweep.report.charts import Mark, Panel, Scale, draw_axis, draw_group, scale_for
from edgesweep.report.units import MEBIBYTE, MILLISECOND
from hypothesis import given
from hypothesis import strategies as st

POSITIVE = st.floats(min_value=1e-7, max_value=1e4)


def _mark(value: float, low: float | None = None, high: float | None = None, shape: str = "dot") -> Mark:
    return Mark("dynamo", value, low or value, high or value, "12.4 ms", "pi5/mobile-cnn", shape, "#c1")


def _scale(*values: float) -> Scale:
    return scale_for([Panel("pi5", {"mobile-cnn": [_mark(value) for value in values]})], MILLISECOND)


def test_a_narrow_span_starts_at_zero_and_a_wide_one_is_logarithmic():
    assert _scale(0.010, 0.030) == Scale(0.0, pytest.approx(30.6), log=False)
    assert _scale(0.001, 0.5) == Scale(1.0, 500.0, log=True)


def test_whiskers_belong_to_the_span():
    panel = Panel("pi5", {"mobile-cnn": [_mark(0.010, low=0.009, high=0.090)]})
    assert scale_for([panel], MILLISECOND).high >= 90


@given(st.lists(POSITIVE, min_size=1, max_size=20))
def test_every_value_has_its_place_between_the_edges_and_in_order(values):
    scale = _scale(*values)
    places = [scale.position(value * 1e3) for value in sorted(values)]
    assert places == sorted(places)
    assert all(4 <= place <= 96 for place in places)


@given(st.lists(POSITIVE, min_size=1, max_size=20))
def test_ticks_lie_on_the_axis_and_are_few_enough_to_read(values):
    scale = _scale(*values)
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert 2 <= len(ticks) <= 14
    assert all(scale.low * 0.999 <= tick <= scale.high * 1.001 for tick in ticks)


def test_nothing_measured_still_has_an_axis():
    assert _scale().position(0.0) == 4.0
    assert scale_for([Panel("pi5", {"m": [_mark(0.0)]})], MEBIBYTE).ticks()[0] == 0


def test_axis_labels_are_round_numbers():
    labels = re.findall(r">([^<]+)</text>", draw_axis(Scale(0.2, 200.0, log=True), MILLISECOND))
    assert labels == ["0.2", "0.5", "1", "2", "5", "10", "20", "50", "100", "200"]
    assert re.findall(r">([^<]+)</text>", draw_axis(Scale(0.0, 31.0, log=False), MEBIBYTE)) == ["0", "10", "20", "30"]


def test_a_line_has_label_value_whisker_link_and_a_title_for_readers():
    scale = Scale(0.0, 20.0, log=False)
    drawing = str(draw_group([_mark(0.0124, low=0.012, high=0.013)], scale, MILLISECOND, "mobile-cnn on pi5"))
    assert "<title>mobile-cnn on pi5</title>" in drawing
    assert "<title>pi5/mobile-cnn: 12.4 ms</title>" in drawing
    assert '<a href="#c1">' in drawing
    x1, x2 = re.search(r'class="w" x1="([\d.]+)%" x2="([\d.]+)%"', drawing).groups()
    assert float(x1) == pytest.approx(4 + 92 * 0.6)
    assert float(x2) == pytest.approx(4 + 92 * 0.65)
    assert f'cx="{4 + 92 * 0.62:.2f}%"' in drawing


def test_verdicts_differ_in_shape_and_not_in_colour_alone():
    scale = Scale(0.0, 20.0, log=False)
    shapes = {
        shape: draw_group([_mark(0.01, shape=shape)], scale, MILLISECOND, "m")
        for shape in ("dot", "ring", "cross", "bar")
    }
    assert len(set(shapes.values())) == 4
    assert len({charts.legend_mark(shape) for shape in (*shapes, "whisker")}) == 5


def test_labels_are_escaped():
    mark = Mark("<b>", 1.0, 1.0, 1.0, "<i>", "<script>", "dot", "#c1")
    drawing = draw_group([mark], Scale(0.0, 2000.0, log=False), MILLISECOND, "<m>")
    assert not re.search(r"<(b|i|script|m)>", drawing)
