"""LeaseService: who may measure."""

from __future__ import annotations

from typing import Any

from edgesweep_proto.codec import to_proto
from edgesweep_proto.v1 import lease_pb2, lease_pb2_grpc

from edgesweep_agent.leases import LeaseBook
from edgesweep_agent.services.peer import IdentityOf
from edgesweep_agent.trials import Supervisor


class LeaseServicer(lease_pb2_grpc.LeaseServiceServicer):
    """Grants, renews, releases and lists the one lease."""

    def __init__(self, leases: LeaseBook, supervisor: Supervisor, identity_of: IdentityOf) -> None:
        self._leases = leases
        self._supervisor = supervisor
        self._identity_of = identity_of

    async def Acquire(self, request: lease_pb2.AcquireRequest, context: Any) -> lease_pb2.AcquireResponse:  # noqa: N802
        """Grant the lease; whatever ran under another owner's dead lease is stopped first."""
        identity = self._identity_of(context)
        lease, superseded = self._leases.acquire(
            request.owner, identity, ttl_s=request.ttl_s, priority=request.priority, purpose=request.purpose
        )
        await self._supervisor.lease_granted(lease.fencing_number, superseded)
        return lease_pb2.AcquireResponse(lease=to_proto(lease))

    async def Renew(self, request: lease_pb2.RenewRequest, context: Any) -> lease_pb2.RenewResponse:  # noqa: N802
        """Let the lease live on."""
        lease = self._leases.renew(request.fencing_number, self._identity_of(context), ttl_s=request.ttl_s)
        return lease_pb2.RenewResponse(lease=to_proto(lease))

    async def Release(self, request: lease_pb2.ReleaseRequest, context: Any) -> lease_pb2.ReleaseResponse:  # noqa: N802
        """Give the lease back; trials that wait under it are cancelled, a running one finishes."""
        self._leases.release(request.fencing_number, self._identity_of(context))
        await self._supervisor.lease_released()
        return lease_pb2.ReleaseResponse()

    async def ListLeases(  # noqa: N802
        self, request: lease_pb2.ListLeasesRequest, context: Any
    ) -> lease_pb2.ListLeasesResponse:
        """The living lease, if there is one."""
        del request, context
        return lease_pb2.ListLeasesResponse(leases=[to_proto(lease) for lease in self._leases.current()])
