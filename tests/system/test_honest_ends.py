"""Models and runtimes that misbehave while they are measured: each gets its own honest verdict or cause."""

from __future__ import annotations

import itertools
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

STAND_IN = Path(__file__).with_name("stand_ins") / "moody_runtime.py"
MIB = 1024 * 1024
FLOAT = TensorProto.FLOAT


def save(path: Path, nodes: list[Any], size: list[Any], initializers: tuple[Any, ...] = ()) -> None:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, size)],
        [helper.make_tensor_value_info("y", FLOAT, size)],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def two_modes(path: Path) -> None:
    """One product with the identity, or, by the toss of a coin each run, four of them: the same answer, later."""

    def products(count: int, name: str) -> Any:
        steps = ["x", *(f"{name}{index}" for index in range(count))]
        nodes = [helper.make_node("MatMul", [before, "one"], [after]) for before, after in itertools.pairwise(steps)]
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(steps[-1], FLOAT, [256, 256])])

    nodes = [
        helper.make_node("RandomUniform", [], ["coin"], shape=[1]),
        helper.make_node("Less", ["coin", "half"], ["heads"]),
        helper.make_node("If", ["heads"], ["y"], then_branch=products(1, "few"), else_branch=products(4, "many")),
    ]
    one = numpy_helper.from_array(np.eye(256, dtype=np.float32), "one")
    half = numpy_helper.from_array(np.array([0.5], dtype=np.float32), "half")
    save(path, nodes, [256, 256], (one, half))


def steady(path: Path) -> None:
    save(path, [helper.make_node("Relu", ["x"], ["y"])], [4, 4])


def no_numbers(path: Path) -> None:
    far = numpy_helper.from_array(np.array([1e6], dtype=np.float32), "far")
    save(path, [helper.make_node("Sub", ["x", "far"], ["d"]), helper.make_node("Sqrt", ["d"], ["y"])], [4, 4], (far,))


def too_large(path: Path) -> None:
    """Its values take 512 MiB: nothing to the host, too much for a board that allows less."""
    nodes = [
        helper.make_node("Tile", ["x", "often"], ["large"]),
        helper.make_node("Neg", ["large"], ["n"]),
        helper.make_node("ReduceSum", ["n"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["x", "nought"], ["flat"]),
        helper.make_node("Add", ["flat", "sum"], ["y"]),
    ]
    often = numpy_helper.from_array(np.array([64], dtype=np.int64), "often")
    nought = numpy_helper.from_array(np.array([0], dtype=np.float32), "nought")
    save(path, nodes, [MIB], (often, nought))


def moody(folder: Path, mood: str) -> Path:
    """An interpreter that is this one, but runs workers through the stand-in."""
    path = folder / "python"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *run.py) shift; exec "{sys.executable}" -I "{STAND_IN}" {mood} "$@" ;; esac\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


PLAN = """
version: 1
name: misbehaving
models: [{models}]
devices: [{device}]
runtimes: {runtime}
providers: [cpu]
measure: {{preset: smoke}}
fail_on: [failure]
"""


def measured(lab: Any, models: list[Any], device: str, runtime: str = "newest", code: int = 0) -> dict[str, Any]:
    """The cells of a sweep over `models`, by the model's name."""
    for build in models:
        build(lab.root / f"{build.__name__}.onnx")
    entries = ", ".join(f"{{onnx: {build.__name__}.onnx}}" for build in models)
    lab.write(f"{device}.yaml", PLAN.format(models=entries, device=device, runtime=runtime))
    document = lab.run_json(f"{device}.yaml", code=code)
    return {cell["model"]: cell for cell in document["cells"]}


def add_moody(lab: Any, mood: str) -> None:
    folder = lab.root / "moody"
    folder.mkdir()
    lab.add_agent("moody", "--runtime", f"moody={moody(folder, mood)}")


def crowded(cell: dict[str, Any]) -> bool:
    """Whether the machine was too busy for a word on the model; what is said then of its times is not the model's doing."""
    return any(reason.startswith("noisy") for reason in cell["reasons"])


def says(cell: dict[str, Any], words: str) -> bool:
    return any(words in reason for reason in cell["reasons"])


def test_each_misbehaving_model_gets_its_own_end(lab: Any) -> None:
    lab.add_agent("board", "--max-worker-bytes", str(384 * MIB))
    cells = measured(lab, [two_modes, no_numbers, too_large], "board", code=1)

    assert (cells["too_large"]["outcome"], cells["too_large"]["cause"]) == ("failed", "oom")
    assert cells["too_large"]["stage"] == "first_run"
    assert cells["too_large"]["latency_s"] is None

    assert cells["two_modes"]["outcome"] == "pass"
    assert cells["two_modes"]["verdict"] != "trusted"
    if not crowded(cells["two_modes"]):
        assert cells["two_modes"]["course"]["modes"]
        assert says(cells["two_modes"], "two modes"), cells["two_modes"]["reasons"]

    assert cells["no_numbers"]["outcome"] == "pass"
    assert cells["no_numbers"]["verdict"] != "trusted"
    assert says(cells["no_numbers"], "NaN"), cells["no_numbers"]["reasons"]


def test_a_runtime_whose_first_run_takes_40_s_pays_for_it_once(lab: Any) -> None:
    add_moody(lab, "slow-first=40")
    cell = measured(lab, [steady], "moody", "[moody]")["steady"]
    assert cell["outcome"] == "pass"
    assert cell["cold_start_s"]["first_run"] >= 40
    assert cell["cold_start_s"]["second_run"] < 4
    assert cell["latency_s"]["mean"] < 4


def test_a_first_run_beyond_its_deadline_is_a_timeout_of_that_stage(lab: Any) -> None:
    add_moody(lab, "slow-first=400")
    steady(lab.root / "steady.onnx")
    text = PLAN.format(models="{onnx: steady.onnx}", device="moody", runtime="[moody]")
    lab.write("short.yaml", text.replace("preset: smoke", "preset: smoke, deadlines_s: {first_run: 2}"))
    (cell,) = lab.run_json("short.yaml", code=1)["cells"]
    assert (cell["outcome"], cell["stage"], cell["cause"]) == ("failed", "first_run", "timeout")


def test_compiling_beyond_its_deadline_is_told_apart_from_a_worker_that_hangs(lab: Any) -> None:
    add_moody(lab, "compiling=400")
    steady(lab.root / "steady.onnx")
    text = PLAN.format(models="{onnx: steady.onnx}", device="moody", runtime="[moody]")
    lab.write("long.yaml", text.replace("preset: smoke", "preset: smoke, deadlines_s: {compile: 2}"))
    (cell,) = lab.run_json("long.yaml", code=1)["cells"]
    assert (cell["outcome"], cell["stage"], cell["cause"]) == ("failed", "compile", "compile_timeout")
    assert "still compiling the model after 2 s" in cell["message"]
    assert "measure.deadlines_s.compile" in cell["remedy"]


def test_a_runtime_that_slows_from_run_to_run_is_seen_to(lab: Any) -> None:
    add_moody(lab, "slowing")
    cell = measured(lab, [steady], "moody", "[moody]")["steady"]
    assert cell["outcome"] == "pass"
    assert cell["verdict"] != "trusted"
    if not crowded(cell):
        assert cell["course"]["trials"]["slowdown"] == 1
        assert cell["course"]["change"] > 0.1
        assert says(cell, "slowdown"), cell["reasons"]
