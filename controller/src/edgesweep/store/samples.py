"""Raw samples on disk: one file per trial while a run goes on, one Parquet file per run when it ends.

A file is named by the digest of its bytes and appears whole or not at all: it is written under another name,
flushed to the disk and renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

_SAFE_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LITTLE_ENDIAN = np.dtype("<i8")
_ROWS_PER_GROUP = 250_000


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Which samples a trial has: its id, its cell, their digest and how many of them are warm-up."""

    trial_id: str
    cell: str
    digest: str
    warmup_count: int


def decode_samples(data: bytes) -> NDArray[np.int64]:
    """The times in `data`, shape (n,), nanoseconds: warm-up first, then measured.

    Raises:
        ValueError: `data` is no sequence of 8-byte integers.
    """
    return np.frombuffer(data, dtype=_LITTLE_ENDIAN).astype(np.int64, copy=False)


class SampleFiles:
    """The samples of all runs under one folder. Not thread-safe for writing: the store has one writer."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, run_id: str, data: bytes) -> str:
        """Keeps `data` for a trial of the run and returns its digest; on return it is on the disk.

        Raises:
            OSError: the folder cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        target = self._single(run_id, digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(target, data)
        return digest

    def read(self, run_id: str, key: SampleKey) -> NDArray[np.int64] | None:
        """The times of one trial from its own file or from the run's Parquet file; None where neither has them."""
        with suppress(FileNotFoundError):
            return decode_samples(self._single(run_id, key.digest).read_bytes())
        packed = self.packed(run_id)
        if not packed.exists():
            return None
        import pyarrow.parquet as pq  # heavy, and not needed while a run goes on

        table = pq.read_table(packed, columns=["ns"], filters=[("trial_id", "=", key.trial_id)])
        return table.column("ns").to_numpy() if table.num_rows else None

    def compact(self, run_id: str, keys: Iterable[SampleKey]) -> Path:
        """Packs the samples of the trials `keys` into the run's one Parquet file and removes their own files.

        A trial of a resumed run whose samples are packed already is taken over from the old file. Columns: trial_id,
        cell, phase (`warmup` or `measured`), index (from 0 within the trial), ns.
        """
        import pyarrow.parquet as pq

        packed = self.packed(run_id)
        packed.parent.mkdir(parents=True, exist_ok=True)
        temporary = packed.with_name(f".{packed.name}-{uuid.uuid4().hex}")
        singles: set[Path] = set()
        try:
            with pq.ParquetWriter(temporary, _schema(), compression="zstd") as writer:
                for group in _grouped(self._tables(run_id, keys, singles)):
                    writer.write_table(group)
            _sync(temporary)
            temporary.replace(packed)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(packed.parent)
        self._remove_singles(run_id, singles)
        return packed

    def packed(self, run_id: str) -> Path:
        """Where the run's Parquet file lies, or will lie."""
        return self._root / f"{_safe(run_id)}.parquet"

    def _single(self, run_id: str, digest: str) -> Path:
        return self._root / _safe(run_id) / f"{digest}.i64"

    def _tables(self, run_id: str, keys: Iterable[SampleKey], singles: set[Path]) -> Iterator[pa.Table]:
        import pyarrow as pa

        schema = _schema()
        for key in keys:
            times = self.read(run_id, key)
            if times is None:
                continue
            singles.add(self._single(run_id, key.digest))
            count = len(times)
            warmup = min(key.warmup_count, count)
            yield pa.table(
                [
                    pa.repeat(key.trial_id, count),
                    pa.repeat(key.cell, count),
                    pa.concat_arrays([pa.repeat("warmup", warmup), pa.repeat("measured", count - warmup)]),
                    pa.array(np.arange(count)),
                    pa.array(times),
                ],
                schema=schema,
            )

    def _remove_singles(self, run_id: str, singles: Iterable[Path]) -> None:
        folder = self._root / _safe(run_id)
        for path in (*singles, *folder.glob(".*")):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # samples of trials that were never stored stay
            folder.rmdir()


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {"trial_id": pa.string(), "cell": pa.string(), "phase": pa.string(), "index": pa.int64(), "ns": pa.int64()}
    )


def _safe(run_id: str) -> str:
    if not _SAFE_RUN.fullmatch(run_id):
        raise ValueError(f"a run id is also a file name, which {run_id!r} cannot be")
    return run_id


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Joins small tables into row groups that a reader can skip by their statistics."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= _ROWS_PER_GROUP:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _write_whole(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
