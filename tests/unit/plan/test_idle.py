"""Entries of a plan that do nothing, found without any device."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from edgesweep.plan.idle import idle_entries
from edgesweep.plan.load import LoadedPlan
from edgesweep.plan.sources import sources_of

TODAY = date(2026, 11, 3)
PLAN = """version: 1
models:
  - {factory: "lab.py:net", dynamic: {x: {0: batch}}}
  - {onnx: ready.onnx}
export: {exporters: [dynamo, torchscript], opsets: [13, 17], axes: [static, batch]}
runtimes: [1.16.3, openvino-1.24.1]
providers: [cpu, "openvino,cpu"]
shapes: [example, {batch: 4}]
"""
LABELS = {"pi5": {"site": "lab1"}, "desk": {}}

Read = Callable[[str], LoadedPlan]


def idle(loaded: LoadedPlan, labels: dict[str, dict[str, str]], today: date = TODAY) -> list[str]:
    return idle_entries(loaded.plan, sources_of(loaded.plan, loaded.base_dir), labels, today=today)


@pytest.mark.parametrize(
    ("entry", "useful"),
    [
        ("{model: net}", True),
        ("{model: 'b*'}", False),
        ("{opset: 15}", True),  # the ready file's own may be that
        ("{model: net, opset: 15}", False),
        ("{model: ready, opset: 15}", True),
        ("{model: ready, exporter: dynamo}", False),
        ("{axes: full}", False),
        ("{precision: fp16}", False),
        ("{threads: 2}", False),
        ("{threads: [1, 2]}", True),
        ("{shape: batch4}", True),
        ("{shape: example}", True),
        ("{shape: batch5}", False),
        ("{providers: 'openvino,cpu'}", True),
        ("{providers: openvino}", False),
        ("{runtime: '1.16*'}", True),
        ("{runtime: 1.16.3@py38}", True),
        ("{runtime: 1.17.0}", False),
        ("{device: pi5}", True),
        ("{device: site=lab1}", True),
        ("{device: site=lab2}", False),
    ],
)
@pytest.mark.parametrize("key", ["exclude", "known_failures"])
def test_an_entry_that_can_mean_no_cell_is_named(read: Read, key: str, entry: str, useful: bool) -> None:
    loaded = read(f"{PLAN}{key}: [{entry}]\n")
    assert idle(loaded, LABELS) == ([] if useful else [f"{key}[0] means no cell of this plan"])


def test_no_entry_is_judged_by_what_is_not_known(read: Read) -> None:
    unknown = PLAN.replace("runtimes: [1.16.3, openvino-1.24.1]\n", "runtimes: all\n").replace(
        'providers: [cpu, "openvino,cpu"]\n', "providers: available\n"
    )
    loaded = read(f"{unknown}exclude: [{{device: nowhere}}, {{runtime: 1.17.0}}, {{providers: cuda}}]\n")
    assert idle(loaded, {}) == []
    assert idle(loaded, LABELS) == ["exclude[0] means no cell of this plan"]


def test_an_entry_ends_with_its_last_day(read: Read) -> None:
    loaded = read(
        f"{PLAN}exclude: [{{opset: 13, until: 2027-01-31}}]\nknown_failures: [{{opset: 9, until: 2027-01-30}}]\n"
    )
    assert idle(loaded, LABELS, date(2027, 1, 31)) == ["known_failures[0] ended on 2027-01-30 and no longer counts"]
    assert idle(loaded, LABELS, date(2027, 2, 1)) == [
        "exclude[0] ended on 2027-01-31 and no longer counts",
        "known_failures[0] ended on 2027-01-30 and no longer counts",
    ]
