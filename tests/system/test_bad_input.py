"""Bad input gets one clear sentence, a remedy and the right exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from edgesweep.errors import ExitCode


def check(done: subprocess.CompletedProcess[str], code: ExitCode, *words: str) -> None:
    said = done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("measure:", "mesure:"), ("mesure", "measure")),
        (("opsets: [17, 18]", "opsets: [99]"), ("99", "opset")),
        (("opsets: [17, 18]", "opsets: [17, 18"), ("tiny.yaml:",)),
        (("exporters: [torchscript]", "exporters: [torchskript]"), ("torchskript", "torchscript")),
        (("version: 1", "version: 7"), ("version",)),
        (("tiny_model.py:build", "nowhere.py:build"), ("nowhere.py",)),
    ],
)
def test_a_wrong_plan(lab, change, words) -> None:
    lab.add_agent("board")
    text = (lab.root / "tiny.yaml").read_text().replace(*change)
    assert change[1] in text
    lab.write("tiny.yaml", text)
    check(lab.cli("run", "tiny.yaml"), ExitCode.USAGE, *words)


def test_a_missing_plan_file(lab) -> None:
    check(lab.cli("run", "no.yaml"), ExitCode.USAGE, "no.yaml", "remedy:")


def test_a_factory_that_raises_fails_its_model_only(lab, outcomes) -> None:
    lab.add_agent("board")
    lab.write(
        "tiny.yaml",
        (lab.root / "tiny.yaml")
        .read_text()
        .replace("models:", "models:\n  - {factory: 'tiny_model.py:broken', name: broken}"),
    )
    done = lab.cli("run", "tiny.yaml", "-o", "table")
    check(done, ExitCode.USAGE, "broken")
    assert "the weights are on another disk" in done.stdout + done.stderr
    document = json.loads(lab.cli("report", "latest", "-o", "json").stdout)
    by_model = {}
    for cell in document["cells"]:
        by_model.setdefault(cell["model"], set()).add((cell["outcome"], cell["cause"]))
    assert by_model["broken"] == {("failed", "factory_failed")}
    assert {outcome for outcome, _ in by_model["tiny"]} == {"pass"}


def test_an_onnx_file_cut_in_half(lab) -> None:
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [0.5] * 16)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    whole = model.SerializeToString()
    (lab.root / "whole.onnx").write_bytes(whole)
    (lab.root / "half.onnx").write_bytes(whole[: len(whole) // 2])
    onnx.checker.check_model(model)
    lab.add_agent("board")
    plan = "version: 1\nname: files\nmodels: [{{onnx: {name}.onnx}}]\nmeasure: {{preset: smoke, max_duration_s: 0.3, min_duration_s: 0.1}}\n"
    lab.write("files.yaml", plan.format(name="whole"))
    document = lab.run_json("files.yaml")
    assert [cell["outcome"] for cell in document["cells"]] == ["pass"]
    lab.write("files.yaml", plan.format(name="half"))
    check(lab.cli("run", "files.yaml"), ExitCode.USAGE, "half")


def test_an_address_that_does_not_answer(lab) -> None:
    lab.cli("device", "add", "ghost", "127.0.0.1:1")
    done = lab.cli("run", "tiny.yaml", "--patience", "1")
    check(done, ExitCode.LAB, "ghost", "waiting for ghost")
    cells = json.loads(lab.cli("report", "latest", "-o", "json").stdout)["cells"]
    assert {(cell["outcome"], cell["cause"]) for cell in cells} == {("lost", "device_unreachable")}
    shown = lab.cli("device", "show", "ghost")
    check(shown, ExitCode.LAB, "remedy:")


def test_a_board_that_was_away_while_planning_is_never_a_finding_of_a_resume(lab) -> None:
    lab.cli("device", "add", "board", "127.0.0.1:1")
    done = lab.cli("run", "tiny.yaml", "--patience", "0.1")
    check(done, ExitCode.LAB, "board")
    assert "--resume" not in done.stderr.splitlines()[-1]
    lab.add_agent("board")
    run_id = json.loads(lab.cli("runs", "-o", "json").stdout)["runs"][0]["id"]
    resumed = lab.cli("run", "--resume", run_id, "-o", "json")
    assert resumed.returncode == ExitCode.LAB, resumed.stderr
    cells = json.loads(resumed.stdout)["cells"]
    assert {(cell["outcome"], cell["cause"]) for cell in cells} == {("lost", "device_unreachable")}
    assert all("start a new run" in cell["message"] for cell in cells)


def test_an_empty_inventory(lab) -> None:
    check(lab.cli("run", "tiny.yaml"), ExitCode.NOTHING, "edgesweep device add")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_on_the_device(lab) -> None:
    state = lab.root / "small"
    state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(state)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        agent = lab.add_agent("board", state=state)
        lab.write(
            "tiny.yaml", (lab.root / "tiny.yaml").read_text().replace("ranges:", "args: {width: 100000}\n    ranges:")
        )
        done = lab.cli("run", "tiny.yaml")
        check(done, ExitCode.LAB, "next: edgesweep run --resume")
        assert "room" in done.stdout + done.stderr or "disk" in done.stdout + done.stderr
        assert agent.process.poll() is None
    finally:
        for agent in lab.agents:
            agent.stop()
        subprocess.run(["umount", "-l", str(state)], check=False)


def test_an_artifact_that_was_corrupted_on_the_host_never_reaches_a_session(lab) -> None:
    """The export cache notices it and exports again, or the push is refused: it never becomes a number."""
    lab.add_agent("board")
    first = lab.run_json("tiny.yaml")
    for path in (lab.root / "home" / "cache" / "exports").rglob("*"):
        if path.is_file() and len(path.name) == 64:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 0xFF
            path.chmod(0o600)
            path.write_bytes(bytes(content))
    second = lab.run_json("tiny.yaml")
    digests = {cell["name"]: cell["produced"]["digest"] for cell in first["cells"]}
    assert {cell["name"]: cell["produced"]["digest"] for cell in second["cells"]} == digests
    assert {cell["outcome"] for cell in second["cells"]} == {"pass"}


#: The `edgesweep` command on a host whose disk damages a model after its export was checked and before it is pushed.
BAD_DISK = """
import sys
from edgesweep.cli.main import main
from edgesweep.export.service import ExportService

kept = ExportService.path_of

def damaged(self, sha256):
    path = kept(self, sha256)
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(bytes(content))
    ExportService.path_of = kept
    return path

ExportService.path_of = damaged
main(sys.argv[1:])
"""


def test_an_artifact_whose_bytes_are_not_the_named_ones_is_refused_by_the_device(lab) -> None:
    agent = lab.add_agent("board")
    done = subprocess.run(
        [sys.executable, "-c", BAD_DISK, "run", "tiny.yaml", "-o", "json", "--progress", "plain"],
        env=lab.env,
        cwd=lab.root,
        capture_output=True,
        text=True,
        check=False,
    )
    check(done, ExitCode.LAB, "next: edgesweep run --resume")
    document = json.loads(done.stdout)
    bad = [cell for cell in document["cells"] if cell["outcome"] != "pass"]
    assert {(cell["outcome"], cell["cause"]) for cell in bad} == {("lost", "digest_mismatch")}, done.stdout
    assert all("hash to" in cell["message"] for cell in bad), bad
    assert len(bad) < len(document["cells"]), "one damaged blob must not take the other cells with it"
    assert agent.process.poll() is None
    again = lab.run_json("tiny.yaml")
    assert [cell["outcome"] for cell in again["cells"]] == ["pass"] * len(document["cells"])
