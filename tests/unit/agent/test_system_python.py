"""Fake systems, as folders: which of their Pythons hold an onnxruntime is seen without starting any."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep_agent.interpreters import Interpreter, discover
from edgesweep_agent.system_python import system_pythons


def python(root: Path, name: str) -> Path:
    path = root / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    "place", ["lib/python3/dist-packages", "local/lib/python3.10/dist-packages", "lib64/python3.10/site-packages"]
)
def test_a_python_with_an_onnxruntime_is_found_once(tmp_path: Path, place: str) -> None:
    program = python(tmp_path, "python3.10")
    (program.parent / "python3").symlink_to("python3.10")
    python(tmp_path, "python3-config")
    assert list(system_pythons((program.parent,))) == []
    (tmp_path / place / "onnxruntime").mkdir(parents=True)
    assert list(system_pythons((program.parent,))) == [str(program.parent / "python3")]


def test_each_python_has_packages_of_its_own(tmp_path: Path) -> None:
    for name in ("python3.8", "python3.10"):
        python(tmp_path, name)
    (tmp_path / "lib" / "python3.8" / "site-packages" / "onnxruntime").mkdir(parents=True)
    assert list(system_pythons((tmp_path / "bin", tmp_path / "nowhere"))) == [str(tmp_path / "bin" / "python3.8")]


def test_the_systems_come_last_and_only_where_they_are_not_known_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = python(tmp_path, "python3.10")
    monkeypatch.setattr("edgesweep_agent.interpreters._importable", lambda _: False)
    monkeypatch.setattr("edgesweep_agent.interpreters.system_pythons", lambda: (str(system),))
    # An environment shares the system's program, and is another place for packages all the same.
    made = tmp_path / "state" / "runtimes" / "1.20.1" / "bin" / "python"
    made.parent.mkdir(parents=True)
    made.symlink_to(system)
    (made.parent.parent / "pyvenv.cfg").touch()
    assert [each.python for each in discover((), tmp_path / "state")] == [str(made), str(system)]
    named = Interpreter(str(system), "vendor")
    assert discover((named,), tmp_path / "none") == (named,)
