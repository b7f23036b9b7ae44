"""Boards whose accelerator takes its memory from the processor's, on fake device trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep_agent.device_facts import unified_memory


@pytest.mark.parametrize(
    ("compatible", "unified"),
    [
        (b"nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0", True),
        (b"qcom,qcs6490-rb3gen2\0qcom,qcm6490\0", True),
        (b"raspberrypi,5-model-b\0brcm,bcm2712\0", False),
    ],
)
def test_the_device_tree_tells(tmp_path: Path, compatible: bytes, unified: bool) -> None:
    path = tmp_path / "proc/device-tree/compatible"
    path.parent.mkdir(parents=True)
    path.write_bytes(compatible)
    assert unified_memory(tmp_path) is unified


def test_a_pc_has_no_device_tree(tmp_path: Path) -> None:
    assert not unified_memory(tmp_path)
