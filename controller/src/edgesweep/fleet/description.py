"""What a device said about itself, and whether it is this very host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesweep_proto.device import Device, Reading, Runtime

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def host_boot_id(source: Path = _BOOT_ID) -> str:
    """The boot id of this host, as its agents would tell it; empty where the kernel has none."""
    try:
        return source.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True)
class Description:
    """One answer of a device: its facts, its runtimes and a look at its state."""

    device: Device
    runtimes: tuple[Runtime, ...]
    reading: Reading

    @property
    def colocated(self) -> bool:
        """Whether the agent runs on this host, so that our own work would disturb its trials."""
        return is_colocated(self.device.boot_id)


def is_colocated(boot_id: str, host: str | None = None) -> bool:
    """Whether `boot_id` is this host's; an unknown one on either side never counts as the same."""
    own = host_boot_id() if host is None else host
    return bool(own) and boot_id == own
