"""Whether another host sees the files that a model is made of, and the same bytes in them."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

from edgesweep.export.artifacts.blobs import digest_of
from edgesweep.models.source import ModelSource, SourceKind


@dataclass(frozen=True, slots=True)
class Sight:
    """What one host sees of a model: the digests of its files by path (empty for a folder), and its packages."""

    files: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


def sight_of(source: ModelSource) -> Sight:
    """What this host sees. What it does not see either is the model's own trouble, and is left out.

    Only the file that the plan names is looked at, not what it imports in turn.
    """
    factory, _, _ = source.ref.rpartition(":")
    named = [name for name in (source.references, source.inputs) if name]
    packages = []
    if source.kind is SourceKind.ONNX:
        named.append(source.ref)
    elif source.kind is SourceKind.FACTORY and factory.endswith(".py"):
        named.append(factory)
    elif source.kind is SourceKind.FACTORY:
        packages.append(factory.partition(".")[0])
    marks = {name: mark for name in named if (mark := _mark(Path(name))) is not None}
    return Sight(marks, tuple(filter(_is_found, packages)))


def lacking(expected: Sight) -> str:
    """What of `expected` this host lacks or has otherwise, in words; empty when it sees all of it."""
    for name, mark in expected.files.items():
        found = _mark(Path(name))
        if found is None:
            return f"does not see {name}"
        if found != mark:
            return f"has another {name} than the controller"
    for package in expected.packages:
        if not _is_found(package):
            return f"does not have the package {package}"
    return ""


def _mark(path: Path) -> str | None:
    """The digest of a file's bytes, nothing for a folder, None for what is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _digest(path, stat.st_size, stat.st_mtime_ns) if path.is_file() else ""


@functools.lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _changed: int) -> str:
    return digest_of(path)


def _is_found(package: str) -> bool:
    """Whether an export worker started here could import `package`; it is not imported to find out."""
    return PathFinder.find_spec(package, [*sys.path, str(Path.cwd())]) is not None
