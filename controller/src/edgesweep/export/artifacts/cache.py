"""Results of earlier exports, found by everything that could change them.

A failure is a result like any other and is kept too; what need not end the same way again (a time-out, a crash, a lack
of memory, trouble of the host) is tried again. The catalogue knows which is which.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from edgesweep_proto.codec import from_json, to_json

from edgesweep import __version__
from edgesweep.errors import is_repeatable
from edgesweep.export.artifacts.blobs import Blobs, write_whole
from edgesweep.export.result import ExportResult

#: Raised when an entry's form changes; entries of another form are not read.
FORMAT = 1

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "numpy")


@functools.cache
def environment() -> Mapping[str, str]:
    """The versions and the code that an export depends on, read without importing any of it."""
    versions = {"edgesweep": __version__, "edgesweep_code": _own_code()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


@functools.cache
def _own_code() -> str:
    """A digest of the code that exports: a mended exporter must not answer from yesterday's entries."""
    here = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in (here, here.parent / "models"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(here.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class ExportCache:
    """One JSON file per key under `root`. A hit counts only while every blob it names is in `blobs`, whole."""

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._root = root
        self._blobs = blobs

    def get(self, key: str) -> ExportResult | None:
        """The result stored under `key`, marked as cached; None when there is none that can be used."""
        try:
            entry = json.loads(self._path(key).read_bytes())
            if entry["format"] != FORMAT:
                return None
            result: ExportResult = from_json(ExportResult, entry["result"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not self._blobs.holds_all(result.blobs):
            return None
        return replace(result, cached=True)

    def put(self, key: str, result: ExportResult, *, unproven: str = "") -> None:
        """Keep `result`, unless it might end otherwise next time.

        Args:
            key: Everything that could change the result.
            result: How the export ended.
            unproven: The cause that kept a result from being proven although it passed.
        """
        if not (is_repeatable(result.cause) and is_repeatable(unproven)):
            return
        # A result that cannot be kept is still a result: the disk may have just had room for the artifact.
        with suppress(OSError):
            write_whole(self._path(key), json.dumps({"format": FORMAT, "result": to_json(result)}).encode())

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.json"
