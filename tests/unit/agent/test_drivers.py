"""Drivers of accelerators by what the kernel says of them; the trees are described after the makers' documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep_agent.device_facts import describe_device
from edgesweep_agent.drivers import find_drivers

NVRM = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.07  Sat Feb 17 22:55:48 UTC 2024\nGCC version:  gcc 12\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (builduser@host)\n"
L4T = "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic, EABI: aarch64, DATE: Fri Sep 13 2024\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, {}),
        ({"sys/module/nvidia/version": "535.161.07\n"}, {"nvidia": "535.161.07"}),
        ({"proc/driver/nvidia/version": NVRM}, {"nvidia": "535.161.07"}),
        ({"proc/driver/nvidia/version": OPEN, "etc/nv_tegra_release": L4T}, {"nvidia": "540.4.0", "l4t": "36.4.0"}),
        # In the kernel's own tree a driver has no version: it changes with the kernel.
        (
            {"sys/module/i915/parameters/modeset": "-1\n", "proc/sys/kernel/osrelease": "6.8.0-31-generic\n"},
            {"i915": "kernel 6.8.0-31-generic"},
        ),
        ({"sys/module/snd/version": "1\n"}, {}),
        ({"proc/driver/nvidia/version": "garbage", "etc/nv_tegra_release": "garbage"}, {}),
    ],
)
def test_each_driver_has_the_version_that_the_kernel_tells(tmp_path: Path, files: dict, found: dict) -> None:
    root = tree(tmp_path / "board", files)
    root.mkdir(exist_ok=True)
    assert find_drivers(root) == found
    assert describe_device("board", tmp_path, root).drivers == found
