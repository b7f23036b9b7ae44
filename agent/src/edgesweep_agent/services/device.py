"""DeviceService: what the board is and how it feels."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from edgesweep_proto import PROTOCOL_VERSION
from edgesweep_proto.codec import to_proto
from edgesweep_proto.v1 import device_pb2, device_pb2_grpc

from edgesweep_agent import __version__
from edgesweep_agent.faults import Fault
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.runtimes import RuntimeBook

#: Seconds between two readings: shorter would be work for its own sake, longer than an hour is no watching.
_INTERVAL_S = (0.2, 3600.0)


class DeviceServicer(device_pb2_grpc.DeviceServiceServicer):
    """Describes the device and reports its sensors."""

    def __init__(self, name: str, state_dir: Path, runtimes: RuntimeBook, quiet: Quiet, sysroot: Path) -> None:
        self._name = name
        self._state_dir = state_dir
        self._runtimes = runtimes
        self._quiet = quiet
        self._sysroot = sysroot

    async def Describe(  # noqa: N802
        self, request: device_pb2.DescribeRequest, context: Any
    ) -> device_pb2.DescribeResponse:
        """Facts, runtimes and one reading; here versions that do not fit are refused."""
        del context
        if request.protocol_version != PROTOCOL_VERSION:
            version = request.controller_version or "<the controller's version>"
            raise Fault(
                "protocol_mismatch",
                f"the agent {__version__} speaks version {PROTOCOL_VERSION} of the contract and the controller "
                f"version {request.protocol_version}; on the device run: pip install edgesweep-agent=={version}",
            )
        # Late: an agent that nobody asks needs neither.
        from edgesweep_agent.device_facts import describe_device
        from edgesweep_agent.probes import take_reading

        runtimes = await self._runtimes.all()
        return device_pb2.DescribeResponse(
            device=to_proto(describe_device(self._name, self._state_dir, self._sysroot)),
            runtimes=[to_proto(runtime) for runtime in runtimes],
            reading=to_proto(take_reading(self._sysroot)),
        )

    async def WatchTelemetry(  # noqa: N802
        self, request: device_pb2.WatchTelemetryRequest, context: Any
    ) -> AsyncIterator[device_pb2.WatchTelemetryResponse]:
        """A reading every `interval_s` seconds, and none while a trial takes times."""
        from edgesweep_agent.probes import take_reading

        del context
        low, high = _INTERVAL_S
        interval = request.interval_s or 1.0
        if not math.isfinite(interval) or not low <= interval <= high:
            raise Fault("invalid_request", f"telemetry comes every {low:g} to {high:g} s, not every {interval:g} s")
        while True:
            await self._quiet.not_timing()
            yield device_pb2.WatchTelemetryResponse(reading=to_proto(take_reading(self._sysroot)))
            await asyncio.sleep(interval)
