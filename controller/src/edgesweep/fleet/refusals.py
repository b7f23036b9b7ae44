"""What a failed call means: gRPC's statuses and the agent's catalogue codes become errors with a remedy."""

from __future__ import annotations

import grpc
import grpc.aio

from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.tls_probe import unreachable

#: The trailing metadata key under which an agent names the catalogue code.
CODE_KEY = "edgesweep-code"

#: For a status that comes without a code we know: from gRPC itself, or from a newer agent.
_BY_STATUS = {
    grpc.StatusCode.PERMISSION_DENIED: "not_authorised",
    grpc.StatusCode.UNAUTHENTICATED: "not_authorised",
    grpc.StatusCode.UNIMPLEMENTED: "protocol_mismatch",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_request",
    grpc.StatusCode.FAILED_PRECONDITION: "invalid_request",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "invalid_request",
    grpc.StatusCode.NOT_FOUND: "unknown_trial",
    grpc.StatusCode.ALREADY_EXISTS: "trial_exists",
    grpc.StatusCode.ABORTED: "lease_lost",
    grpc.StatusCode.OUT_OF_RANGE: "offset_mismatch",
    grpc.StatusCode.DATA_LOSS: "digest_mismatch",
}
_LINK = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


def catalogue_code(error: grpc.aio.AioRpcError) -> str:
    """The catalogue code that the agent sent with `error`; empty when it sent none that this side knows."""
    for key, value in error.trailing_metadata() or ():
        if key == CODE_KEY:
            code = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
            return code if code in CATALOGUE else ""
    return ""


def is_link_failure(error: grpc.aio.AioRpcError) -> bool:
    """Whether `error` speaks of the link or of a dead peer, not of the request."""
    return not catalogue_code(error) and error.code() in _LINK


def refusal(entry: DeviceEntry, error: grpc.aio.AioRpcError) -> EdgesweepError:
    """The error to raise for a call to `entry` that ended with `error`."""
    details = " ".join((error.details() or "").split())
    if code := catalogue_code(error):
        return EdgesweepError(code, f"device {entry.name!r}: {details or CATALOGUE[code].text}")
    if is_link_failure(error):
        reason = "its time ran out" if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else details.lower()
        return unreachable(entry, reason or "the connection broke")
    status = error.code()
    code = _BY_STATUS.get(status, "bug")
    return EdgesweepError(code, f"device {entry.name!r} answered {status.name}: {details or CATALOGUE[code].text}")
