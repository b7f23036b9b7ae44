"""Answers across sessions and from run to run, with real models that really do it, through the whole of it."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

PLAN = """
version: 1
name: numerics
models: [{onnx: steady.onnx}, {onnx: touchy.onnx, verify: {absolute: 0.1}}, {onnx: noisy.onnx}]
session: {graph_optimization: [disabled, all]}
measure: {preset: smoke, min_duration_s: 0.05, max_duration_s: 0.2}
"""

IMAGE, MAPS = [1, 3, 16, 16], [1, 4, 16, 16]


def normalised(offset: float) -> bytes:
    """Convolution and batch normalisation, which optimisation makes one: the offset that one adds, the other takes away.

    With a large one the sum has few digits left for the result.
    """
    numbers = np.random.default_rng(0)
    arrays = {
        "w": numbers.standard_normal((4, 3, 3, 3)),
        "c": np.full(4, offset),
        "scale": np.array([1.1, 0.9, 1.3, 0.7]),
        "shift": np.zeros(4),
        "mean": np.full(4, offset),
        "var": np.ones(4),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "c"], ["z"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["z", "scale", "shift", "mean", "var"], ["y"]),
    ]
    return model(nodes, {name: array.astype(np.float32) for name, array in arrays.items()})


def noisy() -> bytes:
    """Noise that is drawn anew in each run: nobody gave it a seed."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["n"]),
        helper.make_node("Add", ["x", "n"], ["z"]),
        helper.make_node("Conv", ["z", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    return model(nodes, {"w": np.ones((4, 3, 3, 3), dtype=np.float32)})


def model(nodes, arrays) -> bytes:
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)]
        for name, shape in (("x", IMAGE), ("y", MAPS))
    )
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 7
    return made.SerializeToString()


@pytest.fixture
def swept(lab):
    lab.add_agent("board")
    for name, content in (("steady", normalised(0.5)), ("touchy", normalised(1e5)), ("noisy", noisy())):
        (lab.root / f"{name}.onnx").write_bytes(content)
    (lab.root / "numerics.yaml").write_text(PLAN)
    done = lab.cli("run", "numerics.yaml", "-o", "json", "--progress", "none")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_answers_are_held_against_each_other_and_against_themselves(lab, swept) -> None:
    cells = {(cell["model"], cell["graph_optimization"]): cell for cell in swept["cells"]}

    # A model that draws numbers is a finding in itself, and is held against nothing.
    for level in ("disabled", "all"):
        noisy = cells["noisy", level]
        assert (noisy["outcome"], noisy["stage"], noisy["cause"]) == ("failed", "verify", "nondeterministic_output")
        assert "two runs with the same inputs differ, y: up to" in noisy["message"]
        assert "nondeterministic:y" in noisy["tags"]
        assert noisy["outputs"][0]["run_difference"] > 0.1
        assert noisy["agreement"] is None

    # Two ways to compute the same: no bit need be equal, and all is well.
    groups = {group["model"]: group for group in swept["agreement"]}
    assert set(groups) == {"steady", "touchy"}
    steady = groups["steady"]
    assert (steady["cells"], steady["agrees"], steady["bitwise"]) == (2, True, False)
    assert 0 < steady["worst"]["relative"] < 1e-5

    # What the plan lets through against the reference still shows as a disagreement: digits are lost in there.
    off, reference = swept_pair(cells, "touchy", groups["touchy"])
    assert {cell["outcome"] for cell in (off, reference)} == {"pass"}
    assert off["numerics"]["tolerance"] == {"absolute": 0.1, "relative": 1e-3, "sqnr_db": None}
    assert off["numerics"]["tolerance_from"] == "plan"
    assert off["agreement"]["agrees"] is False
    assert off["agreement"]["limit"] == 1e-4 < off["agreement"]["relative"] < 1e-2
    assert ("disagrees" in off["tags"], "disagrees" in reference["tags"]) == (True, False)

    told = lab.cli("report", swept["run"]["id"], "-o", "table").stdout
    assert "1 of 2 artifacts that ran in several places agree within 0.0001 of the largest value" in " ".join(
        told.split()
    )


def swept_pair(cells, name: str, group) -> tuple[dict, dict]:
    """The cell that is off, and the one that it is held against."""
    pair = [cell for (model_name, _), cell in cells.items() if model_name == name]
    (reference,) = [cell for cell in pair if cell["name"] == group["reference"]]
    (off,) = [cell for cell in pair if cell is not reference]
    return off, reference
