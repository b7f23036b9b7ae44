"""TrialService: trials in, events and results out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from edgesweep_proto.codec import enum_to_proto, from_proto, to_proto
from edgesweep_proto.trial import Trial
from edgesweep_proto.v1 import trial_pb2, trial_pb2_grpc

from edgesweep_agent.events import EventRing
from edgesweep_agent.journal import Journal
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.services.peer import IdentityOf
from edgesweep_agent.trials import Supervisor

#: Bytes of samples in one message, well below gRPC's limit of 4 MiB.
CHUNK_BYTES = 1024 * 1024

#: Longest time in seconds for which a fetch waits until nobody takes times.
_FETCH_PATIENCE_S = 10.0


class TrialServicer(trial_pb2_grpc.TrialServiceServicer):
    """Submits, cancels, watches, fetches and acknowledges."""

    def __init__(
        self, supervisor: Supervisor, journal: Journal, events: EventRing, quiet: Quiet, identity_of: IdentityOf
    ) -> None:
        self._supervisor = supervisor
        self._journal = journal
        self._events = events
        self._quiet = quiet
        self._identity_of = identity_of

    async def Submit(self, request: trial_pb2.SubmitRequest, context: Any) -> trial_pb2.SubmitResponse:  # noqa: N802
        """Queue a trial, idempotently."""
        trial = from_proto(Trial, request.trial)
        state = await self._supervisor.submit(trial, request.fencing_number, self._identity_of(context))
        return trial_pb2.SubmitResponse(state=_wire(state))

    async def Cancel(self, request: trial_pb2.CancelRequest, context: Any) -> trial_pb2.CancelResponse:  # noqa: N802
        """End a trial that waits or runs."""
        state = await self._supervisor.cancel(request.trial_id, request.fencing_number, self._identity_of(context))
        return trial_pb2.CancelResponse(state=_wire(state))

    async def Watch(  # noqa: N802
        self, request: trial_pb2.WatchRequest, context: Any
    ) -> AsyncIterator[trial_pb2.WatchResponse]:
        """The caller's events, without end."""
        # The headers go out at once, so that the caller knows that it watches before anything happens.
        await context.send_initial_metadata(())
        identity = self._identity_of(context)
        async for event in self._events.watch(identity, request.run_id, request.after_cursor):
            yield trial_pb2.WatchResponse(event=to_proto(event))

    async def FetchResults(  # noqa: N802
        self, request: trial_pb2.FetchResultsRequest, context: Any
    ) -> AsyncIterator[trial_pb2.FetchResultsResponse]:
        """The caller's results that are not acknowledged yet, each as a header and its samples."""
        await self._quiet.not_timing(at_most_s=_FETCH_PATIENCE_S)
        identity = self._identity_of(context)
        for entry in self._journal.finished(identity, run_id=request.run_id, after_cursor=request.after_cursor):
            result, samples = self._journal.fetchable(entry)
            header = trial_pb2.ResultHeader(cursor=entry.cursor, result=to_proto(result))
            yield trial_pb2.FetchResultsResponse(header=header)
            for start in range(0, len(samples), CHUNK_BYTES):
                yield trial_pb2.FetchResultsResponse(samples_chunk=samples[start : start + CHUNK_BYTES])

    async def Acknowledge(  # noqa: N802
        self, request: trial_pb2.AcknowledgeRequest, context: Any
    ) -> trial_pb2.AcknowledgeResponse:
        """Forget results that the caller has stored."""
        done = self._journal.acknowledge(request.trial_ids, self._identity_of(context))
        return trial_pb2.AcknowledgeResponse(acknowledged=done)


def _wire(state: Any) -> Any:
    return enum_to_proto(state)
