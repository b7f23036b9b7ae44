"""Putting fetched results together again: a header, then the samples in chunks, checked against their digest."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from edgesweep_proto.blob import Blob
from edgesweep_proto.codec import from_proto
from edgesweep_proto.trial import TrialResult
from edgesweep_proto.v1 import trial_pb2

from edgesweep.errors import EdgesweepError

#: No trial comes near it (10,000 samples are 80 kB); a peer must not fill the controller's memory.
MAX_SAMPLES_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """One result with its raw samples: little-endian int64 nanoseconds, empty when the trial has none.

    `cursor` is where a later fetch goes on.
    """

    cursor: int
    result: TrialResult
    samples: bytes


async def assemble(messages: AsyncIterator[trial_pb2.FetchResultsResponse]) -> AsyncGenerator[Fetched, None]:
    """Yields each result of `messages` as soon as its last sample is there.

    Raises:
        EdgesweepError: `digest_mismatch` when samples are cut, too many, or not the ones that the header names.
    """
    pending: _Pending | None = None
    async for message in messages:
        if message.WhichOneof("part") == "header":
            if pending is not None:
                raise pending.fault("are cut short")
            result = from_proto(TrialResult, message.header.result)
            pending = _Pending(message.header.cursor, result)
        elif message.WhichOneof("part") == "samples_chunk":
            if pending is None:
                if not message.samples_chunk:
                    continue
                raise EdgesweepError("digest_mismatch", "the device sent samples that belong to no result")
            pending.add(message.samples_chunk)
        if pending is not None and pending.complete:
            yield pending.fetched()
            pending = None
    if pending is not None:
        raise pending.fault("are cut short")


class _Pending:
    def __init__(self, cursor: int, result: TrialResult) -> None:
        self._cursor = cursor
        self._result = result
        self._blob = result.samples.blob if result.samples else Blob(hashlib.sha256().hexdigest(), 0)
        self._samples = bytearray()
        if self._blob.size_bytes > MAX_SAMPLES_BYTES:
            raise self.fault(f"claim {self._blob.size_bytes} bytes, more than any trial has")

    @property
    def complete(self) -> bool:
        return len(self._samples) == self._blob.size_bytes

    def add(self, chunk: bytes) -> None:
        self._samples += chunk
        if len(self._samples) > self._blob.size_bytes:
            raise self.fault(f"are longer than the {self._blob.size_bytes} bytes that were named")

    def fetched(self) -> Fetched:
        samples = bytes(self._samples)
        # A result without samples names no blob, or an empty one without a digest.
        if samples and hashlib.sha256(samples).hexdigest() != self._blob.sha256:
            raise self.fault("do not have the digest that was named")
        return Fetched(self._cursor, self._result, samples)

    def fault(self, what: str) -> EdgesweepError:
        return EdgesweepError(
            "digest_mismatch",
            f"the samples of trial {self._result.trial_id} {what}",
            remedy="fetch again; if it comes back, check the link and the device's disk",
        )
