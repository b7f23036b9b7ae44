"""The blobs on this device: named by their digest, whole or as a part that an upload can go on from."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from edgesweep_proto.blob import Blob, is_digest

from edgesweep_agent.digest import sha256
from edgesweep_agent.durable import flush_folder, is_no_room
from edgesweep_agent.faults import Fault

#: Largest blob that is taken when the settings name no other limit.
DEFAULT_MAX_BLOB_BYTES = 16 * 1024**3

#: Room that is never filled with blobs, so that results can always be written.
RESERVED_BYTES = 32 * 1024**2

_READ_BYTES = 1024 * 1024
_THREADS = 4


class BlobStore:
    """Keeps blobs under `<folder>/<aa>/<sha256>` and unfinished ones beside them as `<sha256>.part`."""

    def __init__(self, folder: Path, *, max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES) -> None:
        self._folder = folder
        self._max_blob_bytes = max_blob_bytes
        self._executor: Executor | None = None
        # Digest to the upload that may write its part: a client that lost its link comes back before we notice.
        self._writers: dict[str, object] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the blob of that digest is, or would be.

        Raises:
            Fault: `invalid_request` for anything but a digest, so that no path ever comes from a peer.
        """
        if not is_digest(sha256):
            raise Fault("invalid_request", f"{sha256[:80]!r} is not a SHA-256 in 64 lower-case hexadecimal digits")
        return self._folder / sha256[:2] / sha256

    def has(self, blob: Blob) -> bool:
        """Whether the whole blob is here."""
        try:
            return self.path(blob.sha256).stat().st_size == blob.size_bytes
        except FileNotFoundError:
            return False

    def offset(self, blob: Blob) -> int:
        """Bytes that are here of an unfinished blob."""
        try:
            size = self._part(blob).stat().st_size
        except FileNotFoundError:
            return 0
        return size if size <= blob.size_bytes else 0

    def missing(self, blobs: Iterable[Blob]) -> list[tuple[Blob, int]]:
        """The blobs that are not here, each once, with the offset that its upload goes on from."""
        return [(blob, self.offset(blob)) for blob in dict.fromkeys(blobs) if not self.has(blob)]

    def free_bytes(self) -> int:
        """Bytes that blobs may still fill."""
        stat = os.statvfs(self._folder)
        return max(0, stat.f_bavail * stat.f_frsize - RESERVED_BYTES)

    def remove(self, digests: Iterable[str]) -> int:
        """Delete blobs and parts of these digests; returns the bytes that this freed."""
        freed = 0
        for path in [self.path(name) for name in digests]:
            for file in (path, path.with_name(path.name + ".part")):
                with contextlib.suppress(FileNotFoundError):
                    size = file.stat().st_size
                    file.unlink()
                    freed += size
        return freed

    async def receive(
        self, blob: Blob, offset: int, chunks: AsyncIterator[bytes], *, still_allowed: Callable[[], None]
    ) -> int:
        """Take a blob in, verify its digest and put it in place.

        Args:
            blob: What is announced.
            offset: Where the chunks go on; 0 starts anew.
            chunks: Its bytes in order.
            still_allowed: Asked once more when all bytes are here; raises when the caller lost the lease meanwhile.

        Returns:
            Bytes that this call received.

        Raises:
            Fault: `invalid_request`, `offset_mismatch`, `disk_full`, or `digest_mismatch`, after which nothing of
                the blob is kept; after all others the part is kept and can be gone on with.
        """
        self.check_announced(blob, offset)
        if self.has(blob):
            return 0
        token = self._writers[blob.sha256] = object()
        try:
            return await self._receive(blob, offset, chunks, token, still_allowed)
        except OSError as error:
            if is_no_room(error):
                raise Fault(
                    "disk_full",
                    f"the device has no room for blob {blob.sha256[:12]} ({blob.size_bytes} bytes): {error.strerror}; "
                    "free space under the agent's state folder and push again",
                ) from error
            raise
        finally:
            if self._writers.get(blob.sha256) is token:
                del self._writers[blob.sha256]

    async def _receive(
        self,
        blob: Blob,
        offset: int,
        chunks: AsyncIterator[bytes],
        token: object,
        still_allowed: Callable[[], None],
    ) -> int:
        part = self._part(blob)
        part.parent.mkdir(exist_ok=True)
        digest = sha256()
        received = 0
        with part.open("r+b" if offset else "wb", buffering=0) as file:
            await self._in_thread(_hash_prefix, file, digest, offset)
            async for chunk in chunks:
                if self._writers.get(blob.sha256) is not token:
                    raise Fault("offset_mismatch", f"another upload of blob {blob.sha256[:12]} has taken over")
                if offset + received + len(chunk) > blob.size_bytes:
                    part.unlink()
                    raise Fault("digest_mismatch", f"more bytes came than the {blob.size_bytes} that were announced")
                await self._in_thread(_append, file, digest, chunk)
                received += len(chunk)
            if offset + received < blob.size_bytes:
                raise Fault(
                    "offset_mismatch",
                    f"the upload of blob {blob.sha256[:12]} ended after {offset + received} of {blob.size_bytes} bytes; "
                    "go on from there",
                )
            if digest.hexdigest() != blob.sha256:
                part.unlink()
                raise Fault("digest_mismatch", f"the bytes that came hash to {digest.hexdigest()}, not {blob.sha256}")
            await self._in_thread(os.fsync, file.fileno())
        still_allowed()
        part.replace(self.path(blob.sha256))
        await self._in_thread(flush_folder, part.parent)
        return received

    def check_announced(self, blob: Blob, offset: int) -> None:
        """Refuse an upload that cannot be taken in, before its first byte.

        Raises:
            Fault: `invalid_request`, `offset_mismatch` or `disk_full`.
        """
        path = self.path(blob.sha256)
        if blob.size_bytes > self._max_blob_bytes:
            raise Fault(
                "invalid_request",
                f"blob {path.name[:12]} has {blob.size_bytes} bytes and this agent takes at most {self._max_blob_bytes}; "
                "raise --max-blob-bytes",
            )
        here = self.offset(blob)
        if offset not in (0, here):
            raise Fault("offset_mismatch", f"the agent holds {here} bytes of blob {path.name[:12]}, not {offset}")
        if not self.has(blob) and self.free_bytes() + here < blob.size_bytes:
            raise Fault(
                "disk_full",
                f"blob {path.name[:12]} needs {blob.size_bytes - here} more bytes and {self.free_bytes()} are free; "
                "free space under the agent's state folder",
            )

    def _part(self, blob: Blob) -> Path:
        path = self.path(blob.sha256)
        return path.with_name(path.name + ".part")

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._executor is None:
            # Late: an agent that never gets an upload needs no thread. Several, because they wait for the disk mostly.
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")
        await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


def _hash_prefix(file: Any, digest: Any, size: int) -> None:
    left = size
    while left:
        block = file.read(min(left, _READ_BYTES))
        if not block:
            raise Fault("offset_mismatch", "the part is shorter than it was; ask for the missing blobs again")
        digest.update(block)
        left -= len(block)
    file.seek(size)
    file.truncate()


def _append(file: Any, digest: Any, chunk: bytes) -> None:
    # Unbuffered: after a full disk the part holds exactly what the offset says, and closing it writes nothing more.
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
    digest.update(chunk)
