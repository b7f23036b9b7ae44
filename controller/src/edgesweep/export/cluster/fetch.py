"""Bringing a file home from a Dask worker, in pieces; what does not have the digest that it was named by is not believed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

from edgesweep_proto.blob import Blob

#: A piece passes through the memory of worker, scheduler and controller at once.
PIECE_BYTES = 4 << 20


class FetchError(Exception):
    """The bytes that came are not the ones that were named, or could not be read; `str` says so."""


async def fetch(blob: Blob, read: Callable[[int, int], Awaitable[bytes]], folder: Path) -> Path:
    """The path of a new file in `folder` with the bytes of `blob`, verified; whoever asked moves or removes it.

    Args:
        blob: What is wanted.
        read: Returns at most so many bytes (second) from an offset (first) of it.
        folder: Where the file goes; it is created.

    Raises:
        FetchError: Other bytes came, or fewer, or more.
        OSError: This host could not write the file.
    """
    path, file = await asyncio.to_thread(_opened, folder)
    try:
        await _copy(blob, read, file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        file.close()
    return path


async def _copy(blob: Blob, read: Callable[[int, int], Awaitable[bytes]], file: IO[bytes]) -> None:
    digest = hashlib.sha256()
    offset = 0
    while offset < blob.size_bytes:
        piece = await read(offset, min(PIECE_BYTES, blob.size_bytes - offset))
        if not piece:
            raise FetchError(f"{blob.sha256} ended after {offset} of {blob.size_bytes} bytes")
        offset += len(piece)
        await asyncio.to_thread(_append, file, digest, piece)
    file.flush()
    if digest.hexdigest() != blob.sha256:
        raise FetchError(f"{blob.sha256} arrived as {digest.hexdigest()}")


def _opened(folder: Path) -> tuple[Path, IO[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix="fetched-")
    return Path(name), os.fdopen(handle, "wb")


def _append(file: IO[bytes], digest: Any, piece: bytes) -> None:
    digest.update(piece)
    file.write(piece)
