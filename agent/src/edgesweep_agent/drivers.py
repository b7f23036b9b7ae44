"""Drivers of accelerators: a new one makes other numbers of the same model, so a cell's state names its version."""

from __future__ import annotations

import re
from pathlib import Path

from edgesweep_agent.probes.sysfs import read_text

#: Kernel modules of graphics and neural processors that onnxruntime's providers work with, by the module's name.
MODULES = (
    "nvidia", "nvgpu", "amdgpu", "i915", "xe", "intel_vpu", "amdxdna", "fastrpc", "panfrost", "panthor", "mali_kbase", "msm",
    "rknpu",
)  # fmt: skip

#: NVIDIA's driver says its version here, too, where a container hides /sys/module.
_NVRM = re.compile(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s")
#: The release of a Jetson's own Linux, which holds its GPU's driver and the libraries for it.
_L4T = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")


def find_drivers(sysroot: Path) -> dict[str, str]:
    """Versions by name of the driver, and `l4t` for the release of a Jetson's Linux.

    A driver that comes with the kernel has no version of its own: then it is `kernel` and the kernel's release.

    Args:
        sysroot: A stand-in for `/` in tests.
    """
    found = {}
    kernel = read_text(sysroot / "proc/sys/kernel/osrelease") or ""
    for name in MODULES:
        module = sysroot / "sys/module" / name
        if module.is_dir():
            found[name] = read_text(module / "version") or f"kernel {kernel}".strip()
    if match := _NVRM.search(read_text(sysroot / "proc/driver/nvidia/version") or ""):
        found["nvidia"] = match[1]
    if match := _L4T.search(read_text(sysroot / "etc/nv_tegra_release") or ""):
        found["l4t"] = f"{match[1]}.{match[2]}"
    return found
