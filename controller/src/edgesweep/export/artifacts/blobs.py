"""The content-addressed store of the host: bytes in, their digest out, a path for whoever must read them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgesweep_proto.blob import Blob, is_digest


class Blobs:
    """Blobs under one folder, each named by its SHA-256. Many processes may write to it at once.

    A blob appears whole or not at all: it is written aside, synced, and renamed to its name.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._verified: dict[str, tuple[int, int]] = {}

    def path_of(self, sha256: str) -> Path:
        """Where the blob lies or would lie.

        Raises:
            ValueError: `sha256` is not a digest, so it must not become a path.
        """
        if not is_digest(sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self._root / sha256[:2] / sha256

    def put_bytes(self, data: bytes) -> Blob:
        """Store `data`; bytes that are there already are not written again."""
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        if not self.holds(blob):
            with _written_aside(self.path_of(blob.sha256)) as aside:
                aside.write_bytes(data)
        return blob

    def put_file(self, path: Path, *, move: bool = False) -> Blob:
        """Store the bytes of the file at `path`; with `move` the file itself becomes the blob where that is possible."""
        blob = Blob(digest_of(path), path.stat().st_size)
        if not self.holds(blob):
            with _written_aside(self.path_of(blob.sha256)) as aside:
                if move:
                    shutil.move(path, aside)
                else:
                    shutil.copyfile(path, aside)
        return blob

    def adopt(self, path: Path, blob: Blob) -> Blob:
        """Move the file at `path`, whose digest this process has just taken, into the store unless it is there already."""
        if not self.holds(blob):
            with _written_aside(self.path_of(blob.sha256)) as aside:
                shutil.move(path, aside)
            stat = self.path_of(blob.sha256).stat()
            self._verified[blob.sha256] = (stat.st_size, stat.st_mtime_ns)
        return blob

    def holds(self, blob: Blob) -> bool:
        """Whether the blob is here with the right size and the right bytes.

        The bytes are read once per process, and again when the file's size or time of change moved.
        """
        path = self.path_of(blob.sha256)
        try:
            stat = path.stat()
        except OSError:
            return False
        mark = (stat.st_size, stat.st_mtime_ns)
        if stat.st_size != blob.size_bytes:
            return False
        if self._verified.get(blob.sha256) == mark:
            return True
        if digest_of(path) != blob.sha256:
            return False
        self._verified[blob.sha256] = mark
        return True

    def holds_all(self, blobs: Iterable[Blob]) -> bool:
        """Whether every one of `blobs` is here, whole."""
        return all(self.holds(blob) for blob in blobs)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part, whatever happens in between."""
    with _written_aside(path) as aside:
        aside.write_bytes(data)


@contextmanager
def _written_aside(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".aside-")
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        with suppress(OSError):
            aside.unlink()
