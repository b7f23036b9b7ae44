from __future__ import annotations

import pytest
from edgesweep.report.reasons import notes_of, short_reason, untold
from edgesweep.stats.facts import TrialFacts
from edgesweep.stats.rules import device
from edgesweep.stats.verdict import judge
from edgesweep_proto.trial import Accounting
from hypothesis import given
from hypothesis import strategies as st


def test_reasons_that_differ_in_a_figure_are_one_note_with_the_range():
    cells = [
        {"reasons": ["noisy: waited 9.5% of the time (clean up to 1%); stop other work", "single trial"]},
        {"reasons": ["noisy: waited 54.7% of the time (clean up to 1%); stop other work"]},
        {"reasons": None},
    ]
    notes = notes_of(cells)
    noisy, single = notes[cells[0]["reasons"][0]], notes["single trial"]
    assert notes[cells[1]["reasons"][0]] is noisy
    assert (noisy.place, noisy.name, noisy.cells) == (1, "noisy", 2)
    assert noisy.explanation == "waited 9.5 to 54.7% of the time (clean up to 1%); stop other work"
    assert (single.place, single.text, single.explanation) == (2, "single trial", "single trial")


def test_versions_and_names_are_no_figures():
    cells = [{"reasons": ["clock of cpu0 fell"]}, {"reasons": ["clock of cpu1 fell"]}]
    assert len({note.place for note in notes_of(cells).values()}) == 2


@given(st.lists(st.lists(st.text(max_size=30), max_size=3), max_size=10))
def test_every_reason_is_told_and_counted(texts):
    notes = notes_of([{"reasons": reasons} for reasons in texts])
    assert set(notes) == {reason for reasons in texts for reason in reasons}
    unique = {note.place: note for note in notes.values()}
    assert sum(note.cells for note in unique.values()) == sum(map(len, texts))
    assert sorted(unique) == list(range(1, len(unique) + 1))


def test_a_reason_without_a_name_is_cut():
    assert short_reason("throttled: under-voltage") == "throttled"
    assert len(short_reason("word " * 30)) == 40


@pytest.mark.parametrize(
    "tag",
    [
        *device._TAGS,
        "all_nan:y",
        "busy_host",
        "hot_start",
        "no_steady_state",
        "not_pinned",
        "threads_started:3",
        "throttled:under_voltage",
    ],
)
def test_a_tag_that_a_reason_tells_is_not_told_again(tag):
    trial = TrialFacts(n=200, accounting=Accounting(2.0, 2.0, 0.0, 0, 0), tags=(tag,))
    _, reasons = judge([trial] * 3, planned=3)
    assert reasons
    assert untold([tag, "partial"], [short_reason(reason) for reason in reasons]) == ["partial"]
    assert untold([tag], []) == [tag]
