"""The files that a provider keeps of compiled models: what lies in its folder, and their digest."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Dict, Iterable, Mapping, Tuple

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Look:
    """The files of a folder by relative name, each with its size in bytes and the time of its last change in ns."""

    files: Mapping[str, Tuple[int, int]]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(size for size, _ in self.files.values())

    def fresh_since(self, earlier: Look) -> Tuple[str, ...]:
        """Names of files that came, or were written anew, since `earlier`."""
        return tuple(sorted(name for name, stamp in self.files.items() if earlier.files.get(name) != stamp))

    def keeps_any_of(self, earlier: Look) -> bool:
        """Whether a file of `earlier` is there as it was."""
        return any(self.files.get(name) == stamp for name, stamp in earlier.files.items())


def look(folder: str) -> Look:
    """Look at every file below `folder`; a folder that is not there holds none."""
    files: Dict[str, Tuple[int, int]] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            try:
                found = os.stat(path)
            except OSError:
                continue  # gone meanwhile
            files[os.path.relpath(path, folder)] = (found.st_size, found.st_mtime_ns)
    return Look(files)


def digest(folder: str, names: Iterable[str]) -> str:
    """SHA-256 over the files `names` below `folder`: of each the relative name, a zero byte and its content's SHA-256.

    When they were written, and by whom, is no part of it: two boards that compile the same have the same digest.

    Returns:
        Empty when there is no file, or one cannot be read.
    """
    whole, count = hashlib.sha256(), 0
    for name in sorted(names):
        one = hashlib.sha256()
        try:
            with open(os.path.join(folder, name), "rb") as file:
                for chunk in iter(lambda: file.read(_CHUNK), b""):
                    one.update(chunk)
        except OSError:
            return ""
        whole.update(os.fsencode(name) + b"\0" + one.digest())
        count += 1
    return whole.hexdigest() if count else ""
