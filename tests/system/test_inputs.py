"""Inputs of the user's own, from a plan through export, agent and worker to the report."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys

import numpy as np

PLAN = """
version: 1
name: given
models:
  - factory: tiny_model.py:build
    name: tiny
    dynamic: {x: {0: batch}}
    inputs: own/in.npz
  - onnx: ready.onnx
    inputs: own/in.npz
    references: own/out.npz
export: {exporters: [torchscript], opsets: [17], axes: [static]}
measure: {preset: smoke, max_duration_s: 0.3, min_duration_s: 0.1}
fail_on: [failure]
"""

#: Writes the tiny model as a file, and what torch makes of the given inputs.
READY = """
import sys
import numpy as np
import torch
from tiny_model import build
model, _ = build()
x = torch.from_numpy(np.load("own/in.npz")["x"])
torch.onnx.export(model, (x,), "ready.onnx", dynamo=False, input_names=["x"], output_names=["y"], opset_version=17,
                  dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
np.savez("own/out.npz", y=model(x).detach().numpy())
"""


def npy_digest(array: np.ndarray) -> str:
    target = io.BytesIO()
    np.save(target, array, allow_pickle=False)
    return hashlib.sha256(target.getvalue()).hexdigest()


def test_given_inputs_reach_the_board_as_they_are(lab):
    own = lab.root / "own"
    own.mkdir()
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(3, 8)
    np.savez(own / "in.npz", x=x)
    subprocess.run([sys.executable, "-W", "ignore", "-c", READY], cwd=lab.root, check=True, capture_output=True)
    lab.write("given.yaml", PLAN)
    lab.add_agent("board")
    cells = {cell["model"]: cell for cell in lab.run_json("given.yaml")["cells"]}
    for name, cell in cells.items():
        assert cell["outcome"] == "pass", (name, cell["message"])
        (found,) = cell["inputs"]
        assert (found["name"], found["dtype"], found["shape"]) == ("x", "float32", [3, 8])
        assert found["sha256"] == npy_digest(x)
        assert cell["numerics"]["where"] == "device"
    assert cells["ready"]["numerics"]["reference_note"] == ""

    # Other values are other inputs, although everything else was exported before.
    np.savez(own / "in.npz", x=x + 1)
    np.savez(own / "out.npz", y=np.zeros((3, 3), np.float32))
    cells = {cell["model"]: cell for cell in lab.run_json("given.yaml", code=1)["cells"]}
    assert cells["tiny"]["inputs"][0]["sha256"] == npy_digest(x + 1)
    assert (cells["ready"]["outcome"], cells["ready"]["cause"]) == ("failed", "wrong_output")

    # What does not fit is the plan's fault: the sentence names it, and the exit code says so.
    np.savez(own / "in.npz", x=np.zeros((3, 9), np.float32))
    cells = {cell["model"]: cell for cell in lab.run_json("given.yaml", code=2)["cells"]}
    assert {cell["cause"] for cell in cells.values()} == {"inputs_unusable"}
    assert "[3, 9], and the model takes [batch, 8]" in cells["tiny"]["message"]
    assert "numpy.savez" in cells["ready"]["remedy"]
