"""Real aarch64 code beside x86-64: one sweep over an agent of each, the ARM one under user-mode emulation.

`scripts/test --arm` makes the userland and runs this. What an emulator's clock says means nothing, so nothing here
looks at how long anything takes.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parents[2]
USERLAND = os.environ.get("EDGESWEEP_ARM_PYTHON", "")

pytestmark = [
    pytest.mark.skipif(
        not USERLAND, reason="NOT RUN: the ARM system test needs an aarch64 userland; run scripts/test --arm"
    ),
    pytest.mark.timeout(300),
]

MODELS = """
import torch

def mlp():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 3))
    return net.eval(), (torch.randn(2, 8),)

def cnn():
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.Hardswish(),
        torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(16, 10), torch.nn.Softmax(dim=1),
    )
    return net.eval(), (torch.randn(2, 3, 16, 16),)
"""

PLAN = """
version: 1
name: both-architectures
models:
  - {factory: "arm_models.py:mlp", dynamic: {input: {0: batch}}, ranges: {batch: [1, 8]}}
  - {factory: "arm_models.py:cnn", dynamic: {input: {0: batch}}, ranges: {batch: [1, 8]}}
export: {exporters: [torchscript], opsets: [17], axes: [static, batch]}
measure: {preset: smoke, max_duration_s: 0.5, min_duration_s: 0.1}
fail_on: [failure]
"""

#: Across devices: the largest difference over the largest output (design, section 8).
ACROSS_DEVICES = 1e-4

#: More than any of these models takes, and a limit that an emulator does not keep.
LIMIT = str(8 << 30)


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> Any:
    """Polls a condition of the outside world; fails when it does not come true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    pytest.fail(f"never came true in {seconds} s")


@pytest.fixture(scope="module")
def agents(shared_lab) -> dict[str, Any]:
    # The checkout's own code, run by the aarch64 interpreter.
    sources = os.pathsep.join(str(HERE / name) for name in ("agent/src", "protos/src"))
    arm = shared_lab.add_agent("arm", "--max-worker-bytes", LIMIT, python=USERLAND, PYTHONPATH=sources)
    return {"x86": shared_lab.add_agent("x86", "--max-worker-bytes", LIMIT), "arm": arm}


@pytest.fixture(scope="module")
def swept(shared_lab, agents) -> dict[str, Any]:
    """The result document of one run over both agents."""
    shared_lab.write("arm_models.py", MODELS)
    shared_lab.write("both.yaml", PLAN)
    done = shared_lab.cli("run", "both.yaml", "-o", "json", "--progress", "plain", timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def cells_of(document: dict[str, Any], device: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(cell["model"], cell["axes"]): cell for cell in document["cells"] if cell["device"] == device}


def test_both_architectures_stand_in_one_matrix(shared_lab, swept) -> None:
    arm, x86 = cells_of(swept, "arm"), cells_of(swept, "x86")
    assert set(arm) == set(x86) == {(model, axes) for model in ("mlp", "cnn") for axes in ("static", "batch")}
    assert len(swept["cells"]) == len(arm) + len(x86)
    assert {cell["outcome"] for cell in swept["cells"]} == {"pass"}
    # The same artifacts, byte for byte.
    assert {key: cell["produced"]["digest"] for key, cell in arm.items()} == {
        key: cell["produced"]["digest"] for key, cell in x86.items()
    }
    told = shared_lab.cli("report", swept["run"]["id"], "-o", "md")
    assert "### arm · onnxruntime" in told.stdout
    assert "### x86 · onnxruntime" in told.stdout
    assert "aarch64, Linux" in told.stdout
    assert "x86_64, Linux" in told.stdout
    compat = json.loads(shared_lab.cli("compat", "matrix", swept["run"]["id"], "-o", "json").stdout)
    assert {column["device"] for column in compat["columns"]} == {"arm", "x86"}
    assert compat["summary"]["running"] == len(compat["squares"]) == len(swept["cells"])


def test_the_outputs_agree_across_the_two(shared_lab, swept) -> None:
    """Within design.md's limit across devices, read from the report and, apart from it, from the outputs themselves."""
    arm, x86 = cells_of(swept, "arm"), cells_of(swept, "x86")
    assert len(swept["agreement"]) == len({cell["produced"]["digest"] for cell in arm.values()})
    for group in swept["agreement"]:
        assert (group["cells"], group["agrees"]) == (2, True)
        assert group["worst"]["relative"] <= group["worst"]["limit"] == ACROSS_DEVICES
        assert {group["reference"].split("/")[0], group["worst"]["cell"].split("/")[0]} == {"arm", "x86"}
    factories = runpy.run_path(str(shared_lab.root / "arm_models.py"))
    for (model, axes), cell in arm.items():
        net, inputs = factories[model]()
        largest = float(net(*inputs).detach().abs().max())
        for where in (cell, x86[model, axes]):
            assert where["numerics"]["where"] == "device"
            assert where["numerics"]["outputs_compared"] >= 1
            assert where["outputs"][0]["max_absolute"] == pytest.approx(largest, rel=1e-3)
            assert where["outputs"][0]["run_difference"] == 0
        # Neither lies further from torch's answer than the two may lie apart.
        apart = cell["numerics"]["max_absolute_error"] + x86[model, axes]["numerics"]["max_absolute_error"]
        assert apart <= ACROSS_DEVICES * largest, (model, axes)
    told = shared_lab.cli("report", swept["run"]["id"], "-o", "md").stdout
    count = len(swept["agreement"])
    assert "## Agreement across devices" in told
    assert f"{count} of {count} artifact{'s' * (count > 1)} that ran in several places agree" in told


def test_facts_are_read_on_that_side(swept) -> None:
    devices = {device["name"]: device for device in swept["devices"]}
    arm, x86 = devices["arm"]["facts"], devices["x86"]["facts"]
    assert (arm["machine"], x86["machine"]) == ("aarch64", "x86_64")
    assert (arm["emulated"], x86["emulated"]) == (True, False)
    assert arm["cpu_model"] == "Arm Cortex-A72"
    assert arm["cpu_model"] != x86["cpu_model"]
    assert arm["libc"].startswith("glibc 2.")
    assert arm["clusters"][0]["cpus"] == x86["clusters"][0]["cpus"]
    (runtime,), (other,) = devices["arm"]["runtimes"], devices["x86"]["runtimes"]
    assert runtime["fault"] == ""
    assert runtime["version"] == other["version"]
    assert runtime["wheel_tag"].endswith("_aarch64")
    assert runtime["wheel_tag"].startswith("cp3")
    assert other["wheel_tag"].endswith("_x86_64")
    assert {probe["name"] for probe in runtime["providers"] if probe["nodes"]} == {"CPUExecutionProvider"}
    assert runtime["call"]


def test_an_emulators_times_are_never_trusted(swept) -> None:
    for (model, axes), cell in cells_of(swept, "arm").items():
        assert "emulated" in cell["tags"], (model, axes)
        assert cell["verdict"] == "invalid"
        assert any(reason.startswith("emulated processor") for reason in cell["reasons"])
        # Our own sampler is slow in there as well, which is no bug to be reported.
        assert not any(reason.startswith("watched too closely") for reason in cell["reasons"])
    for cell in cells_of(swept, "x86").values():
        assert "emulated" not in cell["tags"]
        assert not any("emulated" in reason for reason in cell["reasons"])


def test_the_evidence_around_a_trial_is_there_and_honest(swept) -> None:
    for key, cell in cells_of(swept, "arm").items():
        (trial,) = cell["trials"]
        assert [gate["name"] for gate in cell["environment"]["gates"]] == ["idle", "thermal"], key
        assert cell["placement"]["shares"][0]["provider"] == "CPUExecutionProvider"
        assert trial["threads"]["pinned"], trial["threads"]["note"]
        assert cell["cold_start_s"]["page_cache"] in {"warm", "mixed", "cold"}
        assert 0 < cell["memory_bytes"]["session_peak"] < 1 << 30
        assert "VmHWM reset by clear_refs" in cell["memory_bytes"]["methods"]["session_peak"]
        assert "with the emulator's translated code" in cell["memory_bytes"]["methods"]["session_peak"]
        # The emulator takes the call that sets a limit and does nothing, which is read back.
        assert "no_memory_limit" in cell["tags"]
    # A sampler that is too slow to start on a crowded host is done without.
    traces = [cell["environment"]["trace"] for cell in cells_of(swept, "arm").values()]
    assert any(trace and trace["readings"] >= 1 for trace in traces)
    for cell in cells_of(swept, "x86").values():
        assert "emulator" not in cell["memory_bytes"]["methods"]["session_peak"]
        assert "no_memory_limit" not in cell["tags"]


def board(name: str, folder: Path) -> Path:
    """A described board below `folder`, switched on when this machine was: the kernel's own boot is read elsewhere."""
    files = json.loads((HERE / "tests/boards" / f"{name}.json").read_text())
    files["proc/sys/kernel/random/boot_id"] = Path("/proc/sys/kernel/random/boot_id").read_text()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def measuring_worker(agent) -> psutil.Process | None:
    for worker in agent.workers:
        try:
            if worker.cpu_times().user > 3.0 and any("run.py" in word for word in worker.cmdline()):
                return worker
        except psutil.Error:
            continue
    return None


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_killed_agent_comes_back_on_a_described_board_and_finishes_the_run(shared_lab, agents, swept) -> None:
    """Its worker goes with it, its journal is taken up, and what it then reads is a Raspberry Pi 4."""
    arm = agents["arm"]
    slow = PLAN.replace(
        "max_duration_s: 0.5, min_duration_s: 0.1", "max_duration_s: 8, min_duration_s: 8, max_inferences: 2000000"
    )
    slow = slow.replace("[static, batch]", "[static]").replace("fail_on", "devices: [arm]\nfail_on")
    lines = [line for line in slow.splitlines() if "arm_models.py:cnn" not in line]
    shared_lab.write("slow.yaml", "\n".join(lines))
    running = shared_lab.start_cli("run", "slow.yaml", "-o", "json", "--progress", "none", "--patience", "120")
    worker = wait_for(lambda: measuring_worker(arm))
    arm.process.send_signal(signal.SIGKILL)
    arm.process.wait()
    wait_for(lambda: gone(worker))
    tree = board("raspberry-pi-4", shared_lab.root / "pi4")
    arm.command += ["--sysroot", str(tree)]
    arm.start()
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    (cell,) = json.loads(out)["cells"]
    assert cell["outcome"] == "pass"
    assert cell["environment"]["before"]["temperatures_c"] == {"cpu-thermal": 48.199}
    assert cell["environment"]["before"]["frequencies_hz"] == {"policy0": 1.5e9}

    shown = json.loads(shared_lab.cli("device", "show", "arm", "-o", "json").stdout)
    assert shown["facts"]["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert shown["facts"]["cpu_model"] == "Arm Cortex-A72"
    assert shown["facts"]["clusters"][0]["max_hz"] == 1.8e9
    assert shown["reading"]["throttled_since_boot"] == ["under_voltage", "throttled"]
    # The tree tells of no emulator: the agent's own process does.
    assert shown["facts"]["emulated"]
