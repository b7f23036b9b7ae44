"""RuntimeService: the onnxruntime builds on this device."""

from __future__ import annotations

from typing import Any

from edgesweep_proto.codec import to_proto
from edgesweep_proto.v1 import runtime_pb2, runtime_pb2_grpc

from edgesweep_agent.faults import Fault
from edgesweep_agent.runtimes import RuntimeBook


class RuntimeServicer(runtime_pb2_grpc.RuntimeServiceServicer):
    """Lists runtimes and probes one again."""

    def __init__(self, runtimes: RuntimeBook) -> None:
        self._runtimes = runtimes

    async def ListRuntimes(  # noqa: N802
        self, request: runtime_pb2.ListRuntimesRequest, context: Any
    ) -> runtime_pb2.ListRuntimesResponse:
        """All runtimes, the broken ones with their fault."""
        del request, context
        return runtime_pb2.ListRuntimesResponse(runtimes=[to_proto(runtime) for runtime in await self._runtimes.all()])

    async def ProbeRuntime(  # noqa: N802
        self, request: runtime_pb2.ProbeRuntimeRequest, context: Any
    ) -> runtime_pb2.ProbeRuntimeResponse:
        """Probe one runtime again, whatever is remembered of it."""
        del context
        runtime = await self._runtimes.probe(request.runtime_id)
        if runtime is None:
            have = ", ".join(known.id for known in await self._runtimes.all()) or "none"
            raise Fault("invalid_request", f"the device has no runtime {request.runtime_id!r}; it has {have}")
        return runtime_pb2.ProbeRuntimeResponse(runtime=to_proto(runtime))
