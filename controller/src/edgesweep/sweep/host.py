"""Facts of the controller's own host, for the report."""

from __future__ import annotations

import os
import platform
from typing import Any

import psutil


def host_facts() -> dict[str, Any]:
    """What the report says about the controller's host; sizes in bytes."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
        "memory_total_bytes": psutil.virtual_memory().total,
    }
