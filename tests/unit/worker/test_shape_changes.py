"""When a change of shape counts as a rebuild."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from edgesweep_worker.shape_changes import was_rebuilt


@pytest.mark.parametrize(
    ("first_s", "next_s", "fresh_files", "rebuilt"),
    [
        (0.010, 0.010, 0, False),
        (0.010, 0.010, 1, True),  # a new file is proof, however fast it came
        (0.040, 0.013, 0, False),  # OpenVINO on a CPU: larger values are touched for the first time
        (0.054, 0.003, 0, True),
        (0.052, 0.003, 0, False),  # less than 50 ms more
        (2.000, 0.500, 0, False),  # a slow model is only four times as slow
        (2.500, 0.500, 0, True),
        (0.001, 0.500, 0, False),
    ],
)
def test_far_longer_than_the_next_run_is_a_rebuild(first_s, next_s, fresh_files, rebuilt):
    assert was_rebuilt(first_s, next_s, fresh_files) is rebuilt
