"""Predicted failures through the real command line, agent, probe and worker: with the runtime at hand, and with older ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

#: Interpreters that hold an onnxruntime of another version, as tests/unit/worker/test_runtimes.py takes them.
OTHERS = [path for path in os.environ.get("EDGESWEEP_TEST_RUNTIMES", "").split(os.pathsep) if path]

PLAN = """
version: 1
name: foreseen
models:
{models}
providers: [[cpu]]
measure: {{preset: smoke, max_duration_s: 0.1, min_duration_s: 0.05}}
fail_on: [failure]
{more}
"""


def save(
    path: Path, nodes: list[onnx.NodeProto], *, opset: int = 21, ir: int = 10, domains: tuple[str, ...] = ()
) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = ir
    onnx.save(model, path)


def plain(path: Path, opset: int = 21, ir: int = 10) -> None:
    """A file that differs from others in what it does, so that each is an artifact of its own."""
    attribute = float(sum(path.stem.encode())) / 1000
    save(path, [helper.make_node("LeakyRelu", ["x"], ["y"], alpha=attribute)], opset=opset, ir=ir)


def foreign(path: Path, operator: str) -> None:
    """An operator of a domain that no build of onnxruntime has."""
    node = helper.make_node(operator, ["x"], ["y"], domain="com.example.lab")
    save(path, [node], domains=("com.example.lab",))


def exotic(path: Path, alpha: float) -> None:
    """Valid ONNX with values of a type that onnxruntime's CPU does not have."""
    nodes = [
        helper.make_node("LeakyRelu", ["x"], ["h"], alpha=alpha),
        helper.make_node("Cast", ["h"], ["t"], to=TensorProto.FLOAT4E2M1),
        helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT),
    ]
    save(path, nodes, opset=23, ir=11)


def write_plan(lab, names: list[str], more: str = "", name: str = "plan.yaml") -> str:
    models = "\n".join(f"  - onnx: {name}.onnx\n    name: {name}" for name in names)
    lab.write(name, PLAN.format(models=models, more=more))
    return name


def by_model(document: dict) -> dict[str, dict]:
    return {cell["model"]: cell for cell in document["cells"]}


@pytest.fixture
def files(lab) -> list[str]:
    for name in ("good", "better"):
        plain(lab.root / f"{name}.onnx")
    for name, operator in (("foreign-a", "Alpha"), ("foreign-b", "Beta"), ("foreign-c", "Gamma")):
        foreign(lab.root / f"{name}.onnx", operator)
    for name, alpha in (("exotic-a", 0.1), ("exotic-b", 0.2)):
        exotic(lab.root / f"{name}.onnx", alpha)
    return ["foreign-a", "good", "foreign-b", "exotic-a", "foreign-c", "better", "exotic-b"]


def test_one_real_load_proves_each_limit_and_the_rest_is_skipped(lab, files) -> None:
    lab.add_agent("board")
    shown = json.loads(lab.cli("device", "show", "board", "-o", "json").stdout)
    (runtime,) = shown["runtimes"]
    assert runtime["max_opset"] >= 19
    assert runtime["max_ir_version"] >= 9
    assert "newest" in lab.cli("device", "show", "board").stdout

    document = lab.run_json(write_plan(lab, files), code=1)
    cells = by_model(document)
    assert {name: cell["outcome"] for name, cell in cells.items()} == {
        "good": "pass",
        "better": "pass",
        "foreign-a": "failed",
        "foreign-b": "skipped",
        "foreign-c": "skipped",
        "exotic-a": "failed",
        "exotic-b": "skipped",
    }
    proofs = (
        ("foreign-a", "unsupported_op", ["foreign-b", "foreign-c"]),
        # The newest runtimes know the type by name, and have no kernel for it.
        ("exotic-a", "element_type_unsupported", ["exotic-b"]),
    )
    for proof, cause, others in proofs:
        tried = cells[proof]
        assert (tried["stage"], tried["prediction"]["cause"], tried["prediction"]["state"]) == ("load", cause, "proven")
        assert tried["cause"] in {cause, "unsupported_op"}
        assert tried["trials"]
        for name in others:
            assert cells[name]["cause"] == "predicted_failure"
            assert cells[name]["prediction"]["by"] == tried["name"]
            assert cells[name]["trials"] == []
    assert "com.example.lab" in cells["foreign-b"]["message"]
    assert "float4_e2m1fn" in cells["exotic-b"]["message"]
    assert cells["good"]["prediction"] is None

    none = by_model(lab.run_json(write_plan(lab, files, "skip: predicted")))
    assert [name for name, cell in none.items() if cell["trials"]] == ["good", "better"]
    assert {cell["prediction"]["state"] for cell in none.values() if cell["prediction"]} == {"predicted"}


@pytest.mark.timeout(900)
@pytest.mark.skipif(not OTHERS, reason="EDGESWEEP_TEST_RUNTIMES lists no interpreter with another onnxruntime")
def test_older_runtimes_refuse_what_their_limits_say_and_nothing_else(lab) -> None:
    """Opsets and IR versions around the limits, on every runtime: predicted exactly where the load fails."""
    agent = lab.add_agent("board")
    agent.stop()
    for place, python in enumerate(OTHERS):
        agent.command += ["--runtime", f"other{place}={python}"]
    agent.start()
    assert lab.cli("device", "remove", "board").returncode == 0
    assert lab.cli("device", "add", "board", agent.address).returncode == 0

    names = []
    for opset in (19, 20, 21, 22, 25, 26):
        names.append(f"opset{opset}")
        plain(lab.root / f"{names[-1]}.onnx", opset=opset, ir=8)
    for ir in (9, 10, 11, 13, 14):
        names.append(f"ir{ir}")
        plain(lab.root / f"{names[-1]}.onnx", opset=18, ir=ir)
    others = f"runtimes: [{', '.join(f'other{place}' for place in range(len(OTHERS)))}]\n"

    def run(skip: str) -> list[dict]:
        plan = write_plan(lab, names, f"{others}skip: {skip}")
        done = lab.cli("run", plan, "-o", "json", "--progress", "plain", timeout=400)
        assert done.returncode == 1, done.stderr
        return json.loads(done.stdout)["cells"]

    tried = run("nothing")
    for cell in tried:
        expected = (cell["prediction"] or {}).get("cause", "")
        assert cell["cause"] == expected, cell["name"]
        assert cell["outcome"] == ("failed" if expected else "pass"), cell["name"]
    assert any(cell["prediction"] for cell in tried)

    proven = run("proven")
    assert {cell["name"]: bool(cell["prediction"]) for cell in proven} == {
        cell["name"]: bool(cell["prediction"]) for cell in tried
    }
    proofs = {
        (cell["runtime"], cell["prediction"]["limit"]): cell for cell in proven if cell["prediction"] and cell["trials"]
    }
    for cell in proven:
        if cell["prediction"]:
            proof = proofs[cell["runtime"], cell["prediction"]["limit"]]
            assert cell["prediction"]["by"] == proof["name"]
            assert (cell is proof) == (cell["outcome"] == "failed")
            assert cell["outcome"] in {"failed", "skipped"}
        else:
            assert cell["outcome"] == "pass"
