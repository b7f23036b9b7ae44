from __future__ import annotations

import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.plan.cell import Cell, Variant
from edgesweep.plan.selection import select

CELLS = tuple(
    Cell(Variant(model, exporter, opset, "batch"), device, "1.32.0", ("cpu",))
    for device in ("pi4", "pi5", "nano")
    for model in ("detector", "text-encoder")
    for exporter in ("dynamo", "torchscript")
    for opset in (13, 18)
)


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("detector", lambda name: "detector" in name),
        ("DETECTOR", lambda name: "detector" in name),
        ("detector and dynamo", lambda name: "detector" in name and "dynamo" in name),
        ("not detector", lambda name: "detector" not in name),
        ("not not detector", lambda name: "detector" in name),
        (
            "detector or dynamo and opset13",
            lambda name: "detector" in name or ("dynamo" in name and "opset13" in name),
        ),
        (
            "(detector or dynamo) and opset13",
            lambda name: ("detector" in name or "dynamo" in name) and "opset13" in name,
        ),
        (
            "not (opset13 or torchscript)and pi",
            lambda name: not ("opset13" in name or "torchscript" in name) and "pi" in name,
        ),
        (
            "pi5/text-encoder/dynamo-opset18-batch-fp32/1.32.0/cpu/example/t1",
            lambda name: name.startswith("pi5/text-encoder/dynamo-opset18"),
        ),
        ("1.32.0/cpu", lambda _: True),
        ("nothing-like-it", lambda _: False),
        ("", lambda _: True),
        ("   ", lambda _: True),
    ],
)
def test_words_of_the_name_choose_cells_in_order(expression: str, fits) -> None:
    assert select(CELLS, expression) == tuple(cell for cell in CELLS if fits(cell.name))


@pytest.mark.parametrize(
    ("globs", "devices"),
    [
        (["pi*"], {"pi4", "pi5"}),
        (["pi4", "nano"], {"pi4", "nano"}),
        (["pi?"], {"pi4", "pi5"}),
        (["x*"], set()),
        ([], {"pi4", "pi5", "nano"}),
    ],
)
def test_globs_choose_devices(globs: list[str], devices: set[str]) -> None:
    assert {cell.device for cell in select(CELLS, devices=globs)} == devices


def test_words_and_globs_both_have_to_fit() -> None:
    chosen = select(CELLS, "detector and opset13", ["pi5"])
    assert [cell.name for cell in chosen] == [
        "pi5/detector/dynamo-opset13-batch-fp32/1.32.0/cpu/example/t1",
        "pi5/detector/torchscript-opset13-batch-fp32/1.32.0/cpu/example/t1",
    ]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a b", "'b' is unexpected; join words by and or or"),
        ("(a", "a parenthesis is not closed"),
        ("a)", "')' is unexpected; join words by and or or"),
        ("a and", "it ends where a word should stand"),
        ("and a", "a word should stand before 'and'"),
        ("()", "a word should stand before ')'"),
        ("not", "it ends where a word should stand"),
        ("(" * 5000 + "a", "it is nested too deeply"),
    ],
)
def test_an_expression_that_cannot_be_read(expression: str, why: str) -> None:
    with pytest.raises(EdgesweepError) as caught:
        select(CELLS, expression)
    assert caught.value.message == f"the expression '{expression}' cannot be read: {why}"
    assert caught.value.exit_code is ExitCode.USAGE
    assert "dynamo and not" in caught.value.remedy
