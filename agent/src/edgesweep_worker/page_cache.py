"""Whether the files of a start lie in memory already: brought about as asked, then read back with mincore.

A start from the disk may take ten times as long as one from memory, so a cold start says which of the two it was.
This must run before the runtime is imported: what a process has mapped cannot be dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import mmap
import os
import re
from dataclasses import dataclass
from typing import Iterable

from edgesweep_worker import model_file

#: At most this share in memory is a cold start, at least that share a warm one.
_COLD, _WARM = 0.05, 0.95
_WINDOW = 16 << 20
_PIECE = 1 << 20
#: The library of one provider, by the provider's name in small letters.
_PROVIDER = re.compile(r"libonnxruntime_providers_(\w+)\.so")


@dataclass(frozen=True)
class Found:
    """`state` is cold, warm, mixed (between the two) or empty where it cannot be told; `resident_share` is 0 to 1."""

    state: str
    resident_share: float | None


def start_files(
    model_path: str, providers: Iterable[str], packages: Iterable[str] = ("onnxruntime", "numpy")
) -> tuple[str, ...]:
    """The files that a start reads: the model, its external data, and the shared libraries of the runtime's packages.

    Files that are missing or of no such form are left out: what is wrong with them the runtime will tell. So are the
    libraries of providers other than `providers`, and the interpreter's own files, which this process has mapped.
    """
    files = [model_path]
    try:
        external = model_file.read_header(model_path).external
    except (OSError, ValueError):
        external = ()
    folder = os.path.dirname(os.path.abspath(model_path))
    files += sorted({os.path.join(folder, item.location) for item in external})
    wanted = {"shared", *(name.replace("ExecutionProvider", "").lower() for name in providers)}
    for path in (path for package in packages for path in _libraries(package)):
        found = _PROVIDER.match(os.path.basename(path))
        if found is None or found.group(1).replace("_", "") in wanted:
            files.append(path)
    return tuple(path for path in files if os.path.isfile(path))


def prepare(files: Iterable[str], asked: str) -> Found:
    """Drop `files` from the page cache (`asked` is cold) or read them into it (warm), then look what is there.

    Any other word leaves them as they are. A file system in memory cannot be cold, and says so by its share.
    """
    paths = list(files)
    for path in paths:
        try:
            if asked == "cold":
                _drop(path)
            elif asked == "warm" and not _whole(path):
                _read_through(path)
        except OSError:
            continue
    return look(paths)


def look(files: Iterable[str]) -> Found:
    """How much of `files` is in memory now."""
    counts = [found for found in map(_resident_pages, files) if found is not None]
    pages = sum(total for _, total in counts)
    if not pages:
        return Found("", None)
    share = sum(resident for resident, _ in counts) / pages
    state = "cold" if share <= _COLD else "warm" if share >= _WARM else "mixed"
    return Found(state, share)


def _libraries(package: str) -> list[str]:
    # The spec is found without importing the package.
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    found = []
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        # Beside a package lie those that its wheel brought along.
        for folder, _, names in (*os.walk(root), *os.walk(root + ".libs")):
            found += [os.path.join(folder, name) for name in names if ".so" in name]
    return sorted(found)


def _drop(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        # A page that is still to be written stays; a file system that cannot be written has none.
        with contextlib.suppress(OSError):
            os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def _whole(path: str) -> bool:
    found = _resident_pages(path)
    return found is not None and found[0] == found[1]


def _read_through(path: str) -> None:
    buffer = bytearray(_PIECE)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _resident_pages(path: str) -> tuple[int, int] | None:
    """Pages in memory and pages in all; None where the kernel does not tell."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        # Of files that are neither ours nor writable mincore calls every page resident (Linux 5.2 and later).
        if status.st_uid != os.geteuid() and not os.access(path, os.W_OK):
            return None
        resident = total = 0
        for start in range(0, status.st_size, _WINDOW):
            length = min(_WINDOW, status.st_size - start)
            pages = -(-length // mmap.PAGESIZE)
            flags = (ctypes.c_ubyte * pages)()
            # Private and writable only because ctypes takes the address of no other; nothing is written or touched.
            with mmap.mmap(file, length, access=mmap.ACCESS_COPY, offset=start) as window:
                first = ctypes.c_char.from_buffer(window)
                refused = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(length), flags)
                del first
            if refused:
                return None
            resident += sum(flag & 1 for flag in flags)
            total += pages
    except (OSError, ValueError, AttributeError):
        return None
    finally:
        os.close(file)
    return resident, total
