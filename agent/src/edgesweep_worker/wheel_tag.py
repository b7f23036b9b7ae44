"""Which wheels this interpreter takes, told by itself: a package of another architecture or C library would not load."""

from __future__ import annotations

import platform
import struct
import sys
import sysconfig

#: A 32-bit interpreter on a 64-bit kernel is named after the kernel (packaging's tags know the same two).
_NARROW = {"x86_64": "i686", "aarch64": "armv7l"}
_NARROW_BYTES = 4


def newest() -> str:
    """The newest tag, `python-abi-platform`; it takes that tag's older manylinux versions too (PEP 600).

    Where the C library is not glibc the platform is plain `linux_MACHINE`.
    """
    major, minor = sys.version_info[:2]
    soabi = str(sysconfig.get_config_var("SOABI") or "").split("-")
    abi = f"cp{soabi[1]}" if soabi[0] == "cpython" and len(soabi) > 1 else "none"
    return f"cp{major}{minor}-{abi}-{_platform()}"


def _platform() -> str:
    plain = sysconfig.get_platform()
    system, _, machine = plain.partition("-")
    if system != "linux":
        return plain.replace("-", "_").replace(".", "_")
    if struct.calcsize("P") == _NARROW_BYTES:
        machine = _NARROW.get(machine, machine)
    library, version = platform.libc_ver()
    if library != "glibc":
        return f"linux_{machine}"
    return f"manylinux_{'_'.join(version.split('.')[:2])}_{machine}"
