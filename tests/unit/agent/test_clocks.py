"""Fixing clocks and putting them back, on fake trees. A file that may not be written needs no root to show."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from edgesweep_agent.clocks import Clocks

GOVERNOR = "sys/devices/system/cpu/cpufreq/{}/scaling_governor"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "board"
    for policy, governor in (("policy0", "ondemand\n"), ("policy4", "schedutil\n")):
        path = root / GOVERNOR.format(policy)
        path.parent.mkdir(parents=True)
        path.write_text(governor)
    return root


@pytest.fixture
def clocks(root: Path, tmp_path: Path) -> Clocks:
    return Clocks(root, tmp_path, boot=lambda: "this boot")


def governors(root: Path) -> list[str]:
    return [(root / GOVERNOR.format(policy)).read_text().strip() for policy in ("policy0", "policy4")]


def test_governors_are_set_and_put_back(clocks: Clocks, root: Path, tmp_path: Path) -> None:
    assert clocks.control() == "cpufreq"
    assert clocks.fix()
    assert governors(root) == ["performance", "performance"]
    assert json.loads((tmp_path / "clocks.json").read_text())["governors"] == {
        "policy0": "ondemand",
        "policy4": "schedutil",
    }
    assert clocks.restore()
    assert governors(root) == ["ondemand", "schedutil"]
    assert not (tmp_path / "clocks.json").exists()
    assert clocks.restore(), "a second time there is nothing to do"


def test_what_was_before_is_on_the_disk_before_anything_changes(
    clocks: Clocks, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    write = Path.write_text

    def watched(path: Path, text: str) -> int:
        seen.append((tmp_path / "clocks.json").exists())
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", watched)
    assert clocks.fix()
    assert seen == [True, True]


def test_the_next_life_puts_back_what_the_last_one_left(clocks: Clocks, root: Path, tmp_path: Path) -> None:
    assert clocks.fix()
    again = Clocks(root, tmp_path, boot=lambda: "this boot")
    assert again.restore()
    assert governors(root) == ["ondemand", "schedutil"]


def test_fixing_over_what_a_last_life_left_keeps_what_was_there_first(
    clocks: Clocks, root: Path, tmp_path: Path
) -> None:
    assert clocks.fix()
    again = Clocks(root, tmp_path, boot=lambda: "this boot")
    assert again.fix()
    assert again.restore()
    assert governors(root) == ["ondemand", "schedutil"]


def test_after_a_reboot_the_kernel_has_its_own_governors(clocks: Clocks, root: Path, tmp_path: Path) -> None:
    assert clocks.fix()
    (root / GOVERNOR.format("policy0")).write_text("powersave\n")
    assert Clocks(root, tmp_path, boot=lambda: "another boot").restore()
    assert governors(root) == ["powersave", "performance"]
    assert not (tmp_path / "clocks.json").exists()


def test_a_governor_that_does_not_take_hold_is_no_fixed_clock(clocks: Clocks, root: Path) -> None:
    path = root / GOVERNOR.format("policy4")
    path.unlink()
    path.symlink_to("/dev/null")  # takes what is written and reads as nothing
    assert not clocks.fix()
    assert (root / GOVERNOR.format("policy0")).read_text() == "ondemand"


def test_without_the_right_to_write_nothing_is_touched(
    clocks: Clocks, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert clocks.control() == ""
    assert not clocks.fix()
    assert governors(root) == ["ondemand", "schedutil"]
    assert not (tmp_path / "clocks.json").exists()


def test_a_board_without_governors_has_no_control(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path / "bare", tmp_path)
    assert clocks.control() == ""
    assert not clocks.fix()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"boot_id": "this boot", "control": "cpufreq", "governors": 5}'])
def test_an_unreadable_restore_file_stops_nobody_for_good(
    clocks: Clocks, root: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "clocks.json").write_text(content)
    assert clocks.restore()
    assert governors(root) == ["ondemand", "schedutil"]
    assert clocks.fix()


@pytest.fixture
def jetson(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for NVIDIA's program: it notes how it was called and keeps what it is asked to keep."""
    program = root / "usr/bin/jetson_clocks"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\necho "$1" >> {root}/calls\n'
        'case "$1" in --store) echo kept > "$2";; --restore) [ -f "$2" ];; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return root


def test_a_jetsons_own_tool_keeps_fixes_and_puts_back(clocks: Clocks, jetson: Path, tmp_path: Path) -> None:
    assert clocks.control() == "nvpmodel"
    assert clocks.fix()
    assert (jetson / "calls").read_text().splitlines() == ["--store", ""]
    assert Clocks(jetson, tmp_path, boot=lambda: "this boot").restore()
    assert (jetson / "calls").read_text().splitlines() == ["--store", "", "--restore"]
    assert not (tmp_path / "jetson_clocks.conf").exists()


def test_a_tool_that_fails_fixes_nothing(clocks: Clocks, jetson: Path, tmp_path: Path) -> None:
    (jetson / "usr/bin/jetson_clocks").write_text("#!/bin/sh\nexit 1\n")
    assert not clocks.fix()
    assert not (tmp_path / "clocks.json").exists()


def test_what_cannot_be_put_back_is_tried_again(clocks: Clocks, jetson: Path, tmp_path: Path) -> None:
    program = jetson / "usr/bin/jetson_clocks"
    assert clocks.fix()
    works = program.read_text()
    program.write_text("#!/bin/sh\nexit 1\n")
    assert not clocks.restore()
    assert not clocks.fix(), "the clocks as they are now must not be taken for the owner's"
    program.write_text(works)
    assert clocks.restore()
    assert not (tmp_path / "clocks.json").exists()
