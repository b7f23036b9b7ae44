"""A whole run's events, told from the reports' sample document, and a clock that stands still until it is moved."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from edgesweep.dashboard.recording import events_of


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def make_doc():
    spec = importlib.util.spec_from_file_location(
        "sample_reports", Path(__file__).parents[1] / "report" / "conftest.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_sample


@pytest.fixture(scope="session")
def sample_events(make_doc):
    return events_of(make_doc())
