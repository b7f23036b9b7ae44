"""Reasons why a call is refused: a catalogue code, a gRPC status and one sentence, and how they reach the peer."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from edgesweep_agent.durable import is_no_room

#: Catalogue code to gRPC status; the controller's catalogue says the same, and a contract test holds them together.
STATUS: dict[str, grpc.StatusCode] = {
    "not_authorised": grpc.StatusCode.PERMISSION_DENIED,
    "protocol_mismatch": grpc.StatusCode.FAILED_PRECONDITION,
    "lease_held": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "lease_lost": grpc.StatusCode.ABORTED,
    "disk_full": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "digest_mismatch": grpc.StatusCode.DATA_LOSS,
    "offset_mismatch": grpc.StatusCode.OUT_OF_RANGE,
    "blob_missing": grpc.StatusCode.FAILED_PRECONDITION,
    "invalid_request": grpc.StatusCode.INVALID_ARGUMENT,
    "trial_exists": grpc.StatusCode.ALREADY_EXISTS,
    "unknown_trial": grpc.StatusCode.NOT_FOUND,
    "busy_measuring": grpc.StatusCode.UNAVAILABLE,
    "bug": grpc.StatusCode.INTERNAL,
}

#: Trailing metadata key that carries the catalogue code.
CODE_KEY = "edgesweep-code"

_log = logging.getLogger(__name__)


class Fault(Exception):  # noqa: N818 - what the peer gets is a fault, not a failure of the agent
    """A call that cannot be served, told to the peer as status, code and sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.status = STATUS[code]
        super().__init__(sentence)


class FaultInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Lets only controllers in and turns a `Fault`, or a bug, into status plus `edgesweep-code`.

    The standard health and reflection services stay open to every peer that the TLS handshake admitted.
    """

    def __init__(self, identity_of: Callable[[Any], str]) -> None:
        self._identity_of = identity_of

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method's handler, whatever its arity.

        Args:
            continuation: Gives the next handler.
            handler_call_details: The method's name and the call's metadata.

        Returns:
            A handler of the same arity, or None where the method is unknown.
        """
        handler: Any = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or not method.startswith("/edgesweep_proto."):
            return handler
        return self._wrapped(handler, method)

    def _wrapped(self, handler: Any, method: str) -> Any:
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else None
            behaviour = self._guard_stream(handler.stream_stream or handler.unary_stream, method)
            return (make or grpc.unary_stream_rpc_method_handler)(behaviour, **coders)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._guard(handler.stream_unary, method), **coders)
        return grpc.unary_unary_rpc_method_handler(self._guard(handler.unary_unary, method), **coders)

    def _guard(self, behaviour: Any, method: str) -> Any:
        @functools.wraps(behaviour)
        async def call(request: Any, context: Any) -> Any:
            try:
                self._identity_of(context)
                return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - every failure becomes a status
                await _abort(context, error, method)

        return call

    def _guard_stream(self, behaviour: Any, method: str) -> Any:
        @functools.wraps(behaviour)
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._identity_of(context)
                async for response in behaviour(request, context):
                    yield response
            except Exception as error:  # noqa: BLE001 - every failure becomes a status
                await _abort(context, error, method)

        return call


async def _abort(context: Any, error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, OSError) and is_no_room(error):
        _log.error("no room for what %s has to write: %s", method, error)
        error = Fault(
            "disk_full",
            f"the device has no room to write what it must remember: {error.strerror}; "
            "free space under the agent's state folder",
        )
    if not isinstance(error, Fault):
        _log.error("a bug in %s: %s", method, error, exc_info=error)
        error = Fault("bug", f"a bug in the agent: {type(error).__name__}: {error}; its log holds the traceback")
    await context.abort(error.status, str(error), trailing_metadata=((CODE_KEY, error.code),))
