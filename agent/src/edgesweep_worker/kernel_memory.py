"""What the kernel tells of memory: of this process, of a control group that it has for itself, and of the machine.

Everything is read below a root that is `/` but in tests, and None is told where the system has no such figure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_KIB = 1024


@dataclass(frozen=True)
class Shares:
    """Resident bytes of the process: `pss` divides each page by its users, `private` leaves shared pages out."""

    pss: int
    private: int


def reset_high_water(root: str = "/") -> bool:
    """Have `VmHWM` start again from what is resident now; False where the kernel does not let us.

    Value 5 of `clear_refs`, man proc_pid_clear_refs(5).
    """
    try:
        with open(os.path.join(root, "proc/self/clear_refs"), "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def emulated(root: str = "/") -> bool:
    """Whether the process that the kernel counts is a user-mode emulator, whose own memory is in every figure."""
    try:
        with open(os.path.join(root, "proc/self/status")) as file:
            return file.readline().split()[1].startswith("qemu-")
    except (OSError, IndexError, UnicodeDecodeError):
        return False


def status_bytes(field: str, root: str = "/") -> int | None:
    """A size of `/proc/self/status` in bytes, such as VmRSS or VmHWM."""
    return _sizes(os.path.join(root, "proc/self/status")).get(field)


def shares(root: str = "/") -> Shares | None:
    """PSS and private pages, from `smaps_rollup`: it walks all page tables, a millisecond and more."""
    sizes = _sizes(os.path.join(root, "proc/self/smaps_rollup"))
    if "Pss" not in sizes:
        return None
    return Shares(sizes["Pss"], sum(size for name, size in sizes.items() if name.startswith("Private_")))


def available_bytes(root: str = "/") -> int | None:
    """What the whole machine could still give without swapping: MemAvailable."""
    return _sizes(os.path.join(root, "proc/meminfo")).get("MemAvailable")


def _sizes(path: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    try:
        with open(path) as file:
            for line in file:
                name, _, rest = line.partition(":")
                words = rest.split()
                if len(words) == 2 and words[1] == "kB" and words[0].isdigit():  # noqa: PLR2004 - a number and its unit
                    sizes[name] = int(words[0]) * _KIB
    except OSError:
        return {}
    return sizes


class OwnGroup:
    """A cgroup v2 that holds this process and no other, with its accounting of memory.

    It counts what the process's own figures leave out: children, page cache of the files that were read, kernel memory.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.base = _number(os.path.join(folder, "memory.current"))
        self._peak = self._open_peak()
        self.resets = self._reset()

    @property
    def available(self) -> bool:
        """Whether there is a peak to read (`memory.peak` is new in Linux 5.19)."""
        return self._peak is not None and self.base is not None

    def peak_bytes(self) -> int | None:
        """The most that was charged to the group since it was made, or since this object was where `resets` is true."""
        if self._peak is None:
            return None
        try:
            return int(os.pread(self._peak, 64, 0))
        except (OSError, ValueError):
            return None

    def _open_peak(self) -> int | None:
        path = os.path.join(self._folder, "memory.peak")
        for mode in (os.O_RDWR, os.O_RDONLY):
            try:
                return os.open(path, mode)
            except OSError:
                continue
        return None

    def _reset(self) -> bool:
        # From Linux 6.12 on any word written starts the peak again, for this descriptor only (cgroup-v2.rst).
        if self._peak is None:
            return False
        try:
            os.write(self._peak, b"reset\n")
        except OSError:
            return False
        return True


def own_group(root: str = "/", pid: int | None = None) -> OwnGroup | None:
    """The cgroup v2 of this process (or of `pid`) if no other process is in it, else None."""
    try:
        with open(os.path.join(root, "proc/self/cgroup")) as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        # The unified hierarchy is number 0 and names no controllers (man cgroups(7)).
        group = next(path for number, names, path in groups if number == "0" and not names)
        folder = os.path.join(root, "sys/fs/cgroup", group.lstrip("/"))
        with open(os.path.join(folder, "cgroup.procs")) as file:
            members = file.read().split()
    except (OSError, ValueError, StopIteration):
        return None
    if members != [str(os.getpid() if pid is None else pid)]:
        return None
    found = OwnGroup(folder)
    return found if found.available else None


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
