"""One agent with an old onnxruntime and OpenVINO's beside its own, all from the index: a cut of `scripts/bench runtimes`.

What each runtime must refuse follows from the numbers in the file and from limits that were found by hand (export-facts.md).
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

HERE = importlib.metadata.version("onnxruntime")
#: A release that this Python has wheels of, its newest opset and IR.
OLD, OLDEST_LIMITS = ("1.16.3", (19, 9)) if sys.version_info < (3, 12) else ("1.20.1", (21, 10))
FLAVOUR = "openvino-1.24.1"
CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"

pytestmark = pytest.mark.timeout(600)

#: The two exporters write other IR versions at one opset, so that every kind of refusal is met.
PLAN = f"""
version: 1
name: runtimes
models:
  - {{factory: "tiny_model.py:build", name: mlp, export: {{exporters: [dynamo]}}}}
  - {{zoo: keyword-spotter, export: {{exporters: [torchscript]}}}}
export: {{opsets: [18, 20, 23], axes: [static]}}
runtimes: [{HERE}, {OLD}, %s]
providers: [cpu, openvino, cuda]
measure: {{preset: compat}}
skip: nothing
fail_on: [none]
"""
#: Timed: an answer from the CPU would have a number to show.
HALF = f"""
version: 1
name: half
models: [{{onnx: half.onnx}}]
runtimes: [{FLAVOUR}]
providers: [openvino, cuda]
measure: {{preset: smoke, min_duration_s: 0, max_duration_s: 0.2}}
fallback: %s
fail_on: [none]
"""


@pytest.fixture(scope="module")
def installed(shared_lab) -> dict[str, dict[str, Any]]:
    """What `runtime install` says of both; OpenVINO's is missing where the index has it not."""
    agent = shared_lab.add_agent("desk")
    added = shared_lab.cli("device", "add", "desk", agent.address, "--state-dir", str(shared_lab.root / "state-desk"))
    assert added.returncode == 0, added.stderr
    args = ("runtime", "install", "desk", OLD, FLAVOUR, "--python", sys.executable, "-o", "json")
    done = shared_lab.cli(*args, timeout=500)
    if "cannot be fetched" in done.stderr and not done.stdout:
        pytest.skip("NO PACKAGE INDEX HERE: sweeping over several real onnxruntimes was NOT tested")
    rows = {row["asked"]: row for row in json.loads(done.stdout)["runtimes"]}
    if rows[OLD]["cause"] == "index_unreachable":
        pytest.skip("NO PACKAGE INDEX HERE: sweeping over several real onnxruntimes was NOT tested")
    assert rows[OLD]["state"] == "installed", done.stderr
    assert rows[FLAVOUR]["state"] == "installed" or rows[FLAVOUR]["cause"] in {"index_unreachable", "runtime_unfit"}, (
        done.stderr
    )
    return {name: row for name, row in rows.items() if row["state"] == "installed"}


@pytest.fixture(scope="module")
def swept(shared_lab, installed) -> list[dict[str, Any]]:
    """The cells of the sweep; every planned one is there once."""
    shared_lab.write("runtimes.yaml", (PLAN % FLAVOUR) if FLAVOUR in installed else (PLAN % "").replace(", ]", "]"))
    planned = json.loads(shared_lab.cli("run", "runtimes.yaml", "--dry-run", "-o", "json").stdout)["cells"]
    done = shared_lab.cli("run", "runtimes.yaml", "-o", "json", "--progress", "plain", timeout=400)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert sorted(cell["name"] for cell in cells) == sorted(planned)
    assert len(cells) == 2 * 3 * 3 * (1 + len(installed))
    return cells


@pytest.fixture
def openvino(installed) -> None:
    if FLAVOUR not in installed:
        pytest.skip(f"NO {FLAVOUR} FROM THE INDEX: a second real provider was NOT tested")


def test_the_old_one_is_probed_to_its_real_limits(installed) -> None:
    probe = installed[OLD]["probe"]
    assert (probe["id"], probe["version"], probe["fault"]) == (OLD, OLD, "")
    assert (probe["max_opset"], probe["max_ir_version"]) == OLDEST_LIMITS
    assert (probe["numpy_version"] < "2") == (OLD < "1.19")


def test_what_the_old_one_refuses_is_told_apart_by_opset_and_ir(swept) -> None:
    met = set()
    for cell in swept:
        if cell["providers"] != ["cpu"]:
            continue
        opset, ir_version = cell["produced"]["opset"], cell["produced"]["ir_version"]
        old = cell["runtime"] == OLD
        new = (old and opset > OLDEST_LIMITS[0], old and ir_version > OLDEST_LIMITS[1])
        met.add(new)
        expected = {
            (False, False): ("pass", "placement", "", []),
            (False, True): ("failed", "load", "ir_unsupported", []),
            (True, False): ("failed", "load", "opset_unsupported", []),
            (True, True): ("failed", "load", "opset_unsupported", ["ir_unsupported"]),
        }[new]
        assert (cell["outcome"], cell["stage"], cell["cause"], cell["also"]) == expected, cell["name"]
    assert met >= {(False, False), (True, False), (True, True)}
    assert ((False, True) in met) == (OLD == "1.16.3")


def test_a_provider_that_is_not_there_never_gives_a_number(swept) -> None:
    absent = [
        cell
        for cell in swept
        if cell["providers"] == ["cuda"] or (cell["providers"] == ["openvino"] and cell["runtime"] != FLAVOUR)
    ]
    assert {cell["runtime"] for cell in absent} >= {HERE, OLD}
    for cell in absent:
        ended = (cell["outcome"], cell["stage"], cell["cause"])
        assert ended == ("failed", "load", "provider_unavailable"), cell["name"]
        assert (cell["latency_s"], cell["placement"], cell["numerics"]["where"]) == (None, None, "export")


@pytest.mark.usefixtures("openvino")
def test_openvino_says_where_the_nodes_really_went(swept) -> None:
    there = [cell for cell in swept if (cell["runtime"], cell["providers"]) == (FLAVOUR, ["openvino"])]
    assert len(there) == 6
    for cell in there:
        nodes = {share["provider"]: share["nodes"] for share in cell["placement"]["shares"] if share["nodes"]}
        assert cell["placement"]["method"] == "assignment"
        assert (cell["outcome"], nodes.get(OPENVINO, 0) > 0) == ("pass", True), cell["name"]
        assert (set(nodes) != {OPENVINO}) == ("partial" in cell["tags"])


#: Two shapes of one model, each from an empty and from a primed cache.
COMPILED = f"""
version: 1
name: compiled
models: [{{onnx: rows.onnx}}]
runtimes: [{FLAVOUR}]
providers: [openvino]
shapes: [example, {{rows: 64}}]
session: {{provider_cache: [empty, primed]}}
measure: {{preset: smoke, min_duration_s: 0, max_duration_s: 0.1, shape_changes: true}}
"""


def rows_model() -> onnx.ModelProto:
    """A product over any number of rows."""
    weights = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 64]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Tanh", ["m"], ["y"])]
    graph = helper.make_graph(nodes, "rows", [x], [y], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.usefixtures("openvino")
def test_what_openvino_compiles_stands_apart_and_names_the_state_of_its_numbers(shared_lab) -> None:
    onnx.save(rows_model(), shared_lab.root / "rows.onnx")
    shared_lab.write("compiled.yaml", COMPILED)
    cells = shared_lab.run_json("compiled.yaml")["cells"]
    assert [cell["outcome"] for cell in cells] == ["pass"] * 4
    for cell in cells:
        found, primed = cell["compile"], cell["provider_cache"] == "primed"
        assert (found["provider"], found["part_of"]) == (OPENVINO, "session")
        assert found["seconds"] == cell["cold_start_s"]["session"] > 0
        assert (found["files_before"], found["files_after"]) == (int(primed), 1)
        assert cell["state"]["engine_hash"] == found["engine_hash"]
        # It writes the same blob each time; on a processor it does so even where it finds one.
        assert ("provider_cache_not_honoured" in cell["tags"]) == primed
        changes = [(change["from"], change["to"]) for change in found["shape_changes"]]
        assert changes == [("example", "rows64"), ("rows64", "example")][:: 1 if cell["shape"] == "example" else -1]
    assert len({cell["key"] for cell in cells}) == 4
    assert len({cell["state_key"] for cell in cells}) == 1
    assert not list((shared_lab.root / "state-desk").rglob("provider-*"))


def half_model() -> onnx.ModelProto:
    """Product, Tanh and two Hardmax, twice: OpenVINO has no Hardmax."""
    operators = ("MatMul", "Tanh", "Hardmax", "Hardmax") * 2
    names = ["x", *(f"v{place}" for place in range(1, len(operators))), "y"]
    nodes = [
        helper.make_node(operator, [names[place], "w"] if operator == "MatMul" else [names[place]], [names[place + 1]])
        for place, operator in enumerate(operators)
    ]
    weights = np.random.default_rng(0).standard_normal((64, 64), np.float32) / 8
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 64]) for name in "xy")
    graph = helper.make_graph(nodes, "half", [x], [y], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("policy", ["warn", "fail", "warn\nplacement: {min_nodes: 0.6}"], ids=["warn", "fail", "limit"])
def test_a_model_half_of_which_openvino_takes_is_partial_with_shares(shared_lab, policy: str) -> None:
    onnx.save(half_model(), shared_lab.root / "half.onnx")
    shared_lab.write("half.yaml", HALF % policy)
    on_openvino, on_cuda = shared_lab.run_json("half.yaml")["cells"]
    shares = {share["provider"]: share for share in on_openvino["placement"]["shares"]}
    assert {name: share["nodes"] for name, share in shares.items()} == {OPENVINO: 4, CPU: 4}
    assert (shares[OPENVINO]["subgraphs"], shares[OPENVINO]["operators"]) == (2, {"MatMul": 2, "Tanh": 2})
    assert (shares[CPU]["operators"], on_openvino["placement"]["model_nodes"]) == ({"Hardmax": 4}, 8)
    assert min(share["time_share"] for share in shares.values()) > 0
    assert sum(share["time_share"] for share in shares.values()) == pytest.approx(1)
    assert (on_cuda["outcome"], on_cuda["cause"], on_cuda["latency_s"]) == ("failed", "provider_unavailable", None)
    if policy != "warn":
        assert (on_openvino["outcome"], on_openvino["cause"]) == ("fallback", "partial_placement")
        return
    assert on_openvino["outcome"] == "pass"
    assert "partial" in on_openvino["tags"]
    assert any("4 of 8 nodes ran outside" in reason for reason in on_openvino["reasons"])
    assert on_openvino["latency_s"]["median"] > 0
