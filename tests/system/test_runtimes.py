"""Runtimes of a real agent: listed, probed, installed and removed by the real command line."""

from __future__ import annotations

import ensurepip
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest
from edgesweep.errors import ExitCode

HERE = importlib.metadata.version("onnxruntime")


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        **files,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{each},,\n" for each in [*files, record])
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Wheels of nearly nothing: one leads to the onnxruntime that is here already, one cannot be imported, one waits."""
    folder = tmp_path / "wheels"
    here = Path(importlib.metadata.distribution("onnxruntime").locate_file(""))
    make_wheel(folder, "onnxruntime", HERE, {"here.pth": f"{here}\n"})
    make_wheel(folder, "numpy", importlib.metadata.version("numpy"), {"there.pth": f"{here}\n"})
    make_wheel(folder, "onnxruntime", "9.0.1", {"onnxruntime/__init__.py": "raise ImportError('libcudart.so.12')"})
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits = f"open({str(gate)!r}, 'w').close(); open({str(gate)!r}).close()"
    make_wheel(folder, "onnxruntime", "9.0.2", {"onnxruntime/__init__.py": waits})
    for bundled in (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"):
        shutil.copy(bundled, folder)
    return folder


@pytest.fixture
def desk(lab):
    """A device on this host whose agent's state folder the inventory knows."""
    agent = lab.add_agent("desk")
    added = lab.cli("device", "add", "desk", agent.address, "--state-dir", str(lab.root / "state-desk"))
    assert added.returncode == 0, added.stderr
    return agent


def install(lab, *args: str, code: int = 0) -> list[dict]:
    done = lab.cli("runtime", "install", "desk", *args, "--python", sys.executable, "-o", "json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)["runtimes"]


def names(lab) -> list[str]:
    return lab.cli("runtime", "list", "desk", "-o", "name").stdout.split()


def made(lab) -> list[str]:
    return sorted(path.parent.parent.name for path in (lab.root / "state-desk" / "runtimes").glob("*/bin/python"))


def test_install_probe_list_and_remove(lab, desk, wheels) -> None:
    assert names(lab) == [HERE]
    row, broken = install(lab, HERE, "9.0.1", "--wheels", str(wheels), code=ExitCode.LAB)
    assert (row["state"], row["version"], row["cause"]) == ("installed", HERE, None)
    assert (row["probe"]["id"], row["probe"]["installed_as"]) == (HERE, HERE)
    assert row["path"] == str(lab.root / "state-desk" / "runtimes" / HERE)
    # What is reported is what the agent's probe found, not what was installed.
    assert {probe["name"] for probe in row["probe"]["providers"] if probe["nodes"]} >= {"CPUExecutionProvider"}
    assert row["probe"]["max_opset"] >= 21
    assert (broken["state"], broken["cause"], broken["probe"]) == ("failed", "runtime_broken", None)
    assert "libcudart.so.12" in broken["message"]
    assert broken["remedy"]
    minor = "".join(map(str, sys.version_info[:2]))
    assert sorted(names(lab)) == sorted([HERE, f"{HERE}@py{minor}"])

    (again,) = install(lab, HERE, "--wheels", str(wheels))
    assert (again["state"], again["probe"]["id"]) == ("present", HERE)

    probed = json.loads(lab.cli("runtime", "probe", "desk", HERE, "-o", "json").stdout)
    assert [each["id"] for each in probed["runtimes"]] == [HERE]
    shown = lab.cli("runtime", "probe", "desk", HERE).stdout
    assert "cpu" in shown
    assert "nodes that ran" in shown
    assert HERE in lab.cli("runtime", "list", "desk").stdout
    unknown = lab.cli("runtime", "probe", "desk", "9.9.9")
    assert (unknown.returncode, "has no runtime '9.9.9'" in unknown.stderr) == (ExitCode.USAGE, True)

    asked = lab.cli("runtime", "remove", "desk", HERE)
    assert (asked.returncode, made(lab)) == (ExitCode.USAGE, [HERE])
    assert "--yes" in asked.stderr
    removed = lab.cli("runtime", "remove", "desk", HERE, "--yes")
    assert removed.returncode == 0, removed.stderr
    assert names(lab) == [HERE]
    assert made(lab) == []
    # The agent's own environment is not ours to remove.
    own = lab.cli("runtime", "remove", "desk", HERE, "--yes")
    assert (own.returncode, "not ours to remove" in own.stderr) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_install_that_is_cut_short_leaves_nothing(lab, desk, wheels, number, code) -> None:
    command = lab.start_cli("runtime", "install", "desk", "9.0.2", "--wheels", str(wheels), "--python", sys.executable)
    (lab.root / "gate").open().close()
    children = psutil.Process(command.pid).children(recursive=True)
    assert len(children) > 1
    command.send_signal(number)
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out.strip()) == (code, ""), err
    # A killed controller cannot wait for the board's side, which cleans up by itself.
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    draft = lab.root / "state-desk" / "runtimes" / ".new"
    assert list(draft.iterdir()) == []
    assert made(lab) == []


def test_a_device_that_somebody_else_measures_on_is_left_alone(lab, desk, wheels, tmp_path) -> None:
    holder = """
import asyncio, sys
from edgesweep.fleet.inventory import load_inventory
from edgesweep.home import find_home
from edgesweep.sweep.launch import client_opener

async def main():
    async with client_opener(find_home())(load_inventory(find_home().inventory).get("desk")) as client:
        await client.acquire("somebody", ttl_s=600)
    print("held", flush=True)

asyncio.run(main())
"""
    held = subprocess.run([sys.executable, "-c", holder], env=lab.env, capture_output=True, text=True, check=True)
    assert held.stdout == "held\n"
    done = lab.cli("runtime", "install", "desk", HERE, "--wheels", str(wheels), "--python", sys.executable)
    assert done.returncode == ExitCode.LAB, done.stderr
    assert "somebody" in done.stderr
    assert not (lab.root / "state-desk" / "runtimes").exists()


def test_runtimes_may_come_before_the_agent(lab, desk, wheels) -> None:
    desk.kill()
    done = lab.cli("runtime", "install", "desk", HERE, "--wheels", str(wheels), "--python", sys.executable)
    assert done.returncode == ExitCode.USAGE
    assert "--local" in done.stderr
    args = ("runtime", "install", "desk", HERE, "--wheels", str(wheels), "--python", sys.executable, "--local")
    done = lab.cli(*args, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert "nothing is probed" in done.stderr
    (row,) = json.loads(done.stdout)["runtimes"]
    assert (row["state"], row["probe"]) == ("installed", None)
    desk.start()
    assert HERE in names(lab)


def test_the_device_on_this_host_gets_its_runtimes_as_any_other(lab, wheels) -> None:
    """The quickstart's device, whose agent runs only while a command needs it."""
    assert lab.cli("device", "add", "local", "127.0.0.1:1", "--label", "started-by=edgesweep").returncode == 0
    done = lab.cli(
        "runtime", "install", "local", HERE, "--wheels", str(wheels), "--python", sys.executable, "-o", "name"
    )
    # The agent's own environment is like it in all but its place, and comes after it: that one gets the longer id.
    assert (done.returncode, done.stdout) == (0, f"{HERE}\n"), done.stderr
    assert (lab.root / "home" / "state" / "agents" / "local" / "runtimes" / HERE).is_dir()


def test_another_folder_than_the_agents_is_noticed(lab, desk, wheels) -> None:
    elsewhere = lab.root / "elsewhere"
    done = lab.cli(
        "runtime", "install", "desk", HERE, "--wheels", str(wheels), "--python", sys.executable,
        "--state-dir", str(elsewhere),
    )  # fmt: skip
    assert done.returncode == ExitCode.LAB, done.stderr
    assert "does not look there" in done.stderr
    assert "--state-dir" in done.stderr


def test_what_is_not_known_is_asked_for(lab, wheels) -> None:
    lab.add_agent("desk")
    done = lab.cli("runtime", "install", "desk", HERE, "--wheels", str(wheels))
    assert done.returncode == ExitCode.USAGE
    assert "--state-dir" in done.stderr
    for args, word in (
        ((), "name a runtime"),
        (("openvno-1.2",), "openvino"),
        ((HERE, "--ssh", "a", "--local"), "two ways"),
        ((HERE, "--ssh", "-oProxyCommand=x", "--state-dir", "/x"), "no host"),
        ((HERE, "--online", "--wheels", str(wheels)), "--online"),
    ):
        done = lab.cli("runtime", "install", "desk", *args)
        assert (done.returncode, word in done.stderr) == (ExitCode.USAGE, True), done.stderr
