"""The standard services: health, and reflection, whose code is loaded only when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


async def add_standard_services(server: Any, names: Iterable[str]) -> None:
    """Serve health and reflection of the services `names`."""
    names = tuple(names)
    servicer = health.aio.HealthServicer()
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers((LateReflection((*names, health.SERVICE_NAME, _REFLECTION)),))


class LateReflection(grpc.GenericRpcHandler):  # type: ignore[misc, unused-ignore]
    """Answers reflection, and until the first question does without its code: 0.7 MiB that few agents need."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._real: list[Any] = []

    def service(self, handler_call_details: Any) -> Any:
        """The handler of this method; None where it is not reflection's."""
        if not handler_call_details.method.startswith(f"/{_REFLECTION}/"):
            return None
        if not self._real:
            from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

            servicer = reflection.aio.ReflectionServicer(self._names)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self)
        return self._real[0].service(handler_call_details)

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Take the handlers in that the generated code gives to a server."""
        self._real.extend(handlers)

    def add_registered_method_handlers(self, _service: str, _handlers: Any) -> None:
        """Nothing: these are the same handlers once more."""
