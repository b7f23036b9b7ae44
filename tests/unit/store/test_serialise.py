from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from enum import Enum
from typing import Any

import pytest
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Cell, Session, Variant
from edgesweep.stats.summary import LatencySummary
from edgesweep.store import rows
from edgesweep.store.records import CellEnd, CellRecord, DeviceRecord, RunRecord, RunSummary, RunView, TrialRecord
from edgesweep.store.serialise import clean_text, from_data, to_data
from edgesweep_proto.blob import Blob
from edgesweep_proto.device import Device, Reading, Runtime
from edgesweep_proto.trial import Accounting, ColdStart, Numerics, Samples, Stage, TrialOutcome, TrialResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
FLOATS = st.floats(allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS.filter(math.isfinite) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
PLAIN = {str: TEXT, int: st.integers(-(2**60), 2**60), float: FLOATS, bool: st.booleans(), Any: JSON}


def values(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one line per kind of type
    """Values of an annotated type, at any depth."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, types.UnionType):
        return st.one_of(*(st.none() if arg is type(None) else values(arg) for arg in args))
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, args))
    if origin is dict:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    return st.builds(hint, **{field.name: values(hints[field.name]) for field in dataclasses.fields(hint)})


def whole(value: Any) -> Any:
    """`value` with every field, also those that equality leaves out."""
    return dataclasses.asdict(value)


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


frugal = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
RECORDS = (
    RunRecord,
    DeviceRecord,
    TrialRecord,
    CellEnd,
    CellRecord,
    RunView,
    RunSummary,
    Cell,
    ExportResult,
    LatencySummary,
    TrialResult,
    Device,
    Runtime,
    Reading,
)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_every_record_comes_back_from_json(cls):
    @frugal
    @given(values(cls))
    def check(record):
        assert whole(from_data(cls, through_json(to_data(record)))) == whole(record)

    check()


@frugal
@given(values(RunRecord), values(DeviceRecord), values(ExportResult))
def test_runs_devices_and_exports_come_back_from_rows(run, device, export):
    assert rows.run_from_row(through_json(rows.run_row(run))) == run
    assert rows.device_from_row(through_json(rows.device_row("run", device))) == device
    row = rows.export_row("run", export) | {"seconds": 1.0}
    assert rows.export_from_row(through_json(row)) == dataclasses.replace(export, seconds=1.0)


@frugal
@given(values(Cell), values(CellEnd))
def test_cells_and_their_ends_come_back_from_rows(cell, end):
    row = rows.cell_row("run", 0, cell)
    assert whole(rows.cell_from_row(through_json(row))) == whole(cell)
    end = dataclasses.replace(end, cell_name=cell.name, latency=None)
    assert rows.end_from_row(through_json(row | rows.end_row(end))) == end


@frugal
@given(values(TrialRecord))
def test_trials_come_back_from_rows(trial):
    result = dataclasses.replace(trial.result, trial_id=trial.id, started=1.0, finished=2.0)
    trial = dataclasses.replace(trial, result=result, latency=None)
    row = rows.trial_row("run", 1, trial, trial.samples_digest)
    assert rows.trial_from_row(through_json(row), trial.cell_name) == trial


def test_every_field_of_a_record_reaches_its_row():
    """A field added to a record but not to its row would be lost silently."""
    stored = {
        ExportResult: {"variant", "stage", "cause", "message", "detail", "seconds", "cached", *rows._EXPORT_FIGURES},
        CellEnd: {
            "cell_name", "outcome", "stage", "cause", "message", "remedy", "detail", "verdict", "same_as", "see", *rows._END_FIGURES,
        },
        Cell: {"variant", "device", "runtime", *rows._CELL_ASKED},
    }  # fmt: skip
    for cls, names in stored.items():
        assert {field.name for field in dataclasses.fields(cls)} == names


def test_floats_that_json_lacks_are_kept():
    numerics = Numerics(math.inf, -math.inf, 1)
    assert from_data(Numerics, through_json(to_data(numerics))) == numerics
    odd = from_data(Numerics, through_json(to_data(Numerics(math.nan, 0.0, 1))))
    assert math.isnan(odd.max_absolute_error)


def test_text_that_no_database_holds_is_made_visible():
    assert clean_text("a\x00b\udcffc é 🙂") == "a\u2400b\ufffdc é 🙂"
    assert to_data({"a\x00": ["\ud800"]}) == {"a\u2400": ["\ufffd"]}


def test_a_missing_field_takes_its_default_or_is_named():
    assert from_data(
        Numerics, {"max_absolute_error": 1, "max_relative_error": 2, "outputs_compared": 3, "newer": 4}
    ) == Numerics(1.0, 2.0, 3)
    with pytest.raises(KeyError, match="outputs_compared"):
        from_data(Numerics, {"max_absolute_error": 1, "max_relative_error": 2})


def test_what_an_older_edgesweep_stored_is_still_read():
    """Rows as they were before a trial had evidence and a cell had scenarios."""
    cell = rows.cell_row("run", 0, Cell(Variant("net", "dynamo", 18, "static"), "pi", "1.32.0", ("cpu",)))
    cell["asked"]["session"] = {"threads": 2, "graph_optimization": "all", "io_mode": "host"}
    assert rows.cell_from_row(through_json(cell)).session == Session(2, io_mode="host")

    result = TrialResult(
        "t",
        TrialOutcome.PASS,
        Stage.PLACEMENT,
        accounting=Accounting(2.0, 1.9, 0.1, 3, 0),
        samples=Samples(Blob("d" * 64, 8), 0, 1, 1, "floors_met"),
        cold_start=ColdStart(0.1, 0.2, 0.3, 0.4),
    )
    row = rows.trial_row("run", 1, TrialRecord("t", "c", 0, 0, result), None)
    figures = through_json(row)["figures"]
    del figures["series"]
    for name in ("gates", "trace", "threads", "energy", "arena", "harness_floor_s"):
        del figures["result"][name]
    for part, new in (("accounting", 6), ("samples", 4), ("cold_start", 4)):
        for name in list(figures["result"][part])[-new:]:
            del figures["result"][part][name]
    found = rows.trial_from_row({**row, "figures": figures}, "c")
    assert (found.series, found.result) == (None, result)
