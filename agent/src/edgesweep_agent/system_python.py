"""The system's own Pythons that hold an onnxruntime, found by looking: no process is started for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

#: Where systems keep them.
_BINS = (Path("/usr/bin"), Path("/usr/local/bin"))
_PROGRAM = re.compile(r"python3(\.\d+)?")
#: Where a system's Python looks for packages when it is told to leave the user's own alone, under its prefix.
_PACKAGES = (
    "lib/python3/dist-packages",
    "lib/{}/site-packages",
    "lib64/{}/site-packages",
    "local/lib/{}/dist-packages",
    "local/lib/{}/site-packages",
    "local/lib64/{}/site-packages",
)


def system_pythons(bins: tuple[Path, ...] = _BINS) -> Iterator[str]:
    """The path of each system Python beside whose packages an `onnxruntime` lies, each program once.

    Args:
        bins: The folders of programs to look into.
    """
    seen: set[Path] = set()
    for folder in bins:
        for path in sorted(folder.glob("python3*")):
            if not _PROGRAM.fullmatch(path.name) or (program := path.resolve()) in seen:
                continue
            seen.add(program)
            prefix = program.parent.parent
            if any((prefix / place.format(program.name) / "onnxruntime").is_dir() for place in _PACKAGES):
                yield str(path)
