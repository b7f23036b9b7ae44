"""Arrays of the user's own from a `.npz` file: read without pickles, and never more than the file may hold."""

from __future__ import annotations

import errno
import lzma
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

#: What one file may unpack to, in bytes: a small file that claims more is a mistake or meant to fill the memory.
ARRAYS_MAX_BYTES = 2 << 30

_SUFFIX = ".npy"
#: Kinds of numpy types that a tensor may be of: floats, whole numbers with and without a sign, booleans, complex numbers, text.
_KINDS = "fiubcU"
#: Bytes of an element that has no name here: numpy writes types that it lacks, such as bfloat16, as so many bytes.
_NAMELESS = (1, 2)
#: What a file that is damaged, encrypted or packed in an unknown way makes of the standard library.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError, RuntimeError,
    struct.error, UnicodeDecodeError,
)  # fmt: skip


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file at `path` by name, as `numpy.savez(path, x=..., y=...)` wrote them.

    Raises:
        ValueError: one sentence on what is wrong with the file, which it names by its last part.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name} is no .npz file; write it with numpy.savez")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            return {info.filename.removesuffix(_SUFFIX): _read_member(archive, info) for info in archive.infolist()}
    except _Refused as error:
        raise ValueError(f"{path.name}{error}") from error
    except _BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {_first_line(error)}") from error
    except OSError as error:
        # A directory that names places before the file's beginning has them sought there.
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise ValueError(f"{path.name} cannot be read: {_first_line(error)}") from error


class _Refused(Exception):  # noqa: N818 - the end of a sentence that begins with the file's name
    """The file is whole, and holds what no tensor can be."""


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in members]
    if not names:
        raise _Refused(" holds no array")
    for name in names:
        if not name.endswith(_SUFFIX) or name == _SUFFIX:
            raise _Refused(f" holds '{name}', which is no array; write it with numpy.savez")
        if names.count(name) > 1:
            raise _Refused(f" holds two arrays called '{name.removesuffix(_SUFFIX)}'")
    size = sum(info.file_size for info in members)
    if size > ARRAYS_MAX_BYTES:
        packed = os.stat(path).st_size  # noqa: PTH116 - beside the sizes of the members
        raise _Refused(
            f" would unpack from {packed} to {size} bytes, and {ARRAYS_MAX_BYTES} are the most that are taken"
        )


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    name = info.filename.removesuffix(_SUFFIX)
    with archive.open(info) as file:
        shape, dtype, header_bytes = _read_header(file)
        nameless = dtype.kind == "V" and dtype.names is None and dtype.itemsize in _NAMELESS
        if dtype.hasobject or not (dtype.kind in _KINDS or nameless):
            what = "Python objects" if dtype.hasobject else f"values of type {dtype}"
            raise _Refused(f" holds {what} in '{name}', which no tensor can be made of")
        # Before numpy makes room for it: the header alone says how much that would be.
        claimed, held = math.prod(shape) * dtype.itemsize, info.file_size - header_bytes
        if claimed != held:
            raise _Refused(f" holds {held} bytes of '{name}', whose header claims {claimed}")
    with archive.open(info) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return np.ascontiguousarray(array).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
