"""Fixes the CPU clocks for one trial where the agent may, and always puts them back.

What was there before is on the disk before anything is changed, so that the next life of an agent that was killed
puts it back. On a Jetson its own tool fixes all clocks within the power mode that the owner chose; the mode itself is
left alone, because changing it can take cores away or ask for a reboot.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgesweep_agent.clock import boot_id
from edgesweep_agent.durable import flush_folder, read_json, write_json

#: The governor that stays at the highest clock.
FIXED = "performance"

#: Seconds that a Jetson's tool may take.
_PATIENCE_S = 30.0

_JETSON_CLOCKS = "usr/bin/jetson_clocks"

_log = logging.getLogger(__name__)


class Clocks:
    """The clocks of this board; `restore_path` holds what they were while they are fixed."""

    def __init__(self, sysroot: Path, state_dir: Path, *, boot: Callable[[], str] = boot_id) -> None:
        self._sysroot = sysroot
        self._restore_path = state_dir / "clocks.json"
        self._jetson_store = state_dir / "jetson_clocks.conf"
        self._boot = boot

    def control(self) -> str:
        """How the agent may fix the clocks: nvpmodel (a Jetson's own tools), cpufreq, or empty for not at all."""
        if os.access(self._sysroot / _JETSON_CLOCKS, os.X_OK) and os.geteuid() == 0:
            return "nvpmodel"
        governors = [policy / "scaling_governor" for policy in _policies(self._sysroot)]
        return "cpufreq" if governors and all(os.access(governor, os.W_OK) for governor in governors) else ""

    def fix(self) -> bool:
        """Fix them; whether they are fixed now, as it was read back. When not, nothing is left changed."""
        if not self.restore():
            return False
        control = self.control()
        if not control:
            return False
        before = {policy.name: _read(policy / "scaling_governor") for policy in _policies(self._sysroot)}
        try:
            # Flushed to the disk: from here on a power cut or a SIGKILL finds what to put back.
            write_json(self._restore_path, {"control": control, "boot_id": self._boot(), "governors": before})
            fixed = self._jetson("--store") and self._jetson("") if control == "nvpmodel" else self._set_governors()
        except OSError as error:
            _log.warning("the clocks are not fixed: %s", error)
            fixed = False
        if not fixed:
            self.restore()
        return fixed

    def restore(self) -> bool:
        """Put back what `fix` changed, in this life of the agent or an earlier one; whether nothing is left to do."""
        try:
            stored = read_json(self._restore_path)
        except FileNotFoundError:
            return True
        except (OSError, ValueError) as error:
            _log.error("what the clocks were before is not readable (%s): check them", error)
            return self._forget()
        try:
            done = self._restore_from(stored)
        except OSError as error:
            _log.error("the clocks could not be put back, and are tried again before the next trial: %s", error)
            return False
        except (TypeError, KeyError, AttributeError) as error:
            _log.error("what the clocks were before makes no sense (%r): check them", error)
            return self._forget()
        return self._forget() if done else False

    def _restore_from(self, stored: dict[str, Any]) -> bool:
        if stored["boot_id"] != self._boot():
            return True  # the kernel and the firmware have put back their own
        if stored["control"] == "nvpmodel":
            return not self._jetson_store.exists() or self._jetson("--restore")
        for policy in _policies(self._sysroot):
            governor = stored["governors"].get(policy.name)
            file = policy / "scaling_governor"
            if governor and _read(file) != governor:
                _log.info("putting %s back to the governor %s", policy.name, governor)
                file.write_text(governor)
        return True

    def _forget(self) -> bool:
        try:
            self._restore_path.unlink(missing_ok=True)
            self._jetson_store.unlink(missing_ok=True)
            flush_folder(self._restore_path.parent)
        except OSError as error:
            _log.warning("%s cannot be removed: %s", self._restore_path, error)
            return False
        return True

    def _set_governors(self) -> bool:
        policies = _policies(self._sysroot)
        for policy in policies:
            (policy / "scaling_governor").write_text(FIXED)
        return all(_read(policy / "scaling_governor") == FIXED for policy in policies)

    def _jetson(self, option: str) -> bool:
        command = [str(self._sysroot / _JETSON_CLOCKS), *((option, str(self._jetson_store)) if option else ())]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.error("%s: %s", " ".join(command), error)
            return False
        if done.returncode:
            _log.error("%s ended with %d: %s", " ".join(command), done.returncode, done.stderr[-300:])
        return done.returncode == 0


# The probes are loaded when clocks are looked at: every agent starts by asking whether there is anything to put back.


def _policies(sysroot: Path) -> list[Path]:
    from edgesweep_agent.probes import cpufreq

    return list(cpufreq.policies(sysroot))


def _read(path: Path) -> str | None:
    from edgesweep_agent.probes.sysfs import read_text

    return read_text(path)
