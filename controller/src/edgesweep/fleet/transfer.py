"""Pushing blobs: only what is missing, from the offset that the device already holds, over links that break."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import grpc
import grpc.aio
from edgesweep_proto.blob import Blob, is_digest
from edgesweep_proto.codec import to_proto
from edgesweep_proto.v1 import artifact_pb2

from edgesweep.errors import EdgesweepError

#: Between 512 KiB and 1 MiB a client stream is fastest; larger ones halve the rate, and 4 MiB is gRPC's limit.
CHUNK_BYTES = 1 << 20

#: Streams at one time, where each takes a single chunk.
SMALL_AT_ONCE = 8

#: How often, and after how many seconds each, a lost status is looked for.
_SETTLE_LOOKS = 5
_SETTLE_S = 0.01

T = TypeVar("T")
UploadCall = grpc.aio.StreamUnaryCall[artifact_pb2.UploadRequest, artifact_pb2.UploadResponse]


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How long a push keeps trying.

    `tries` counts broken streams in a row that brought nothing across; a stream that did starts the count again.
    `hold_s` is the wait for a refusal after the header, once a refusal was lost.
    """

    tries: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 5.0
    stall_s: float = 60.0
    busy_wait_s: float = 900.0
    hold_s: float = 1.0


class BlobLink(Protocol):
    """What a push needs of a device."""

    async def find_missing(self, blobs: Iterable[Blob]) -> list[tuple[Blob, int]]:
        """Which of `blobs` the device lacks, and how many bytes of each it holds already."""

    def open_upload(self) -> UploadCall:
        """A new upload stream."""

    def refusal(self, error: grpc.aio.AioRpcError) -> EdgesweepError:
        """What a failed call means."""


class Push:
    """Brings blobs to one device: small ones some at a time, the others one after the other.

    Args:
        link: the device.
        path_of: where the bytes of a digest lie on this host.
        fencing_number: of the lease under which we write there.
        limits: how long to keep trying.
        on_sent: told after each chunk: the blob and how many of its bytes the device holds or has on the way.
    """

    def __init__(
        self,
        link: BlobLink,
        path_of: Callable[[str], Path],
        fencing_number: int,
        limits: TransferLimits,
        on_sent: Callable[[Blob, int], None] | None = None,
    ) -> None:
        self._link = link
        self._path_of = path_of
        self._fencing_number = fencing_number
        self._limits = limits
        self._on_sent = on_sent
        self._bytes = 0
        self._hold = False

    async def run(self, blobs: Iterable[Blob]) -> int:
        """Pushes what is missing of `blobs` and returns the number of bytes that were sent for it.

        Raises:
            EdgesweepError: the last refusal once the tries are used up; `upload_failed` for a local file that is
                missing or has another size; `digest_mismatch`, `disk_full`, `lease_lost` as the device says.
        """
        wanted = list({blob.sha256: blob for blob in blobs}.values())
        await asyncio.to_thread(self._check_files, wanted)
        missing = await self._link.find_missing(wanted)
        await self._push_small([blob for blob, offset in missing if not offset and blob.size_bytes <= CHUNK_BYTES])
        for blob, offset in missing:
            if offset or blob.size_bytes > CHUNK_BYTES:
                await self._push(blob, offset)
        return self._bytes

    async def _push_small(self, blobs: Sequence[Blob]) -> None:
        """Blobs of one chunk each, some at a time: of these the link's and the disk's delays are the whole cost."""
        turn = asyncio.Semaphore(SMALL_AT_ONCE)

        async def push(blob: Blob) -> None:
            async with turn:
                await self._push(blob, 0)

        tasks = [asyncio.ensure_future(push(blob)) for blob in blobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _push(self, blob: Blob, offset: int) -> None:
        patience = _Patience(self._limits, asyncio.get_running_loop())
        at: int | None = offset
        while at is not None:
            patience.reached(at)
            try:
                await self._stream(blob, at)
            except EdgesweepError as error:
                await asyncio.sleep(patience.pause_after(error))
            else:
                return
            at = await self._ask_again(blob)

    async def _ask_again(self, blob: Blob) -> int | None:
        """The offset to go on from, or `None` when the device holds the blob after all."""
        patience = _Patience(self._limits, asyncio.get_running_loop())
        while True:
            try:
                missing = await self._link.find_missing([blob])
            except EdgesweepError as error:
                await asyncio.sleep(patience.pause_after(error))
            else:
                return missing[0][1] if missing else None

    async def _stream(self, blob: Blob, offset: int) -> None:
        call = self._link.open_upload()
        ended = asyncio.Event()
        call.add_done_callback(lambda _: ended.set())
        try:
            header = artifact_pb2.UploadHeader(blob=to_proto(blob), offset=offset, fencing_number=self._fencing_number)
            await self._bounded(call.write(artifact_pb2.UploadRequest(header=header)))
            if self._hold:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), self._limits.hold_s)
            position = offset
            async with contextlib.aclosing(read_chunks(self._path_of(blob.sha256), offset)) as chunks:
                async for chunk in chunks:
                    await self._bounded(call.write(artifact_pb2.UploadRequest(chunk=chunk)))
                    position += len(chunk)
                    self._bytes += len(chunk)
                    if self._on_sent:
                        self._on_sent(blob, position)
            await self._bounded(call.done_writing())
            response = await self._bounded(call)
        except grpc.aio.AioRpcError as error:
            raise await self._reason(call, error) from error
        except asyncio.InvalidStateError:
            # The device ended the stream before all was written: its status says why.
            response = await self._early_answer(call)
        finally:
            call.cancel()
        if response.blob.sha256 != blob.sha256:
            raise EdgesweepError("digest_mismatch", f"the device took blob {blob.sha256} for {response.blob.sha256}")

    async def _early_answer(self, call: UploadCall) -> artifact_pb2.UploadResponse:
        try:
            return await self._bounded(call)
        except grpc.aio.AioRpcError as error:
            raise await self._reason(call, error) from error

    async def _reason(self, call: UploadCall, error: grpc.aio.AioRpcError) -> EdgesweepError:
        """Why the device ended an upload.

        When it does so while a chunk is being written, grpc.aio puts "Internal error from Core" in the place of the
        status that is just arriving. Most often the true one is there a moment later; where it is not, the next try
        holds after its header, so that nothing is being written when the refusal comes.
        """
        for _ in range(_SETTLE_LOOKS):
            if not _lost(error):
                return self._link.refusal(error)
            await asyncio.sleep(_SETTLE_S)
            error = grpc.aio.AioRpcError(
                await call.code(),
                await call.initial_metadata(),
                await call.trailing_metadata(),
                details=await call.details(),
            )
        self._hold = True
        return EdgesweepError("unreachable", "the device ended an upload, and its reason was lost on the way")

    async def _bounded(self, step: Awaitable[T]) -> T:
        """`step`, unless the device takes nothing for so long that the stream counts as broken."""
        try:
            async with asyncio.timeout(self._limits.stall_s):
                return await step
        except TimeoutError as error:
            message = f"the device took no byte of an upload for {self._limits.stall_s:g} s"
            raise EdgesweepError("unreachable", message) from error

    def _check_files(self, blobs: Iterable[Blob]) -> None:
        for blob in blobs:
            self._check_file(blob)

    def _check_file(self, blob: Blob) -> None:
        if not is_digest(blob.sha256):
            raise EdgesweepError("upload_failed", f"{blob.sha256!r} is not a SHA-256 digest")
        path = self._path_of(blob.sha256)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise EdgesweepError(
                "upload_failed",
                f"the file to push cannot be read: {path}: {error.strerror}",
                remedy="export again: the cache may have been emptied while the run was under way",
            ) from error
        if size != blob.size_bytes:
            raise EdgesweepError(
                "upload_failed",
                f"{path} has {size} bytes instead of {blob.size_bytes}",
                remedy="delete that file and export again",
            )


class _Patience:
    """Which failures of one blob are worth another try, and after how long."""

    def __init__(self, limits: TransferLimits, clock: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = 0
        self._mismatches = 0
        self._waits = 0
        self._busy_until = 0.0
        self._furthest = -1

    def reached(self, offset: int) -> None:
        """The device holds `offset` bytes: progress starts the count of failures again."""
        if offset > self._furthest:
            self._failures, self._furthest = 0, offset

    def pause_after(self, error: EdgesweepError) -> float:
        """Seconds to wait before the next try; raises `error` when there is to be none."""
        limits = self._limits
        if error.code == "busy_measuring":
            self._busy_until = self._busy_until or self._clock.time() + limits.busy_wait_s
            if self._clock.time() >= self._busy_until:
                raise error
            self._waits += 1
            return min(limits.longest_pause_s, limits.pause_s * 2.0**self._waits)
        if error.code == "digest_mismatch":
            # What the device held from an earlier push may have been bad: it drops it, so once more from 0.
            self._mismatches += 1
            if self._mismatches > 1:
                raise error
            return 0.0
        if error.code not in {"unreachable", "offset_mismatch"}:
            raise error
        self._failures += 1
        if self._failures >= limits.tries:
            raise error
        return min(limits.longest_pause_s, limits.pause_s * 2.0 ** (self._failures - 1))


async def read_chunks(path: Path, offset: int) -> AsyncGenerator[bytes, None]:
    """The bytes of `path` from `offset` on in pieces of `CHUNK_BYTES`, read in a thread so that no other device waits."""
    file = await asyncio.to_thread(_open_at, path, offset)
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        await asyncio.to_thread(file.close)


def _open_at(path: Path, offset: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(offset)
    return file


def _lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether grpc.aio itself wrote this status over the device's."""
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core"
