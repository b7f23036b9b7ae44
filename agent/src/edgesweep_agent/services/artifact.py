"""ArtifactService: blobs in, by digest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from edgesweep_proto.blob import Blob
from edgesweep_proto.codec import from_proto, to_proto
from edgesweep_proto.v1 import artifact_pb2, artifact_pb2_grpc

from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.faults import Fault
from edgesweep_agent.leases import LeaseBook
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.services.peer import IdentityOf
from edgesweep_agent.trials import Supervisor

#: Seconds without a chunk after which an upload is given up: a trial may be waiting for it to end.
CHUNK_WITHIN_S = 30.0


class ArtifactServicer(artifact_pb2_grpc.ArtifactServiceServicer):
    """Says what is missing, takes it in, and removes it."""

    def __init__(
        self, blobs: BlobStore, leases: LeaseBook, supervisor: Supervisor, quiet: Quiet, identity_of: IdentityOf
    ) -> None:
        self._blobs = blobs
        self._leases = leases
        self._supervisor = supervisor
        self._quiet = quiet
        self._identity_of = identity_of

    async def FindMissing(  # noqa: N802
        self, request: artifact_pb2.FindMissingRequest, context: Any
    ) -> artifact_pb2.FindMissingResponse:
        """Which of the blobs are not here, and from where their uploads go on."""
        del context
        missing = self._blobs.missing(from_proto(Blob, blob) for blob in request.blobs)
        return artifact_pb2.FindMissingResponse(
            missing=[artifact_pb2.MissingBlob(blob=to_proto(blob), offset=offset) for blob, offset in missing],
            free_bytes=self._blobs.free_bytes(),
        )

    async def Upload(  # noqa: N802
        self, request_iterator: AsyncIterator[artifact_pb2.UploadRequest], context: Any
    ) -> artifact_pb2.UploadResponse:
        """Take one blob in. The lease is checked before the first byte and after the last."""
        identity = self._identity_of(context)
        requests = _impatient(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise Fault("invalid_request", "an upload starts with its header")
        header = first.header
        blob = from_proto(Blob, header.blob)

        def still_allowed() -> None:
            self._leases.check(header.fencing_number, identity)

        still_allowed()
        # What can never be taken in is refused as that, and not put off for as long as the device measures.
        self._blobs.check_announced(blob, header.offset)
        with self._quiet.upload():
            received = await self._blobs.receive(blob, header.offset, _chunks(requests), still_allowed=still_allowed)
        return artifact_pb2.UploadResponse(blob=header.blob, received_bytes=received)

    async def Remove(self, request: artifact_pb2.RemoveRequest, context: Any) -> artifact_pb2.RemoveResponse:  # noqa: N802
        """Delete blobs, unless a trial still needs one of them."""
        self._leases.check(request.fencing_number, self._identity_of(context))
        for sha256 in request.sha256:
            self._blobs.path(sha256)
            if trial_id := self._supervisor.in_use(sha256):
                raise Fault(
                    "busy_measuring", f"trial {trial_id} needs blob {sha256[:12]}; remove it when that has ended"
                )
        return artifact_pb2.RemoveResponse(freed_bytes=self._blobs.remove(request.sha256))


async def _chunks(requests: AsyncIterator[artifact_pb2.UploadRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise Fault("invalid_request", "after its header an upload consists of chunks")
        yield request.chunk


async def _impatient(
    requests: AsyncIterator[artifact_pb2.UploadRequest],
) -> AsyncIterator[artifact_pb2.UploadRequest]:
    incoming = aiter(requests)
    while True:
        coming = asyncio.ensure_future(anext(incoming))
        try:
            await asyncio.wait({coming}, timeout=CHUNK_WITHIN_S)
            if not coming.done():
                raise Fault("offset_mismatch", f"no chunk came for {CHUNK_WITHIN_S:.0f} s; go on from what is here")
            try:
                request = coming.result()
            except StopAsyncIteration:
                return
        finally:
            coming.cancel()
        yield request
