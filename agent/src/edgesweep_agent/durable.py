"""Files that survive a power cut: written beside, flushed to the disk, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

#: What the system says when there is no room for more bytes: on the disk, in the quota, in a file.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_no_room(error: OSError) -> bool:
    """Whether `error` says that the disk is full."""
    return error.errno in _NO_ROOM


def write_bytes(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Replace `path` by `content` as one step; after a crash it holds the old or the new content, never a mix.

    Args:
        path: The file; its folder exists.
        content: All of its bytes.
        flush: Whether to wait for the disk. Without it a power cut may bring the old content back.

    Raises:
        OSError: the disk refused; the file is as it was and nothing is left beside it.
    """
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if flush:
        flush_folder(path.parent)


def write_json(path: Path, data: Any, *, flush: bool = True) -> None:
    """Replace `path` by `data` as JSON, with the guarantees of `write_bytes`."""
    write_bytes(path, json.dumps(data, sort_keys=True, separators=(",", ":")).encode(), flush=flush)


def read_json(path: Path) -> Any:
    """The JSON in `path`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else; the sentence names the file.
    """
    content = path.read_bytes()
    try:
        return json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} does not hold JSON: {error}") from error


def remove_tree(folder: Path) -> None:
    """Remove a folder and all that is in it, as far as possible; links are removed, never followed.

    The standard library's own pulls three compression libraries into a process that shall stay small.
    """
    for where, folders, files in os.walk(folder, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(where, name))  # noqa: PTH108, PTH118 - as os.walk gives them
        for name in folders:
            path = os.path.join(where, name)  # noqa: PTH118
            with contextlib.suppress(OSError):
                if os.path.islink(path):  # noqa: PTH114
                    os.unlink(path)  # noqa: PTH108
                else:
                    os.rmdir(path)  # noqa: PTH106
    with contextlib.suppress(OSError):
        folder.rmdir()


def flush_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk: a rename alone may be lost in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
